"""A copy keeps only blocks that are exactly what their header says, and names what is wrong with the others."""

import dataclasses

import msgspec
import pytest

from tallystick.codec import encode_json
from tallystick.keys import ED25519
from tallystick.ordering import ReplicaError
from tallystick.proofs.headers import decode_header, encode_signatures, sign_header, transactions_root
from tests.support.toy import PutNote

ORDERER = "bank"
TOGETHER = {name: ED25519.from_private(name[:1].encode() * 32) for name in ("bank", "city", "hospital", "port")}


def signed(header, *signers, **named):
    """Return the signatures of a header: by the orderer with a key, or by each name with its key."""
    by = dict(zip((ORDERER,), signers, strict=False)) | named
    return encode_signatures([sign_header(decode_header(header), name, signer) for name, signer in by.items()])


async def three_blocks(bench):
    engine = bench.solo()
    engine.start()
    for key in ("a", "b", "c"):
        seen = (engine.state.frontier.size, engine.state.frontier.root())
        await engine.submit(bench.toy.sign("bank", PutNote(key=key, text="hello"), seen=seen))
    await engine.stop()
    return engine


async def test_copy_that_follows_has_the_same_roots(bench):
    """After the same blocks, state root, history root and time are the same."""
    engine = await three_blocks(bench)
    replica = bench.replica()
    for block in bench.blocks:
        await replica.apply(*block)
    assert engine.state.tree.root == replica.state.tree.root
    assert engine.state.frontier == replica.state.frontier
    assert engine.state.time == replica.state.time


def changed(header, **fields):
    return encode_json(msgspec.structs.replace(decode_header(header), **fields))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"chain": "toy-11111111"}, "wrong_chain"),
        ({"height": 3}, "not_next"),
        ({"previous": "00" * 32}, "wrong_previous"),
        ({"time": 0}, "time_went_back"),
        ({"time": 11_001}, "time_ahead"),
        ({"transactions_root": "00" * 32}, "transactions_mismatch"),
        ({"app_hash": "00" * 32}, "app_hash_mismatch"),
    ],
)
async def test_lying_header_signed_by_the_orderer_is_refused_by_name(bench, fields, reason):
    """Even the orderer's own signature does not make a wrong header acceptable."""
    await three_blocks(bench)
    replica = bench.replica()
    await replica.apply(*bench.blocks[0])
    header, _, transactions = bench.blocks[1]
    lie = changed(header, **fields)
    with pytest.raises(ReplicaError) as caught:
        await replica.apply(lie, signed(lie, bench.signer), transactions)
    assert reason == caught.value.reason
    await replica.apply(*bench.blocks[1])


async def test_block_that_somebody_else_signed_is_refused(bench):
    """Only the orderer's key counts."""
    await three_blocks(bench)
    header, _, transactions = bench.blocks[0]
    stranger = ED25519.from_private(b"x" * 32)
    with pytest.raises(ReplicaError) as caught:
        await bench.replica().apply(header, signed(header, stranger), transactions)
    assert "bad_header_signature" == caught.value.reason


async def test_forged_transaction_in_a_block_is_refused(bench):
    """A transaction with a bad signature cannot hide behind a good header."""
    await three_blocks(bench)
    header, _, (raw,) = bench.blocks[0]
    position = raw.index(b"\x58\x40") + 20
    forged = raw[:position] + bytes((raw[position] ^ 1,)) + raw[position + 1 :]
    lie = changed(header, transactions_root=transactions_root((forged,)).hex())
    with pytest.raises(ReplicaError) as caught:
        await bench.replica().apply(lie, signed(lie, bench.signer), (forged,))
    assert "refused_transaction" == caught.value.reason


async def test_transaction_of_another_history_shows_the_fork(bench):
    """A member that saw another history makes every other copy stop."""
    await three_blocks(bench)
    replica = bench.replica()
    await replica.apply(*bench.blocks[0])
    raw = bench.toy.sign("bank", PutNote(key="z", text="hello"), seen=(1, b"\x07" * 32))
    lie = changed(bench.blocks[1][0], transactions_root=transactions_root((raw,)).hex())
    with pytest.raises(ReplicaError) as caught:
        await replica.apply(lie, signed(lie, bench.signer), (raw,))
    assert "wrong_seen" == caught.value.reason


