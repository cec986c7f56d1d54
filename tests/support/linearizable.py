"""Judge whether a recorded concurrent history is linearizable: each operation as if at one instant between call and return.

Sources: J. Wing and C. Gong, "Testing and verifying concurrent objects" (1993), the search; G. Lowe, "Testing for
linearizability" (2016), remembering what was tried: which operations are done, and the value that they left. A history
of many registers is linearizable where that of each register is (M. Herlihy and J. Wing, 1990), so each is judged alone.

An operation whose answer never came (`returned` is None) may have happened at any time after its call, or not at all.
One whose answer says that it happened, but not how it ended, has the result `UNKNOWN`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from enum import Enum
from typing import Any, Literal, NamedTuple

MOST_STEPS = 5_000_000


class Unknown(Enum):
    """The result of an operation that happened, and of which no more is known."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN
Kind = Literal["read", "write", "swap"]


class UndecidedError(AssertionError):
    """The history was neither found to be linearizable nor not within the steps that were allowed."""


class Operation(NamedTuple):
    """One operation on one register, and what its caller saw.

    Attributes:
        register: which.
        kind: `read`; `write` of `value`; `swap` of `expected` for `value`, which does nothing where another is found.
        called: when it was asked for.
        returned: when its caller had the answer; None where no answer came.
        value: written, or swapped in.
        expected: by a swap.
        result: the value that was read; whether a swap took place; UNKNOWN.
        process: who called, for messages.
    """

    register: str
    kind: Kind
    called: float
    returned: float | None
    value: Hashable = None
    expected: Hashable = None
    result: Any = UNKNOWN
    process: str = ""


class Verdict(NamedTuple):
    """What was found.

    Attributes:
        register: one that is not linearizable, or empty where all are.
        longest: the longest order that explains a part of its history.
        stuck: operations that no order of that part leaves room for.
        steps: how many orders were tried, in all registers.
    """

    register: str
    longest: tuple[Operation, ...]
    stuck: tuple[Operation, ...]
    steps: int

    def __bool__(self) -> bool:
        return not self.register

    def __str__(self) -> str:
        if self:
            return f"linearizable, {self.steps} steps"
        order = "\n".join(f"  {each}" for each in self.longest[-12:])
        stuck = "\n".join(f"  {each}" for each in self.stuck)
        return f"{self.register} is not linearizable: after\n{order}\nnone of these can be next\n{stuck}"


def apply(value: Hashable, operation: Operation) -> tuple[bool, Hashable]:
    """Return whether an operation can have had its result on a register of this value, and the value that it leaves."""
    known = operation.result is not UNKNOWN
    if operation.kind == "read":
        return not known or operation.result == value, value
    if operation.kind == "write":
        return True, operation.value
    swapped = operation.expected == value
    return not known or operation.result == swapped, operation.value if swapped else value


def judge(history: Sequence[Operation], initial: Hashable = None, most_steps: int = MOST_STEPS) -> Verdict:
    """Judge a history.

    Args:
        history: in any order.
        initial: the value of every register before it.
        most_steps: for each register.

    Raises:
        UndecidedError: it would take more steps.
    """
    registers: dict[str, list[Operation]] = {}
    for operation in history:
        registers.setdefault(operation.register, []).append(operation)
    steps = 0
    for register, operations in registers.items():
        verdict = _Search(operations, initial, most_steps).run(register)
        steps += verdict.steps
        if not verdict:
            return verdict._replace(steps=steps)
    return Verdict("", (), (), steps)


class _Search:
    """Depth first over the orders of one register's operations; a set of operations that are done is a number's bits."""

    def __init__(self, operations: Sequence[Operation], initial: Hashable, most_steps: int) -> None:
        self._operations = sorted(operations, key=lambda each: each.called)
        self._ends = [float("inf") if each.returned is None else each.returned for each in self._operations]
        self._initial = initial
        self._most_steps = most_steps
        # Those that are known to have happened; with all of these done, what else may have happened does not matter.
        self._needed = sum(1 << at for at, end in enumerate(self._ends) if end != float("inf"))

    def run(self, register: str) -> Verdict:
        done, value, steps = 0, self._initial, 0
        seen = {(done, value)}
        path: list[int] = []
        stack = [self._candidates(done)]
        longest: list[int] = []
        stuck = done
        before: list[tuple[int, Hashable]] = []
        while done & self._needed != self._needed:
            at = next(stack[-1], None)
            if at is None:
                stack.pop()
                if not stack:
                    next_ones = tuple(self._operations[each] for each in self._candidates(stuck))
                    return Verdict(register, tuple(self._operations[each] for each in longest), next_ones, steps)
                done, value = before.pop()
                path.pop()
                continue
            steps += 1
            if steps > self._most_steps:
                raise UndecidedError(f"{register}: undecided after {steps} steps; record a shorter history")
            possible, left = apply(value, self._operations[at])
            reached = (done | 1 << at, left)
            if not possible or reached in seen:
                continue
            seen.add(reached)
            before.append((done, value))
            path.append(at)
            done, value = reached
            stack.append(self._candidates(done))
            if len(path) > len(longest):
                longest, stuck = list(path), done
        return Verdict("", (), (), steps)

    def _candidates(self, done: int) -> Iterator[int]:
        """Yield what may be next: what was called before anything else that is not done had returned; urgent ones first."""
        # The lowest bit that is not set is the first operation that is not done.
        first = ((done + 1) & ~done).bit_length() - 1
        soonest = float("inf")
        found: list[int] = []
        for at in range(first, len(self._operations)):
            if done >> at & 1:
                continue
            if self._operations[at].called > soonest:
                break
            found.append(at)
            soonest = min(soonest, self._ends[at])
        return iter(sorted(found, key=self._ends.__getitem__))
