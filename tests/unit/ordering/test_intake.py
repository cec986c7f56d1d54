"""What waits at a node: bounded for each organisation, and who is refused is told when to come again."""

import asyncio

import pytest

from tallystick.codec import sha256
from tallystick.errors import QueueFullError, RejectedError
from tallystick.machine import decode_transaction
from tallystick.ordering.fairness import Share
from tallystick.ordering.intake import MAX_RETRY_SECONDS, Intake, Pace, Submitted
from tests.support.toy import PutNote, Toy

TOY = Toy()


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


class Gate:
    """Checks signatures when the test lets it.

    Attributes:
        bad: ids whose signature is not good.
    """

    def __init__(self):
        self.open = asyncio.Event()
        self.open.set()
        self.bad = set()

    async def __call__(self, transactions):
        await self.open.wait()
        return [transaction.id not in self.bad for transaction in transactions]


def signed(key, organisation="bank"):
    raw = TOY.sign(organisation, PutNote(key=key, text="x"), nonce=sha256(key.encode()).hex()[:32])
    return decode_transaction(raw, TOY.state.genesis_hash)


@pytest.fixture
async def gate():
    return Gate()


@pytest.fixture
async def intake(gate):
    """An intake where an organisation may have three waiting, and all together nine."""
    made = Intake(gate, share=Share(3, 1 << 20), whole=Share(9, 1 << 20), clock_s=Clock())
    tasks = made.start()
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def all_checked(intake, count):
    async with asyncio.timeout(10):
        while intake.queued != count:
            await asyncio.sleep(0)


async def test_beyond_its_share_an_organisation_is_told_to_wait(intake):
    """The fourth is refused with a time; another organisation's is taken, and so is the first's when there is room."""
    for key in "abc":
        intake.put(signed(key), organisation="bank", source="bank")
    await all_checked(intake, 3)
    with pytest.raises(QueueFullError, match="bank has as many") as caught:
        intake.put(signed("d"), organisation="bank", source="bank")
    assert 1 == caught.value.retry_after_s
    assert "1 s" in caught.value.remedy
    intake.put(signed("e", "clinic"), organisation="clinic", source="bank")
    await all_checked(intake, 4)
    taken = intake.take(lambda _: True)
    intake.settle(taken[0], Submitted(b"", 1, 0, ()))
    intake.put(signed("f"), organisation="bank", source="bank")
    await all_checked(intake, 1)


async def test_nobody_fills_the_room_of_another_by_its_name(intake, gate):
    """Unchecked transactions count for who hands them in, so that forged ones do not keep their victim's out."""
    gate.open.clear()
    forged = [intake.put(signed(key), organisation="bank", source="clinic") for key in "abc"]
    with pytest.raises(QueueFullError, match="clinic"):
        intake.put(signed("d"), organisation="bank", source="clinic")
    honest = intake.put(signed("e"), organisation="bank", source="bank")
    gate.bad = {signed(key).id for key in "abc"}
    gate.open.set()
    await all_checked(intake, 1)
    for future in forged:
        with pytest.raises(RejectedError, match="signature"):
            await future
    assert not honest.done()
    assert 1 == intake.waiting


async def test_share_is_kept_also_by_what_was_checked_together(intake, gate):
    """What was handed in by several for one organisation is let in up to its share; the rest is told to wait."""
    gate.open.clear()
    futures = [
        intake.put(signed(f"{source}{number}"), organisation="bank", source=source)
        for source in ("bank", "clinic")
        for number in range(3)
    ]
    gate.open.set()
    await all_checked(intake, 3)
    refused = [future for future in futures if future.done()]
    assert 3 == len(refused)
    for future in refused:
        with pytest.raises(QueueFullError):
            await future


async def test_settled_elsewhere_is_not_taken(intake):
    """What a block holds already before its turn came is taken by nobody."""
    first = intake.put(signed("a"), organisation="bank", source="bank")
    intake.put(signed("b"), organisation="bank", source="bank")
    await all_checked(intake, 2)
    intake.settle(intake.find(signed("a").id), Submitted(b"", 1, 0, ()))
    assert 1 == (await first).height
    assert [signed("b").id] == [item.transaction.id for item in intake.take(lambda _: True)]


async def test_stopping_lets_nobody_wait(intake, gate):
    """All are told, checked or not."""
    gate.open.clear()
    unchecked = intake.put(signed("a"), organisation="bank", source="bank")
    intake.fail_all(QueueFullError("stopping", remedy="Wait."))
    with pytest.raises(QueueFullError, match="stopping"):
        await unchecked
    gate.open.set()
    await asyncio.sleep(0.01)
    assert (0, 0) == (intake.waiting, intake.queued)


def test_retry_time_follows_the_pace():
    """Half of what waits, at the speed of the last seconds; a lone one at least a second, and never more than the most."""
    clock = Clock()
    pace = Pace(clock)
    for _ in range(5):
        for _ in range(80):
            pace.done("bank")
        clock.now += 1
    assert 5 == pace.retry_after("bank", 2_000)
    assert 1 == pace.retry_after("bank", 1)
    assert MAX_RETRY_SECONDS == pace.retry_after("bank", 1_000_000)


def test_retry_time_grows_while_nothing_is_done():
    """Where nothing moves one is sent away for longer and longer, and for a second again when it does."""
    clock = Clock()
    pace = Pace(clock)
    assert 1 == pace.retry_after("bank", 10)
    clock.now += 7
    assert 7 == pace.retry_after("bank", 10)
    clock.now += 500
    assert MAX_RETRY_SECONDS == pace.retry_after("bank", 10)
    pace.done("bank")
    assert 1 == pace.retry_after("bank", 10)
    clock.now += 11
    assert 1 == pace.retry_after("bank", 10)