async def test_copy_restarts_where_it_was(bench):
    """A copy that was stopped continues with the next block."""
    await three_blocks(bench)
    replica = bench.replica()
    await replica.apply(*bench.blocks[0])
    again = bench.replica()
    result = await again.apply(*bench.blocks[1])
    assert 2 == result.size
    assert dataclasses.is_dataclass(result)


@pytest.fixture
async def together(bench):
    """Return a copy in a zone where four order together, and its next block, signed by nobody yet."""
    await three_blocks(bench)
    bench.validators = {name: signer.public_key for name, signer in TOGETHER.items()}
    header, _, transactions = bench.blocks[0]
    return bench.replica(), header, transactions


@pytest.mark.parametrize("names", [("bank", "city", "hospital"), ("city", "hospital", "port"), tuple(TOGETHER)])
async def test_block_that_enough_of_four_signed_is_kept(together, bench, names):
    """Any three of four are more than two thirds, and all that they signed is kept with the block."""
    replica, header, transactions = together
    signatures = signed(header, **{name: TOGETHER[name] for name in names})
    await replica.apply(header, signatures, transactions)
    assert signatures == bench.stores[-1].last_block().signatures


@pytest.mark.parametrize("names", [(), ("bank",), ("city", "port")])
async def test_block_that_too_few_of_four_signed_is_refused(together, names):
    """Two of four are no majority that could not be contradicted; the same block with a third signature is taken."""
    replica, header, transactions = together
    with pytest.raises(ReplicaError) as caught:
        await replica.apply(header, signed(header, **{name: TOGETHER[name] for name in names}), transactions)
    assert "too_few_signatures" == caught.value.reason
    assert f"{len(names)} of the 4" in caught.value.message
    assert 0 == replica.state.height
    await replica.apply(header, signed(header, **TOGETHER), transactions)


def _repeated(header):
    first, *others = msgspec.json.decode(signed(header, **TOGETHER))
    return encode_json([first, first, *others])


def _unsorted(header):
    return encode_json(msgspec.json.decode(signed(header, **TOGETHER))[::-1])


STRANGER = ED25519.from_private(b"x" * 32)


@pytest.mark.parametrize(
    "forge",
    [
        lambda header: signed(header, **TOGETHER, stranger=STRANGER),
        lambda header: signed(header, **(TOGETHER | {"port": STRANGER})),
        lambda header: signed(header, **(TOGETHER | {"port": TOGETHER["bank"]})),
        lambda header: signed(changed(header, time=2_000), **TOGETHER),
        lambda header: signed(header, **TOGETHER).replace(b'"signature":"', b'"signature":"zz', 1),
        lambda header: b" " + signed(header, **TOGETHER),
        lambda header: b"",
        _repeated,
        _unsorted,
    ],
    ids=["stranger", "other-key", "anothers", "other-header", "no-hex", "spaced", "empty", "repeated", "unsorted"],
)
async def test_one_bad_signature_among_enough_good_ones_is_refused(together, forge):
    """A stranger's, a forged, a repeated or a malformed signature spoils the block, however many good ones there are."""
    replica, header, transactions = together
    with pytest.raises(ReplicaError) as caught:
        await replica.apply(header, forge(header), transactions)
    assert "bad_header_signature" == caught.value.reason
    assert 0 == replica.state.height


async def test_who_must_sign_is_asked_anew_for_each_block(bench):
    """After those who order have changed, the next block needs the new ones."""
    await three_blocks(bench)
    replica = bench.replica()
    await replica.apply(*bench.blocks[0])
    bench.validators = {name: signer.public_key for name, signer in TOGETHER.items()}
    header, alone, transactions = bench.blocks[1]
    with pytest.raises(ReplicaError) as caught:
        await replica.apply(header, alone, transactions)
    assert "bad_header_signature" == caught.value.reason
    await replica.apply(header, signed(header, **TOGETHER), transactions)
