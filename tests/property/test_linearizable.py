"""The judge of linearizability: what a real register did is always accepted, what none can have done is found.

Its verdicts on small histories are those of a judge that tries every order of every subset, and nothing cleverer.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.support.linearizable import UNKNOWN, Operation, UndecidedError, apply, judge


def read(result: Any, called: float, returned: float | None, register: str = "r") -> Operation:
    return Operation(register, "read", called, returned, result=result)


def write(value: Any, called: float, returned: float | None, register: str = "r") -> Operation:
    return Operation(register, "write", called, returned, value=value, result=True)


def swap(expected: Any, value: Any, result: Any, called: float, returned: float | None) -> Operation:
    return Operation("r", "swap", called, returned, value=value, expected=expected, result=result)


PLANTED = {
    "stale read": [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)],
    "lost write": [write(1, 0, 1), read(None, 2, 3)],
    "read of what nobody wrote": [write(1, 0, 1), read(7, 0, 3)],
    "reads in another order than the writes": [write(1, 0, 9), read(1, 1, 2), read(None, 3, 4)],
    "two readers see two orders": [write(1, 0, 9), write(2, 0, 9), *map(read, (1, 2, 1), (1, 3, 5), (2, 4, 6))],
    "two swaps from one value": [swap(None, 1, True, 0, 5), swap(None, 2, True, 0, 5)],
    "swap refused though nothing else was there": [swap(None, 1, False, 0, 1)],
    "answered write undone by one that was never answered": [
        write(1, 0, None),
        write(2, 1, 2),
        read(2, 3, 4),
        read(1, 5, 6),
        read(2, 7, 8),
    ],
}
HELD = {
    "nothing at all": [],
    "unanswered write seen": [write(1, 0, None), read(None, 1, 2), read(1, 3, 4)],
    "unanswered write never seen": [write(1, 0, None), read(None, 1, 2), read(None, 3, 4)],
    "unanswered write seen long after": [write(1, 0, None), write(2, 1, 2), read(2, 3, 4), read(1, 5, 6)],
    "concurrent read before the write": [write(1, 0, 5), read(None, 1, 4)],
    "answers that touch are concurrent": [write(1, 0, 1), read(None, 1, 2)],
    "swap that happened, no more is known": [write(1, 0, 1), swap(1, 2, UNKNOWN, 2, 3), read(2, 4, 5)],
    "one of two swaps": [swap(None, 1, True, 0, 5), swap(None, 2, False, 0, 5), read(1, 6, 7)],
    "each register for itself": [write(1, 0, 1, "a"), write(2, 0, 1, "b"), read(1, 2, 3, "a"), read(2, 2, 3, "b")],
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_violation_is_found(name: str) -> None:
    """Each way in which a register can lie is found, and the register is named."""
    verdict = judge(PLANTED[name])
    assert not verdict
    assert "r is not linearizable" in str(verdict)
    assert verdict.stuck


@pytest.mark.parametrize("name", HELD)
def test_what_a_register_may_do_is_accepted(name: str) -> None:
    """Concurrency and missing answers excuse what they can excuse."""
    verdict = judge(HELD[name])
    assert verdict, str(verdict)


def test_violation_in_one_register_among_many_is_named() -> None:
    """What is wrong with one register is not hidden by others that are right."""
    history = [write(1, 0, 1, f"r{number}") for number in range(5)] + [read(None, 2, 3, "r3")]
    assert "r3" == judge(history).register


def test_search_that_takes_too_long_says_so() -> None:
    """An undecided history is never passed off as a good one."""
    history = [write(value, 0, 100) for value in range(12)] + [read("none", 101, 102)]
    with pytest.raises(UndecidedError, match="undecided"):
        judge(history, most_steps=1_000)


KINDS = st.sampled_from(("read", "write", "swap"))
VALUES = st.sampled_from((None, 1, 2))


@st.composite
def executed(draw: st.DrawFn) -> list[Operation]:
    """Draw what callers saw of a real register: executed one after the other, with intervals around the instants."""
    history: list[Operation] = []
    value: Any = None
    for instant in range(draw(st.integers(0, 40))):
        around = [draw(st.integers(0, 12)) / 4 for _ in range(2)]
        asked = Operation("r", draw(KINDS), instant - around[0], instant + around[1], draw(VALUES), draw(VALUES))
        if draw(st.integers(0, 9)) == 0:
            # No answer: it happened, or it did not.
            happened, answered = draw(st.booleans()), asked._replace(returned=None)
        else:
            happened = True
            swapped = asked.expected == value
            result = value if asked.kind == "read" else swapped if asked.kind == "swap" else True
            answered = asked._replace(result=draw(st.sampled_from((result, result, result, UNKNOWN))))
        if happened:
            _, value = apply(value, asked)
        history.append(answered)
    return draw(st.permutations(history))


@given(executed())
def test_what_a_real_register_did_is_always_accepted(history: list[Operation]) -> None:
    """However calls overlap and answers get lost, a history with an order behind it is never refused."""
    verdict = judge(history)
    assert verdict, str(verdict)


@st.composite
def small(draw: st.DrawFn) -> list[Operation]:
    """Draw a few operations with any results at all."""
    history = []
    for _ in range(draw(st.integers(1, 5))):
        called = draw(st.integers(0, 8))
        kind = draw(KINDS)
        result = draw(st.booleans()) if kind == "swap" else draw(VALUES) if kind == "read" else True
        returned = draw(st.one_of(st.none(), *[st.integers(called, 9)] * 4))
        history.append(Operation("r", kind, called, returned, draw(VALUES), draw(VALUES), result))
    return history


def has_an_order(history: list[Operation]) -> bool:
    """Try every order of every choice of the unanswered; slow, and plainly what linearizable means."""
    answered = [each for each in history if each.returned is not None]
    unanswered = [each for each in history if each.returned is None]
    for count in range(len(unanswered) + 1):
        for some in itertools.combinations(unanswered, count):
            if any(_explains(order) for order in itertools.permutations([*answered, *some])):
                return True
    return False


def _explains(order: tuple[Operation, ...]) -> bool:
    value: Any = None
    for at, operation in enumerate(order):
        if any(later.returned is not None and later.returned < operation.called for later in order[at + 1 :]):
            return False
        possible, value = apply(value, operation)
        if not possible:
            return False
    return True


@given(small())
def test_verdict_is_that_of_trying_everything(history: list[Operation]) -> None:
    """Remembering what was tried, and the order of trying, change no verdict."""
    expected = has_an_order(history)
    event(f"linearizable: {expected}")
    assert expected == bool(judge(history))


@given(executed(), st.data())
def test_altered_history_is_judged_as_trying_everything_does(history: list[Operation], data: st.DataObject) -> None:
    """One read that is given another result: refused exactly where no order explains it any more."""
    history = sorted(history, key=lambda each: each.called)[:6]
    reads = [at for at, each in enumerate(history) if each.kind == "read"]
    if reads:
        at = data.draw(st.sampled_from(reads))
        history[at] = history[at]._replace(result=data.draw(VALUES))
    assert has_an_order(history) == bool(judge(history))
