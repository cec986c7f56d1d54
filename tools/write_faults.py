"""Run the fault suite and write its table: `python -m tools.write_faults [RECORD [AGAIN]]`.

Without a record the suite in tests/fault runs first, at the length that `TALLY_FAULT_ROUNDS` asks for. The page is
written only from a record that holds every fault the suite knows, so that no table mixes runs. Scenes that were run again
by themselves, as what they show has changed since, may be given as a second record; their rows are marked.

`check_faults` needs no run: the page's rows are the faults that the suite knows, and each of these has a scene.
"""

from __future__ import annotations

import ast
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from tests.support.faults import FAULTS, RECORD_VARIABLE
from tools.tracked import ROOT
from tools.write_bench import machine

PAGE = "docs/reference/faults.md"
_MARK = "¹"
SUITE = "tests/fault"
_TOP = """# Faults, and what came of them

<!-- Written by tools/write_faults.py; `make faults` runs the suite and writes it anew. -->

Each row is a fault that `tests/fault` brings about on real nodes: how often, how many acknowledged operations a copy
lacked afterwards or had elsewhere than it was told, at how many heights two copies differed, and how long it took until
work went on by itself. Commands: `make test TESTS=tests/fault` at the usual length, `make soak` at a long one, `make
faults` to write this page. What a client may rely on meanwhile is in [consistency](../design/consistency.md).

| fault | times tried | acknowledged and lost | forked | seconds to recover, median | worst |
|---|---:|---:|---:|---:|---:|
"""


class RecordError(ValueError):
    """The record of a run is not what it must be; the message says how to go on."""


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one line of a record says, or all lines of one fault added up."""

    fault: str
    tried: int
    lost: int
    forked: int
    recovery_s: list[float]


def read_record(lines: Iterable[str], *, whole: bool = True) -> dict[str, Row]:
    """Return what a run recorded, added up by fault.

    Args:
        lines: of the record.
        whole: whether it must be of the whole suite.

    Raises:
        RecordError: a line is none of ours, or a fault is missing or unknown.
    """
    found: dict[str, Row] = {}
    for number, line in enumerate(lines, start=1):
        try:
            row = msgspec.json.decode(line, type=Row)
        except msgspec.DecodeError as error:
            raise RecordError(f"line {number} is no line of a fault record: {error}") from None
        before = found.get(row.fault)
        found[row.fault] = row if before is None else _added(before, row)
    unknown = sorted(found.keys() - FAULTS.keys())
    missing = [name for name in FAULTS if name not in found]
    if unknown:
        raise RecordError(
            f"the suite knows no fault {', '.join(unknown)}: name it in FAULTS of tests/support/faults.py"
        )
    if missing and whole:
        raise RecordError(f"no row of {', '.join(missing)}: give the record of a whole run of {SUITE}")
    return found


def _added(one: Row, other: Row) -> Row:
    return Row(
        fault=one.fault,
        tried=one.tried + other.tried,
        lost=one.lost + other.lost,
        forked=one.forked + other.forked,
        recovery_s=[*one.recovery_s, *other.recovery_s],
    )


def page(rows: Mapping[str, Row], where: str, again: Mapping[str, Row] | None = None) -> str:
    """Return the whole page.

    Args:
        rows: by fault, all of them.
        where: the machine, in a few words.
        again: by fault, those that were run again by themselves.
    """
    later = again or {}
    lines = [_line(label, later.get(name, rows[name]), _MARK * (name in later)) for name, label in FAULTS.items()]
    note = f"\n{_MARK} Run again by itself, later than the rest.\n" if later else ""
    return f"{_TOP}{''.join(lines)}{note}\nMachine: {where}.\n"


def _line(label: str, row: Row, mark: str) -> str:
    median, worst = "", ""
    if row.recovery_s:
        median, worst = f"{statistics.median(row.recovery_s):.1f}", f"{max(row.recovery_s):.1f}"
    return f"| {label} | {row.tried}{mark} | {_marked(row.lost)} | {_marked(row.forked)} | {median} | {worst} |\n"


def _marked(count: int) -> str:
    return f"**{count}**" if count else "0"


def check_faults(root: Path = ROOT, faults: Mapping[str, str] = FAULTS) -> list[str]:
    """Return a line for each fault without a row or a scene, and for each row without a fault."""
    text = (root / PAGE).read_text(encoding="utf-8") if (root / PAGE).exists() else ""
    labels = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")][1:]
    named = {word for path in sorted((root / SUITE).glob("*.py")) for word in _strings(path)}
    problems = [f"{PAGE}: no row of {name}; type: make faults" for name in faults if faults[name] not in labels]
    problems += [
        f"{PAGE}: the suite knows no fault {label!r}; type: make faults"
        for label in labels
        if label not in faults.values()
    ]
    problems += [f"{SUITE}: no scene records the fault {name}" for name in faults if name not in named]
    return problems


def _strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def run_suite(record: Path) -> int:
    """Run the fault suite, one scene after the other, into a record; return pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SUITE]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, RECORD_VARIABLE: str(record)}, check=False).returncode


def _lines_of(record: Path) -> list[str]:
    return record.read_text(encoding="utf-8").splitlines()


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 written, 1 the suite failed or the record is incomplete, 2 bad usage."""
    if len(arguments) > 2 or any(word.startswith("-") for word in arguments):
        print("usage: python -m tools.write_faults [RECORD [AGAIN]]", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        record = Path(arguments[0]) if arguments else Path(folder) / "faults.jsonl"
        if not arguments and run_suite(record):
            print("error: the fault suite failed, see above; no table was written", file=sys.stderr)
            return 1
        try:
            rows = read_record(_lines_of(record))
            again = read_record(_lines_of(Path(arguments[1])), whole=False) if len(arguments) == 2 else {}
        except (OSError, RecordError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    (ROOT / PAGE).write_text(page(rows, machine(), again), encoding="utf-8")
    print(f"{PAGE} holds the table; look at it: git diff {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
