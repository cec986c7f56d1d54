"""Small parts of peers: limits, waiting, messages, and errors that cross the wire."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.codec import MalformedError
from tallystick.errors import AccessError, IntegrityError, PeerError, RejectedError, UsageError
from tallystick.node.peers.bells import Backoff, Bell
from tallystick.node.peers.failures import (
    NotOrdererError,
    TooManyError,
    UnregisteredError,
    error_body,
    rebuild_refusal,
    status_of,
)
from tallystick.node.peers.limits import Allowance, PeerLimits, Slots
from tallystick.node.peers.messages import SignedBlock, decode_blocks, decode_list, encode_block, encode_list

BLOCKS = st.lists(
    st.tuples(st.binary(max_size=40), st.binary(max_size=70), st.lists(st.binary(max_size=40), max_size=3))
)


@given(BLOCKS)
def test_blocks_travel_as_they_are(blocks):
    """What is encoded is what is decoded."""
    data = b"".join(encode_block(*block) for block in blocks)
    assert [SignedBlock(*block) for block in blocks] == decode_blocks(data)


@given(st.binary(max_size=60))
def test_garbage_is_malformed_and_nothing_else(data):
    """Whatever a node answers, it is blocks, a list, or malformed."""
    for decode in (decode_blocks, lambda raw: decode_list(raw, 8)):
        try:
            decode(data)
        except MalformedError as error:
            assert error.reason


def test_block_that_ends_early_is_malformed():
    """A cut answer is no shorter answer."""
    data = encode_block(b"header", b"signature", [b"transaction"])
    for end in range(1, len(data)):
        with pytest.raises(MalformedError):
            decode_blocks(data[:end])


def test_list_has_its_limit():
    """One more than allowed is refused."""
    assert 3 == len(decode_list(encode_list([b""] * 3), 3))
    with pytest.raises(MalformedError):
        decode_list(encode_list([b""] * 4), 3)


def test_one_member_cannot_take_all_places_nor_another_members():
    """Places are counted by member; a place that was left is free again."""
    slots = Slots(PeerLimits(calls_per_peer=2))
    with slots.member("bank"), slots.member("bank"):
        with pytest.raises(TooManyError), slots.member("bank"):
            pass
        with slots.member("clinic"):
            pass
    with slots.member("bank"):
        pass


def test_strangers_share_few_places_and_leave_the_members_theirs():
    """Many addresses together get no more than the strangers' share."""
    slots = Slots(PeerLimits(calls_per_stranger=1, stranger_calls=2))
    with slots.stranger("a"), slots.stranger("b"):
        with pytest.raises(TooManyError), slots.stranger("c"):
            pass
        with slots.member("bank"):
            pass
    with slots.stranger("c"):
        pass


def test_allowance_comes_back_with_time():
    """A few in a row, then one after each interval; one key's use is not another's."""
    now = 0.0
    allowance = Allowance(2, 10.0, lambda: now)
    allowance.take("a")
    allowance.take("a")
    with pytest.raises(TooManyError):
        allowance.take("a")
    allowance.take("b")
    now = 10.0
    allowance.take("a")
    with pytest.raises(TooManyError):
        allowance.take("a")


async def test_bell_wakes_whoever_waits_for_what_arrived():
    """A ring makes all look; who waits for something else goes on waiting."""
    bell = Bell()
    height = 0
    first = asyncio.create_task(bell.wait_until(lambda: height >= 1, 30))
    second = asyncio.create_task(bell.wait_until(lambda: height >= 2, 30))
    await asyncio.sleep(0)
    height = 1
    bell.ring()
    assert await asyncio.wait_for(first, 10)
    assert not second.done()
    height = 2
    bell.ring()
    assert await asyncio.wait_for(second, 10)


async def test_bell_looks_by_itself_too_and_gives_up_in_time():
    """News that was lost delays by a look, not for ever; after the time given the answer is no."""
    bell = Bell()
    arrived = False
    waiting = asyncio.create_task(bell.wait_until(lambda: arrived, 30))
    await asyncio.sleep(0)
    arrived = True
    assert await asyncio.wait_for(waiting, 10)
    assert not await bell.wait_until(lambda: False, 0.01)


def test_backoff_grows_to_its_limit_and_begins_again():
    """Each wait is at most twice the one before, never above the limit, never none."""
    backoff = Backoff(first_s=1.0, limit_s=4.0)
    limits = [1.0, 2.0, 4.0, 4.0]
    for limit in limits:
        assert limit / 2 <= backoff.next_s() <= limit
    backoff.reset()
    assert backoff.next_s() <= 1.0


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (NotOrdererError("no", remedy="There."), 421, "not_orderer"),
        (TooManyError("no", remedy="Later."), 429, "too_many"),
        (UnregisteredError("no", remedy="Apply."), 403, "unregistered"),
        (AccessError("no", remedy="Ask."), 403, "access"),
        (UsageError("no", remedy="Ask."), 404, "usage"),
        (IntegrityError("no", remedy="Ask."), 409, "integrity"),
        (PeerError("no", remedy="Ask."), 503, "peer"),
        (RejectedError(3004, "request_closed", "no"), 409, "request_closed"),
    ],
)
def test_refusal_crosses_the_wire_with_its_word_and_remedy(error, status, word):
    """The other side can tell one refusal from another, and a person what to do."""
    assert status == status_of(error)
    rebuilt = rebuild_refusal("bank", status, error_body(error))
    assert "bank refuses: no" == rebuilt.message
    assert rebuilt.remedy
    if status not in (421, 429, 503):
        assert word in rebuilt.name


@given(st.integers(300, 599), st.binary(max_size=80) | st.just(b'{"error":"a\\nb","message":"\\u001b[31m","remedy":7}'))
def test_any_refusal_becomes_one_printable_line(status, data):
    """What a hostile node says reaches a terminal as one line of printable text."""
    rebuilt = rebuild_refusal("bank", status, data)
    for text in (rebuilt.message, rebuilt.remedy):
        assert text.isprintable()
        assert text
