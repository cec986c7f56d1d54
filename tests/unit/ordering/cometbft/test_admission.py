"""Admission: what a block would take now, and each organisation up to its share."""

from tallystick.codec.bundles import encode_bundle
from tallystick.machine import Parameters, decode_transaction
from tallystick.merkle import Frontier
from tallystick.ordering.cometbft import Share, admission, pool
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.results import GONE
from tests.unit.ordering.cometbft.conftest import bundles


async def test_refusals_have_the_numbers_of_execution(bench):
    """Each kind of refusal is answered with the number that a block would refuse it with."""
    application = bench.application()
    good = bench.note(key="a")
    cases = [
        (0, good),
        (1, b"nonsense"),
        (2, bench.forged(bench.note(key="b"))),
        (3, bench.note(key="c", expires=999)),
        (5, bench.note(key="d", expires=9_000_000)),
        (6, bench.note(key="e", claim="clinic")),
        (9, bench.note(key="f", seen=(0, b"x" * 32))),
    ]
    assert [code for code, _ in cases] == await bench.check(application, *(raw for _, raw in cases))
    assert 1 == application.waiting
    await bench.block(application, good)
    assert 0 == application.waiting
    assert [4] == await bench.check(application, good)
    seen = (1, application.state.frontier.root())
    assert [0] == await bench.check(application, bench.note(key="h", seen=seen))


async def test_what_no_block_could_hold_is_refused(make_bench):
    """A transaction above the zone's limits or above the cap of a whole block is refused at once."""
    bench = make_bench(
        parameters=Parameters(block_operations_per_organisation=3, max_operations=5, max_transaction_bytes=1_200)
    )
    application = bench.application()
    cases = [(0, bench.note(key="a", count=3)), (8, bench.note(key="b", count=4)), (8, bench.note(key="c", count=6))]
    assert [code for code, _ in cases] == await bench.check(application, *(raw for _, raw in cases))
    assert [1] == await bench.check(application, bench.note(key="d" * 1_000))


async def test_one_that_floods_leaves_room_for_others(bench):
    """Beyond its share an organisation is told to wait; another is admitted, and so is the first after a block."""
    application = bench.application(share=Share(3, 1 << 20))
    flood = [bench.note(key=f"k{number}") for number in range(5)]
    answers = await application.check_transactions([abci.RequestCheckTx(tx=bundle) for bundle in bundles(*flood)])
    assert [0, 0, 0, 1, 1] == [answer.code for answer in answers]
    assert {"node"} == {answer.codespace for answer in answers[3:]}
    assert [0] == await bench.check(application, bench.note("clinic", key="x"))
    await bench.block(application, *flood[:2])
    assert [0, 0] == await bench.check(application, *flood[3:])


async def test_share_of_bytes(bench):
    """A share is also one of bytes."""
    raw = bench.note(key="a", count=10)
    application = bench.application(share=Share(9, len(raw) + 10))
    assert [0, 1] == await bench.check(application, raw, bench.note(key="b"))


async def test_same_bytes_again_count_once(bench):
    """What the engine had no room for is admitted again, and counted once."""
    application = bench.application(share=Share(1, 1 << 20))
    raw = bench.note()
    assert [0] == await bench.check(application, raw)
    assert [0] == await bench.check(application, raw)
    assert 1 == application.waiting


async def test_recheck_keeps_a_bundle_as_long_as_something_of_it_waits(bench):
    """After a block a bundle stays in the mempool for what of it is in no block yet, and goes with the last of it."""
    application = bench.application()
    first, second = bench.note(key="a"), bench.note(key="b")
    bundle = encode_bundle([first, second])

    async def again():
        (answer,) = await application.check_transactions([abci.RequestCheckTx(tx=bundle, type=abci.RECHECK)])
        return answer.code

    (answer,) = await application.check_transactions([abci.RequestCheckTx(tx=bundle)])
    assert 0 == answer.code
    for waiting in ([first], [second]):
        assert 0 == await again()
        await bench.block(application, *waiting)
    assert GONE == await again()
    assert 0 == application.waiting


async def test_bundle_is_let_in_for_what_is_good_in_it(bench):
    """One good transaction lets a bundle in, whatever is refused beside it; one that brings nothing new is refused."""
    application = bench.application()
    good, forged = bench.note(key="a"), bench.forged(bench.note(key="b"))
    assert [2] == await bench.check(application, forged)
    for code, transactions in (
        (0, [forged, bench.note(key="c", expires=999), good]),
        (4, [good]),
        (2, [good, forged]),
    ):
        (answer,) = await application.check_transactions([abci.RequestCheckTx(tx=encode_bundle(transactions))])
        assert code == answer.code
        assert 1 == application.waiting
    (answer,) = await application.check_transactions([abci.RequestCheckTx(tx=b"no bundle")])
    assert 1 == answer.code


