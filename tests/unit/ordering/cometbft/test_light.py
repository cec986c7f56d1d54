"""What other engines tell before one begins: judged by what the ledger knows, and by who tells the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.codec import MalformedError
from tallystick.ordering.cometbft.light import choose_height, enough_have, judge, read_light_block, sources_needed
from tests.support.lightblocks import commit, tell, validators

CHAIN, HEIGHT, APP_HASH = "zone-1", 20, "ab" * 32
SEATS = {b"a" * 32: 10, b"b" * 32: 10}


def judged(told, **changes):
    """Return what is found of an answer."""
    expected = {"chain": CHAIN, "height": HEIGHT, "app_hash": bytes.fromhex(APP_HASH), "seats": lambda _: SEATS}
    return judge(told, **expected | changes)


def test_honest_sources_tell_the_same():
    """Two engines of one history give one header and one digest; the header is that of the height asked for."""
    told = tell(CHAIN, HEIGHT, APP_HASH, SEATS)
    header, digest = judged(told)
    assert (header, digest) == judged(tell(CHAIN, HEIGHT, APP_HASH, dict(reversed(SEATS.items()))))
    assert read_light_block(told.commits[0], told.validators[0]).hash == header


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (tell(CHAIN, HEIGHT, "cd" * 32, SEATS), "another app hash after block 20"),
        (tell("zone-2", HEIGHT, APP_HASH, SEATS), "the chain zone-2"),
        (tell(CHAIN, HEIGHT + 1, APP_HASH, SEATS), "a header of block 21 for one of block 20"),
        (tell(CHAIN, HEIGHT, APP_HASH, {b"a" * 32: 10, b"c" * 32: 10}), "other validators of block 20"),
        (tell(CHAIN, HEIGHT, APP_HASH, {b"a" * 32: 10}), "other validators of block 20"),
        (tell(CHAIN, HEIGHT, APP_HASH, SEATS | {b"a" * 32: 11}), "other validators of block 20"),
        (tell(CHAIN, HEIGHT, APP_HASH, SEATS)._replace(parameters="{"), "no parameters"),
        (tell(CHAIN, HEIGHT, APP_HASH, SEATS)._replace(commits=()), "not three heights"),
    ],
)
def test_what_is_not_of_this_history_is_refused_by_name(told, reason):
    """App hash, chain, heights and validators are the ledger's, or the answer counts for nothing."""
    with pytest.raises(MalformedError) as refused:
        judged(told)
    assert reason in refused.value.reason


def test_validators_are_those_of_each_height():
    """A change that counts from the second of the three heights is expected there, and not before."""
    later = SEATS | {b"c" * 32: 10}
    told = tell(CHAIN, HEIGHT, APP_HASH, SEATS)
    changed = told._replace(
        validators=[told.validators[0], *(validators(at, later) for at in (HEIGHT + 1, HEIGHT + 2))]
    )

    def seats(at):
        return SEATS if at == HEIGHT else later

    judged(changed, seats=seats)
    with pytest.raises(MalformedError, match="other validators of block 21"):
        judged(told, seats=seats)


@pytest.mark.parametrize("other", [{"turn": 7}, {"mark": "another"}, {"evidence": {"max_age_num_blocks": "1"}}])
def test_what_no_header_proves_must_be_told_alike(other):
    """Turns, headers and parameters that differ give another digest, so that they are never counted together."""
    assert judged(tell(CHAIN, HEIGHT, APP_HASH, SEATS))[1] != judged(tell(CHAIN, HEIGHT, APP_HASH, SEATS, **other))[1]


@given(st.binary(max_size=60))
def test_anything_else_is_malformed(data):
    """No answer raises anything but that."""
    text = data.decode("latin-1")
    good = (commit(CHAIN, 1, APP_HASH), validators(1, SEATS))
    for pair in ((text, good[1]), (good[0], text)):
        with pytest.raises(MalformedError):
            read_light_block(*pair)


def test_validators_that_are_not_all_are_refused():
    """A page of a longer list, or a key named twice, is no list of validators."""
    listed = json.loads(validators(1, SEATS))
    twice = listed | {"validators": [listed["validators"][0]] * 2}
    for told in (listed | {"total": "3"}, twice):
        with pytest.raises(MalformedError, match="not all"):
            read_light_block(commit(CHAIN, 1, APP_HASH), json.dumps(told))


@pytest.mark.parametrize(
    ("seats", "others", "needed"), [(1, 1, 1), (2, 1, 1), (3, 2, 2), (4, 3, 2), (4, 4, 2), (7, 6, 3), (10, 9, 4)]
)
def test_one_more_than_may_lie_must_tell_the_same(seats, others, needed):
    """And two where there are two."""
    assert needed == sources_needed(seats, others)


@pytest.mark.parametrize(
    ("wanted", "below", "height"),
    [(70, 150, 70), (10, 150, 50), (120, 150, 97), (70, 60, 59), (70, 51, 50), (70, 50, 0)],
)
def test_height_is_the_wanted_one_or_the_nearest_that_serves(wanted, below, height):
    """Others have it, with the two blocks behind it that the light client wants, and it is below the ledger's last."""
    assert height == choose_height(50, 99, wanted=wanted, below=below)


@given(
    honest=st.lists(st.tuples(st.integers(1, 50), st.integers(60, 100)), min_size=3, max_size=6),
    liars=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=1),
)
def test_one_liar_moves_neither_end_beyond_what_an_honest_one_says(honest, liars):
    """With two needed, the span found lies within what some honest engine has."""
    spans = honest + liars
    since, until = enough_have([first for first, _ in spans], [last for _, last in spans], 2)
    assert min(first for first, _ in honest) <= since
    assert until <= max(last for _, last in honest)
