"""Put the figures of a bench run into the README: `python -m bench | tee FILE; python -m tools.write_bench FILE`.

The table stands between `<!-- bench:begin -->` and `<!-- bench:end -->`, with the machine that it was measured on. A run
of a few benches is refused: the file must hold every figure, so that no table mixes runs.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tools.tracked import ROOT

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

# Figure -> what a reader is told it is, in the order of the table.
LABELS = {
    "embedded_single": "transactions of one operation, many in flight, 200,000 records",
    "embedded_batched": "operations in transactions of 500, 200,000 records",
    "embedded_single_large": "the first at 1,000,000 records",
    "embedded_batched_large": "the second at 1,000,000 records",
    "lone_client": "one lone client, median",
    "http_single": "over HTTP, one transaction a request",
    "http_bulk": "over HTTP, 100 transactions a request",
    "replay": "a replica checks and keeps, transactions of one operation",
    "restart": "restart after `kill -9` at 100,000 operations",
    "memory": "memory of a node's processes at 1,000,000 records",
    "disk": "disk for an operation, tiles included",
    "receipt_size": "a receipt with three cosignatures",
    "receipt_verify": "receipts verified by one core",
    "delivery": "delivery of 1 GiB: encryption, TLS, fingerprint and disk included",
    "delivery_provider_memory": "memory of who sends it",
    "delivery_consumer_memory": "memory of who receives it",
    "tally_help": "`tally --help`, median",
    "state_sync": "a newcomer to 1,000,000 records, until it answers",
    "one_validator": "one validator, transactions of one operation",
    "four_single": "four validators on this machine: the same",
    "four_batched": "four validators: operations in transactions of 500",
    "four_commit_median": "four validators: commit at half of that load, median",
    "four_commit_p99": "the same, 99th percentile",
    "four_disk": "four validators: disk over all four",
    "four_idle": "four validators: idle, all processes",
    "validator_memory": "memory of a validator: engine, core with verifier",
}


class FiguresError(ValueError):
    """The figures or the page are not what they must be; the message says how to go on."""


def read_figures(lines: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the figures of a run by name.

    Raises:
        FiguresError: a figure is missing.
    """
    found = {}
    for line in lines:
        if line.startswith("{"):
            figure = json.loads(line)
            found[figure["name"]] = figure
    missing = [name for name in LABELS if name not in found]
    if missing:
        raise FiguresError(f"no figure {', '.join(missing)}: give the output of a whole `make bench`")
    return found


def table(figures: dict[str, dict[str, Any]], machine: str) -> str:
    """Return the Markdown of all figures."""
    lines = ["| what | measured | share of its ceiling | goal |", "|---|---|---|---|"]
    for name, label in LABELS.items():
        figure = figures[name]
        share = f"{figure['ratio']:.2f} of {figure['ceiling_name']}" if "ratio" in figure else ""
        bound = "or more" if figure["rule"] == "at least" else "less than"
        goal = f"{bound} {figure['goal']:g}" if bound == "less than" else f"{figure['goal']:g} {bound}"
        missed = "" if figure["met"] else " (**missed**)"
        lines.append(f"| {label} | {_number(figure['value'])} {figure['unit']} | {share} | {goal}{missed} |")
    below = f"V is the rate at which one core verifies Ed25519 signatures{_range(figures)}. Machine: {machine}."
    return "\n".join([*lines, "", below])


def _range(figures: dict[str, dict[str, Any]]) -> str:
    """Return what V was in a run: it tells how fast the machine was while absolute figures were taken."""
    found = [figure["ceiling"] for figure in figures.values() if figure.get("ceiling_name") == "V"]
    found += [figure["v"] for figure in figures.values() if "v" in figure]
    return f", here {min(found):,.0f} to {max(found):,.0f} a second" if found else ""


def _number(value: float) -> str:
    return f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def machine() -> str:
    """Describe this machine in a few words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, Python {platform.python_version()}"


def replaced(page: str, content: str) -> str:
    """Return a page with the content between the marks.

    Raises:
        FiguresError: the page has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise FiguresError(f"the page has no lines {BEGIN} and {END}: put them where the table is to stand")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """Return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m tools.write_bench FILE", file=sys.stderr)
        return 2
    path = ROOT / "README.md"
    try:
        figures = read_figures(Path(arguments[0]).read_text(encoding="utf-8").splitlines())
        path.write_text(replaced(path.read_text(encoding="utf-8"), table(figures, machine())), encoding="utf-8")
    except (OSError, FiguresError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{path.name} holds the figures; look at them: git diff README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