async def test_bundle_that_no_honest_node_makes_is_refused_as_a_whole(bench, monkeypatch):
    """One with something malformed in it, or with more than travels together, lets nothing in and is not gone through."""
    application = bench.application()
    good = bench.note(key="a")
    many = [bench.note(key=f"m{number}") for number in range(3)]
    decoded = []
    decode = application._pool.checker.decode
    monkeypatch.setattr(application._pool.checker, "decode", lambda raw: decoded.append(raw) or decode(raw))
    monkeypatch.setattr(pool, "BUNDLE_TRANSACTIONS", 2)
    for transactions, looked_at in (([b"nonsense", good], 1), (many, 0), ([b"x"] * 50_000, 0)):
        decoded.clear()
        (answer,) = await application.check_transactions([abci.RequestCheckTx(tx=encode_bundle(transactions))])
        assert (1, 0, looked_at) == (answer.code, application.waiting, len(decoded))


async def test_author_may_be_a_block_ahead_of_this_ledger(bench):
    """What has seen a block that is on its way here waits for it; what has seen another history is dropped by then."""
    other = bench.application("other.db")
    first = bench.note(key="a")
    await bench.block(other, first)
    seen = (1, other.state.frontier.root())
    application = bench.application()
    ahead, wrong, far = (
        bench.note(key="b", seen=seen),
        bench.note(key="c", seen=(1, b"x" * 32)),
        bench.note(key="d", seen=(900, b"x" * 32)),
    )
    assert [0, 0, 0] == await bench.check(application, ahead, wrong, far)
    assert [] == application._pool.admission.candidates()
    await bench.block(application, first)
    assert [ahead] == [item.raw for item in application._pool.admission.candidates()]
    assert 2 == application.waiting
    await bench.block(application)
    assert 1 == application.waiting


async def test_what_the_engine_lost_is_forgotten_after_its_expiry(bench):
    """An admitted transaction that never comes in a block does not count for ever."""
    application = bench.application(share=Share(1, 1 << 20))
    assert [0] == await bench.check(application, bench.note(key="a", expires=1_500))
    await bench.block(application, time=100_000)
    assert 0 == application.waiting
    bench.now = 100_000
    assert [0] == await bench.check(application, bench.note(key="b", seen=(0, Frontier().root())))


async def test_beyond_its_share_no_signature_is_looked_at(bench, monkeypatch):
    """One that floods costs a look at its name and no more: its signatures are not checked."""
    application = bench.application(share=Share(1, 1 << 20))
    assert [0] == await bench.check(application, bench.note(key="a"))
    seen = []
    check = application._pool.checker.check_decoded

    async def counted(decoded):
        seen.extend(decoded)
        return await check(decoded)

    monkeypatch.setattr(application._pool.checker, "check_decoded", counted)
    answers = await application.check_transactions(
        [
            abci.RequestCheckTx(tx=raw)
            for raw in bundles(*(bench.forged(bench.note(key=f"b{number}")) for number in range(3)))
        ]
    )
    assert [("node", 1)] * 3 == [(answer.codespace, answer.code) for answer in answers]
    assert [] == seen


async def test_bad_signatures_have_an_allowance(bench, monkeypatch):
    """After many bad signatures unknown ones are not looked at for a while; what is known to be good gets in at once."""
    monkeypatch.setattr(admission, "BAD_SIGNATURES", 3)
    application = bench.application()
    known = bench.note(key="known")
    assert [True] == await application.check_signatures([decode_transaction(known, application.state.genesis_hash)])
    bad = [bench.forged(bench.note(key=f"b{number}")) for number in range(4)]
    assert [2, 2, 2] == await bench.check(application, *bad[:3])
    answers = await application.check_transactions(
        [abci.RequestCheckTx(tx=raw) for raw in bundles(bad[3], bench.note("clinic", key="c"), known)]
    )
    assert [("node", 1), ("node", 1), ("", 0)] == [(answer.codespace, answer.code) for answer in answers]
    bench.now += 1_000
    assert [2, 0] == await bench.check(application, bad[3], bench.note("clinic", key="c"))


async def test_engine_that_begins_has_an_empty_mempool(bench):
    """What an engine forgot when it died does not count any more when it is started again."""
    application = bench.application(share=Share(1, 1 << 20))
    assert [0, 1] == await bench.check(application, bench.note(key="a"), bench.note(key="b"))
    await application.info(abci.RequestInfo())
    assert 0 == application.waiting
    assert [0] == await bench.check(application, bench.note(key="b"))


async def test_shares_shrink_while_full_blocks_are_slow(bench, monkeypatch):
    """Behind full blocks that take long an organisation may have less waiting, down to a least; quick ones give it back."""
    monkeypatch.setattr(admission, "LEAST", Share(10, 1 << 10))
    application = bench.application(share=Share(20, 1 << 20))

    async def admitted(height, ms):
        flood = [bench.note(key=f"k{height}-{number}") for number in range(21)]
        codes = await bench.check(application, *flood)
        bench.now += ms
        taken = [raw for raw, code in zip(flood, codes, strict=True) if not code]
        await bench.block(application, *taken, time=bench.now)
        return len(taken)

    assert [20, 14, 10, 10] == [await admitted(height, 3_000) for height in range(4)]
    assert [10, 12, 14, 16, 19, 20] == [await admitted(height, 100) for height in range(4, 10)]
    assert [20, 20] == [await admitted(height, 700) for height in range(10, 12)]
