"""The office's process: `python -m tallystick.node.office_main HOME`, what opens the keys on standard input."""

from __future__ import annotations

import asyncio
import sys

from tallystick.keys import OpenKeys
from tallystick.node.child import rest_of_collecting, run_child
from tallystick.node.homes import Home
from tallystick.node.lifeline import end_in_time, give_pulse, wait_for_end
from tallystick.node.locks import OFFICE, wait_for_lock
from tallystick.node.office_process import OfficeProcess


async def run(home: Home, keys: OpenKeys) -> None:
    """Run an office until it is told to stop."""
    lock = await wait_for_lock(home.path, OFFICE)
    process = OfficeProcess(home, keys)
    rest_of_collecting(50_000)
    try:
        await process.start()
        pulse = asyncio.create_task(give_pulse())
        await wait_for_end()
        pulse.cancel()
    finally:
        end_in_time()
        await process.stop()
        lock.close()


if __name__ == "__main__":
    sys.exit(run_child("office", run))
