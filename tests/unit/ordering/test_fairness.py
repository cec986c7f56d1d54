"""Shares and turns: however much some send, who sends little is neither refused nor kept waiting."""

from hypothesis import given
from hypothesis import strategies as st

from tallystick.ordering.fairness import FairQueue, Share, Shares


def test_nobody_has_more_than_its_share_or_than_is_free():
    """One has at most its share; several that flood leave as much free as each of them has."""
    shares = Shares(Share(10, 1_000), Share(24, 1_000))
    names = ["a", "b", "c", "d"]
    for _ in range(20):
        for name in names[:3]:
            if shares.has_room(name, 1):
                shares.add(name, 1)
    assert [6, 6, 6] == [shares.count(name) for name in names[:3]]
    for _ in range(3):
        assert shares.has_room("d", 1)
        shares.add("d", 1)
    assert not shares.has_room("a", 1)
    assert not shares.has_room("d", 1)


def test_bytes_count_too_and_are_given_back():
    """A share is also one of bytes; what leaves makes room again."""
    shares = Shares(Share(10, 100), Share(100, 1_000))
    assert not shares.has_room("a", 101)
    shares.add("a", 60)
    assert not shares.has_room("a", 41)
    assert shares.has_room("b", 41)
    shares.remove("a", 60)
    assert shares.has_room("a", 100)
    assert 0 == shares.count("a")


def test_small_ones_pass_a_backlog():
    """Who comes with one small thing is next, whatever another has waiting, and each keeps its own order."""
    queue = FairQueue()
    for number in range(100):
        queue.put("flood", f"flood {number}", 10)
    assert ["flood 0", "flood 1", "flood 2"] == queue.take(most=3)
    queue.put("other", "other 0", 10)
    queue.put("other", "other 1", 10)
    assert {"other 0", "other 1", "flood 3"} == set(queue.take(most=3))
    assert 97 - 1 == len(queue)


def test_turns_are_by_cost():
    """Ten that cost one weigh as much as one that costs ten."""
    queue = FairQueue()
    for number in range(40):
        queue.put("small", ("small", number), 1)
        queue.put("large", ("large", number), 10)
    taken = [name for name, _ in queue.take(most=33)]
    assert 3 == taken.count("large")


def test_silence_earns_no_credit():
    """Who had nothing waiting for long comes in at the present turn and does not hold up the others."""
    queue = FairQueue()
    queue.put("late", "first", 1)
    for number in range(100):
        queue.put("busy", number, 1)
    queue.take(most=80)
    for number in range(20):
        queue.put("late", f"late {number}", 1)
    taken = queue.take(most=10)
    assert 4 <= sum(isinstance(item, int) for item in taken) <= 6


def test_what_does_not_fit_holds_up_its_own_lane_only():
    """Behind one that does not fit its own wait, others go on; next time it is first."""
    queue = FairQueue()
    for item in (5, 1):
        queue.put("a", item, item)
    for _ in range(4):
        queue.put("b", 2, 2)
    assert [2, 2, 2, 2] == queue.take(lambda item: item < 3)
    queue.put("b", 2, 2)
    assert [5, 2, 1] == sorted(queue.take(), reverse=True)


def test_what_is_put_back_is_in_front():
    """What could not be used comes before what arrived later."""
    queue = FairQueue()
    for item in "xyz":
        queue.put("a", item, 1)
    first, second = queue.take(most=2)
    queue.put_back("a", second, 1)
    queue.put_back("a", first, 1)
    assert ["x", "y", "z"] == queue.take()
    assert [] == queue.clear()


@given(
    backlogs=st.lists(st.lists(st.integers(1, 9), min_size=30, max_size=30), min_size=2, max_size=5),
    rounds=st.lists(st.integers(1, 7), max_size=12),
)
def test_backlogs_get_equal_shares(backlogs, rounds):
    """While all have something waiting, what any two got differs by at most what one transaction costs."""
    queue = FairQueue()
    for name, costs in enumerate(backlogs):
        for cost in costs:
            queue.put(str(name), (name, cost), cost)
    got = [0] * len(backlogs)
    left = [len(costs) for costs in backlogs]
    for most in rounds:
        for name, cost in queue.take(most=most):
            got[name] += cost
            left[name] -= 1
        if not all(left):
            break
        assert max(got) - min(got) <= 9
