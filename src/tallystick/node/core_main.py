"""The core's process: `python -m tallystick.node.core_main HOME`, what opens the keys on standard input."""

from __future__ import annotations

import asyncio
import sys

from tallystick.keys import OpenKeys
from tallystick.node.child import rest_of_collecting, run_child
from tallystick.node.core import Core
from tallystick.node.homes import Home
from tallystick.node.lifeline import end_in_time, give_pulse, wait_for_end
from tallystick.node.locks import CORE, wait_for_lock
from tallystick.node.system_key import SystemKey


async def run(home: Home, keys: OpenKeys) -> None:
    """Run a core until it is told to stop."""
    lock = await wait_for_lock(home.path, CORE)
    key = SystemKey(keys)
    core = Core(home, key, on_system_key=key.use)
    # A block makes tens of thousands of short-lived objects and no cycles worth looking for.
    rest_of_collecting(200_000)
    await core.start()
    try:
        work = {asyncio.create_task(each) for each in (core.run(), wait_for_end(), give_pulse())}
        ended, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        end_in_time()
        await core.stop()
        lock.close()


if __name__ == "__main__":
    sys.exit(run_child("core", run))
