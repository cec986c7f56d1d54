"""How soon the command line answers."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.figures import LESS_THAN, figure, percentile

HELP_GOAL_MS = 300


async def run(folder: Path, *, short: bool) -> None:
    """Measure `tally --help` beside the import of the library that parses its arguments."""
    del folder
    runs = 3 if short else 15
    tally = str(Path(sys.executable).with_name("tally"))
    times: dict[str, list[float]] = {"tally": [], "import": []}
    for _ in range(runs):
        for name, command in (("tally", [tally, "--help"]), ("import", [sys.executable, "-c", "import typer"])):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append((time.perf_counter() - started) * 1000)
    median = percentile(times["tally"], 0.5)
    alone = percentile(times["import"], 0.5)
    figure("tally_help", median, "ms", goal=HELP_GOAL_MS, rule=LESS_THAN, import_typer_ms=alone)
