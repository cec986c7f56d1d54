"""What a check found: places, with what belongs there and what stands there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest

Progress = Callable[[int, int], None]
"""`progress(done, total)`: blocks."""

MAX_FINDINGS = 50
_SHOWN = 80
_BEFORE = 24

Cell = int | float | str | bytes | None
"""A value as SQLite gives it; text that is not UTF-8 has its bad bytes escaped (PEP 383)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        place: where, such as `block 17: transactions row 42: column bytes`.
        expected: what belongs there, shortened; "" where there is nothing to compare with.
        found: what stands there, shortened.
        what: one sentence.
    """

    place: str
    expected: str
    found: str
    what: str

    def __str__(self) -> str:
        compared = f" (expected {self.expected}, found {self.found})" if self.expected or self.found else ""
        return f"{self.place}: {self.what}{compared}"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check.

    Attributes:
        findings: in the order in which they were met, the first damaged place first; at most `MAX_FINDINGS`.
        complete: whether everything was looked at; if not, the findings say what stopped it.
        blocks: replayed and found good.
        transactions: in those blocks.
        operations: in the history after those blocks.
        events: that those blocks caused.
        records: in the state after those blocks.
        begun: height of the block that this copy began from, where what was before is not held yet; else 0. Nothing was
            looked at up to there, and the counts begin with what was before.
        sealed: height of the newest of those blocks that more than two thirds of those who order have signed; all before
            it stand with it.
    """

    findings: tuple[Finding, ...]
    complete: bool
    blocks: int
    transactions: int
    operations: int
    events: int
    records: int
    sealed: int
    begun: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything was looked at and is as it should be."""
        return self.complete and not self.findings

    @property
    def first(self) -> Finding | None:
        """The first damaged place, or None."""
        return self.findings[0] if self.findings else None


class DamageError(Exception):
    """A part of the check cannot go on after this finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.place)
        self.finding = finding


@dataclass(slots=True)
class Notes:
    """Findings and counts while a check runs."""

    findings: list[Finding] = field(default_factory=list)
    complete: bool = True
    blocks: int = 0
    transactions: int = 0
    operations: int = 0
    events: int = 0
    records: int = 0
    sealed: int = 0
    begun: int = 0

    def add(self, finding: Finding) -> None:
        """Note a finding; beyond the limit they are only known to be there."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        else:
            self.complete = False

    def say(self, place: str, what: str) -> None:
        """Note a finding that has nothing to compare."""
        self.add(Finding(place, "", "", what))

    def report(self) -> Report:
        """Return what was found."""
        return Report(
            tuple(self.findings),
            self.complete,
            self.blocks,
            self.transactions,
            self.operations,
            self.events,
            self.records,
            self.sealed,
            self.begun,
        )


def damage(place: str, what: str, expected: Cell = "", found: Cell = "") -> DamageError:
    """Return the error that stops a part of the check at a place."""
    if expected == "" and found == "":
        return DamageError(Finding(place, "", "", what))
    return DamageError(difference(place, what, expected, found))


def difference(place: str, what: str, expected: Cell, found: Cell) -> Finding:
    """Return the finding for a value that is not the one that belongs there."""
    start = _first_difference(expected, found)
    return Finding(place, _shown(expected, start), _shown(found, start), what)


def is_same(expected: Cell, found: Cell) -> bool:
    """Tell whether two cells are alike, storage class included: SQLite would call 1 and 1.0 equal."""
    return type(expected) is type(found) and expected == found


def _first_difference(expected: Cell, found: Cell) -> int:
    if isinstance(expected, (str, bytes)) and isinstance(found, (str, bytes)) and type(expected) is type(found):
        for position, (mine, theirs) in enumerate(zip_longest(expected, found)):
            if mine != theirs:
                return position
    return 0


def _shown(value: Cell, start: int) -> str:
    """Return a cell for people: its kind where that is not plain, and the part around the first difference."""
    if value is None:
        return "nothing"
    if isinstance(value, (int, float)):
        return ascii(value)
    begin = 0 if len(value) <= _SHOWN // (1 if isinstance(value, str) else 2) else max(0, start - _BEFORE)
    part = value[begin : begin + _SHOWN // (1 if isinstance(value, str) else 2)]
    text = ascii(part) if isinstance(part, str) else f"x'{part.hex()}'"
    before = "..." if begin else ""
    after = "..." if begin + len(part) < len(value) else ""
    return f"{before}{text}{after}"
