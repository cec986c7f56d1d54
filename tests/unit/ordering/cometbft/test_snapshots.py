"""Snapshots: restored they are the same ledger, and nothing that was tampered with is ever written."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.codec import MalformedError, encode_json, sha256
from tallystick.errors import StorageError
from tallystick.machine import Beginning, Head, LedgerState
from tallystick.merkle import Edge
from tallystick.ordering.cometbft import SnapshotFolder
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.snapshots import FORMAT, decode_chunk, decode_description, encode_chunks
from tallystick.proofs.headers import decode_header, encode_header
from tallystick.store.snapshot import LedgerSnapshots

OFFER, APPLY = abci.ResponseOfferSnapshot, abci.ResponseApplySnapshotChunk


@pytest.fixture
async def giver(bench, tmp_path):
    """A ledger of three blocks, a snapshot after the second: (bench, application, folder of snapshots, app hash)."""
    application = bench.application()
    folder = SnapshotFolder(
        tmp_path / "given",
        LedgerSnapshots(bench.stores[0]),
        chain=application.state.chain,
        genesis_hash=application.state.genesis_hash,
        every=2,
    )
    application._state_sync._snapshots = folder
    await bench.block(application, bench.note(key="a", count=5), bench.note("clinic", key="b"))
    app_hash = (await bench.block(application, bench.note(key="c"), time=3_000)).app_hash
    await bench.block(application, bench.note(key="d"), time=4_000)
    await folder.settled()
    return bench, application, folder, app_hash


def taker(bench, tmp_path, name="taker"):
    """Return the application of an empty ledger that takes snapshots, and its store."""
    application = bench.application(f"{name}.db")
    store = bench.stores[-1]
    application._state_sync._snapshots = SnapshotFolder(
        tmp_path / name,
        LedgerSnapshots(store),
        chain=application.state.chain,
        genesis_hash=application.state.genesis_hash,
    )
    return application, store


async def restore(application, offered, chunks, app_hash):
    """Offer a snapshot and its chunks; return the answer to the offer and to the last chunk."""
    answer = await application.offer_snapshot(abci.RequestOfferSnapshot(snapshot=offered, app_hash=app_hash))
    if answer.result != OFFER.ACCEPT:
        return answer.result, None
    for index, chunk in enumerate(chunks):
        applied = await application.apply_snapshot_chunk(
            abci.RequestApplySnapshotChunk(index=index, chunk=chunk, sender="peer")
        )
    return answer.result, applied


async def load(application):
    """Return the snapshot that an application offers, and its chunks."""
    (offered,) = (await application.list_snapshots(abci.RequestListSnapshots())).snapshots
    chunks = []
    for index in range(offered.chunks):
        request = abci.RequestLoadSnapshotChunk(height=offered.height, format=offered.format, chunk=index)
        chunks.append((await application.load_snapshot_chunk(request)).chunk)
    return offered, chunks


async def test_restored_ledger_goes_on_like_the_other(giver, tmp_path):
    """A newcomer that restored a snapshot executes the blocks behind it to the same app hashes, also after a restart."""
    bench, application, _, app_hash = giver
    offered, chunks = await load(application)
    assert (2, FORMAT) == (offered.height, offered.format)
    newcomer, store = taker(bench, tmp_path)
    result, applied = await restore(newcomer, offered, chunks, app_hash)
    assert (OFFER.ACCEPT, APPLY.ACCEPT) == (result, applied.result)
    assert (2, app_hash) == (newcomer.state.height, newcomer.app_hash)
    third = bench.stores[0].find_block(3).transactions
    assert application.app_hash == (await bench.block(newcomer, *third, time=4_000)).app_hash
    again = store.load_state()
    assert isinstance(again, LedgerState)
    assert (3, application.state.frontier) == (again.height, again.frontier)
    # Its next header is the one that the others signed.
    assert bench.stores[0].find_block(3).header == store.find_block(3).header
    # What was accepted before the snapshot is refused after it.
    repeated = bench.stores[0].find_block(1).transactions
    await bench.block(newcomer, *repeated, time=5_000)
    assert ["repeated", "repeated"] == bench.refused()


async def test_altered_chunk_is_asked_for_again(giver, tmp_path):
    """A chunk that is not what the description names is refused with its sender, and the right one still taken."""
    bench, application, _, app_hash = giver
    offered, chunks = await load(application)
    newcomer, _ = taker(bench, tmp_path)
    _, applied = await restore(newcomer, offered, [chunks[0] + b"x"], app_hash)
    assert (APPLY.RETRY, [0], ["peer"]) == (
        applied.result,
        list(applied.refetch_chunks),
        list(applied.reject_senders),
    )
    applied = await newcomer.apply_snapshot_chunk(abci.RequestApplySnapshotChunk(index=0, chunk=chunks[0]))
    assert APPLY.ACCEPT == applied.result


@pytest.mark.parametrize("lie", ["value", "record", "order", "cut", "edge", "before", "header", "app_hash"])
async def test_lie_that_is_consistent_in_itself_is_refused(giver, tmp_path, lie):
    """Chunks with a matching description, but not of the signed app hash, are never written."""
    bench, application, _, app_hash = giver
    offered, chunks = await load(application)
    first = json.loads(chunks[0])
    records = [record for chunk in chunks[1:] for record in decode_chunk(chunk)]
    description = decode_description(offered.metadata)
    if lie == "value":
        place = next(number for number, record in enumerate(records) if record[0] == "notes")
        records[place] = (*records[place][:2], records[place][2].replace(b"hello", b"hallo"))
    elif lie == "record":
        del records[-1]
    elif lie == "order":
        records = records[::-1]
    elif lie == "edge":
        first["levels"][0][0] = "0" * 64
    elif lie == "before":
        first["before"][0]["history_root"] = "0" * 64
    elif lie == "header":
        header = decode_header(description.header.encode())
        changed = encode_header(msgspec.structs.replace(header, app_hash="0" * 64))
        description = msgspec.structs.replace(description, header=changed.decode())
    elif lie == "app_hash":
        app_hash = bytes(32)
    made = [encode_json(first), *encode_chunks(records)]
    made = [*made[:-1], made[-1] + b"\x00\x00"] if lie == "cut" else made
    description = msgspec.structs.replace(description, chunks=tuple(sha256(chunk).hex() for chunk in made))
    metadata = encode_json(description)
    forged = abci.Snapshot(height=2, format=FORMAT, chunks=len(made), hash=sha256(metadata), metadata=metadata)
    newcomer, store = taker(bench, tmp_path)
    before = store.load_state().tree.root
    _, applied = await restore(newcomer, forged, made, app_hash)
    assert APPLY.REJECT_SNAPSHOT == applied.result
    assert (0, before) == (newcomer.state.height, store.load_state().tree.root)
    assert not list((tmp_path / "taker").iterdir())


async def test_offers_of_another_kind_are_refused(giver, tmp_path):
    """Another format, zone, height or description, and any offer to a ledger that has blocks, are refused at once."""
    bench, application, _, app_hash = giver
    offered, _ = await load(application)
    other = encode_json(msgspec.structs.replace(decode_description(offered.metadata), chain="other-00000000"))
    newcomer, _ = taker(bench, tmp_path)
    for result, changes in (
        (OFFER.REJECT_FORMAT, {"format": 9}),
        (OFFER.REJECT, {"height": 3}),
        (OFFER.REJECT, {"chunks": 9}),
        (OFFER.REJECT, {"hash": b"x"}),
        (OFFER.REJECT, {"metadata": other, "hash": sha256(other)}),
        (OFFER.REJECT, {"metadata": b"{}"}),
    ):
        changed = abci.Snapshot()
        changed.CopyFrom(offered)
        for name, value in changes.items():
            setattr(changed, name, value)
        assert (result, None) == await restore(newcomer, changed, [], app_hash)
    assert (OFFER.ABORT, None) == await restore(application, offered, [], app_hash)
    nothing = abci.RequestApplySnapshotChunk(index=0, chunk=b"")
    assert APPLY.ABORT == (await newcomer.apply_snapshot_chunk(nothing)).result


async def test_only_the_latest_are_kept(giver):
    """Old snapshots go; one that was cut short by a crash is not offered."""
    bench, application, folder, _ = giver
    for number in range(4, 9):
        await bench.block(application, bench.note(key=f"k{number}"), time=4_000 + number)
        await folder.settled()
    (folder._folder / "100.new").mkdir()
    assert [6, 8] == [item.height for item in folder.offers()]


async def test_ledger_with_blocks_is_never_replaced(giver):
    """Restoring over a ledger that has blocks raises, and changes nothing."""
    bench, application, _, _ = giver
    with pytest.raises(StorageError, match="blocks already"):
        head = Head(b"{}", bytes(32), bytes(32), 0)
        begin = Beginning(9, 1, head, b"[]", Edge(0, (), ((),)), 0, 0, ())
        LedgerSnapshots(bench.stores[0]).install(begin, [])
    with pytest.raises(StorageError, match="not the last"), LedgerSnapshots(bench.stores[0]).reading(1):
        pass
    assert application.state.tree.root == bench.stores[0].load_state().tree.root


@given(
    records=st.lists(
        st.tuples(st.text(max_size=5), st.text(max_size=5), st.text(max_size=50).map(str.encode)), max_size=20
    ),
    size=st.integers(1, 100),
)
def test_chunks_hold_all_records(records, size):
    """Whatever the size of a chunk, all records come back in their order."""
    chunks = list(encode_chunks(records, size))
    assert records == [record for chunk in chunks for record in decode_chunk(chunk)]


@given(st.binary(max_size=60))
def test_any_bytes_are_a_chunk_or_malformed(data):
    """Garbage is refused as malformed and as nothing else."""
    try:
        again = b"".join(encode_chunks(decode_chunk(data)))
    except MalformedError:
        return
    assert data == again
