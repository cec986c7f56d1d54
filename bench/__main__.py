"""`python -m bench [NAME...] [--short]`: print the figures, one JSON line each; exit 1 where a goal is missed.

Names: receipts, command, replay, http, embedded, delivery, state_sync, distributed; all of them by default, in this order.
With --network those of whole networks instead, which take longer: growth, copies, pilot. With --short the sizes are a tenth:
for a look whether it runs, the goals being those of the full sizes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from bench import (
    command,
    copies,
    delivery,
    distributed,
    embedded,
    figures,
    growth,
    http,
    receipts,
    replay,
    state_sync,
)

BENCHES: dict[str, Callable[..., Awaitable[None]]] = {
    "receipts": receipts.run,
    "command": command.run,
    "replay": replay.run,
    "http": http.run,
    "embedded": embedded.run,
    "delivery": delivery.run,
    "state_sync": state_sync.run,
    "distributed": distributed.run,
}
NETWORK_BENCHES: dict[str, Callable[..., Awaitable[None]]] = {
    "growth": growth.run,
    "copies": copies.run,
    "pilot": copies.run_pilot,
}


async def measure(names: list[str], *, short: bool, parent: Path | None) -> None:
    """Run benches one after the other, each in a folder of its own that goes afterwards."""
    task = asyncio.current_task()
    assert task is not None
    # Whoever ends this early must not leave the nodes of a zone running.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix=f"tallystick-bench-{name}-", dir=parent))
        try:
            await (BENCHES | NETWORK_BENCHES)[name](folder, short=short)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="speed, memory and disk beside their goals")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*BENCHES, *NETWORK_BENCHES]))
    parser.add_argument(
        "--network", action="store_true", help=f"by default {', '.join(NETWORK_BENCHES)}, not the others"
    )
    parser.add_argument("--short", action="store_true", help="a tenth of the sizes")
    parser.add_argument("--dir", type=Path, help="where to make the folders, on the disk that is to be measured")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BENCHES | NETWORK_BENCHES]
    if unknown:
        known = ", ".join([*BENCHES, *NETWORK_BENCHES])
        parser.error(f"there is no bench {', '.join(unknown)}; choose from {known}")
    # The client of the bench makes no cycles worth looking for while a clock runs.
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
    names = given.names or list(NETWORK_BENCHES if given.network else BENCHES)
    try:
        uvloop.run(measure(names, short=given.short, parent=given.dir))
    except asyncio.CancelledError:
        return 1
    return 0 if figures.all_met() else 1


if __name__ == "__main__":
    sys.exit(main())
