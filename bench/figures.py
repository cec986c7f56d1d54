"""What every bench shares: one JSON line a figure, the ceiling of signature checks, memory and disk of what ran.

A rate is given as a share of a ceiling that was measured in the same seconds, because absolute rates say more about the
machine, and about who else uses it, than about the program. Of several rounds the best rate counts, over the best ceiling
of all of them: whatever else runs only ever makes either slower, while the best of their ratios would be that of the
round whose ceiling was disturbed most.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tallystick.keys import ED25519

_VERIFY_SECONDS = 0.5
AT_LEAST, LESS_THAN = "at least", "less than"
_printed: list[dict[str, Any]] = []


class Round(NamedTuple):
    """One measurement of a rate, and V beside it."""

    rate: float
    ceiling: float

    @property
    def share(self) -> float:
        """The rate as a share of V."""
        return self.rate / self.ceiling


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    goal: float,
    rule: str,
    ceiling: float | None = None,
    ceiling_name: str = "V",
    **details: Any,
) -> dict[str, Any]:
    """Print a figure as one JSON line, and return it.

    Args:
        name: of the figure.
        value: what was measured.
        unit: of value and ceiling.
        goal: for the share of the ceiling where there is one, else for the value.
        rule: `AT_LEAST` or `LESS_THAN`.
        ceiling: what was measured beside it; then `ratio` is value / ceiling.
        ceiling_name: what the ceiling is.
        details: anything else worth a column.
    """
    ratio = None if ceiling is None else value / ceiling
    judged = value if ratio is None else ratio
    line: dict[str, Any] = {"name": name, "value": value, "unit": unit}
    if ratio is not None:
        line |= {"ceiling": ceiling, "ceiling_name": ceiling_name, "ratio": ratio}
    line |= {"goal": goal, "rule": rule, "met": judged >= goal if rule == AT_LEAST else judged < goal} | details
    return _print(line)


def report(name: str, value: float, unit: str, **details: Any) -> dict[str, Any]:
    """Print a figure that has no goal, one row of a table, and return it."""
    return _print({"name": name, "value": value, "unit": unit} | details)


def _print(line: dict[str, Any]) -> dict[str, Any]:
    line = {key: _short(item) for key, item in line.items()}
    print(json.dumps(line), flush=True)
    _printed.append(line)
    return line


def all_met() -> bool:
    """Tell whether every figure printed by this process met its goal."""
    return all(line.get("met", True) for line in _printed)


def best_of(rounds: Sequence[Round]) -> Round:
    """Return the best rate and the best ceiling of several rounds."""
    return Round(max(each.rate for each in rounds), max(each.ceiling for each in rounds))


def rate_figure(name: str, rounds: Sequence[Round], unit: str, *, goal: float, **details: Any) -> dict[str, Any]:
    """Print the best of several rounds as a share of V."""
    best = best_of(rounds)
    rates = [round(each.rate) for each in rounds]
    return figure(name, best.rate, unit, goal=goal, rule=AT_LEAST, ceiling=best.ceiling, rounds=rates, **details)


def _short(value: Any) -> Any:
    """Return a number, or those of a mapping, with no more digits than mean anything."""
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return round(value, 4 if abs(value) < 10 else 1) if isinstance(value, float) else value


async def beside_v(work: Callable[[], Awaitable[float]]) -> Round:
    """Return a rate with the better V of just before and just after it."""
    before = verifies_per_second()
    rate = await work()
    return Round(rate, max(before, verifies_per_second()))


def verifies_per_second() -> float:
    """Return V: Ed25519 signatures of 400-byte messages that one core checks in a second, now, on this machine."""
    signer = ED25519.from_private(b"v" * 32)
    message = b"m" * 400
    signature = signer.sign(message)
    checks = 0
    started = time.perf_counter()
    while time.perf_counter() - started < _VERIFY_SECONDS:
        for _ in range(500):
            ED25519.verify(signer.public_key, message, signature)
        checks += 500
    return checks / (time.perf_counter() - started)


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process and its children, MiB."""
    total = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if str(pid) in (fields["Pid"].strip(), fields["PPid"].strip()):
            total += int(fields.get("VmRSS", "0 kB").split()[0]) / 1024
    return total


def bytes_on_disk(*paths: Path) -> int:
    """Return the bytes that files and folders take, as allocated blocks."""
    total = 0
    for path in paths:
        files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
        for item in files:
            # What is measured may be running, and replace its files.
            with suppress(FileNotFoundError):
                total += item.stat().st_blocks * 512
    return total


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share (0 to 1) of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
