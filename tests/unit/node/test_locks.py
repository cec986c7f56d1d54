"""One supervisor, one core, one office for each home, whatever was killed before."""

import asyncio
import os
import subprocess
import sys

import pytest

from tallystick.errors import UsageError
from tallystick.node.locks import CORE, SUPERVISOR, try_lock, wait_for_lock

HOLD = """
import sys, time
from pathlib import Path
from tallystick.node.locks import try_lock
lock = try_lock(Path(sys.argv[1]), sys.argv[2])
print("held" if lock else "refused", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), CORE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert "held\n" == process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_lock_is_held_by_one_and_says_by_whom(tmp_path, holder):
    """A second process is refused; the file names the first."""
    assert try_lock(tmp_path, CORE) is None
    assert str(holder.pid) == (tmp_path / CORE).read_text()


def test_locks_do_not_stand_in_each_others_way(tmp_path, holder):
    """A home's supervisor may run while its core does."""
    lock = try_lock(tmp_path, SUPERVISOR)
    assert lock is not None
    lock.close()


async def test_lock_of_a_killed_process_is_free(tmp_path, holder):
    """Kill -9 leaves no stale lock, and who waited for it goes on."""
    waiting = asyncio.create_task(wait_for_lock(tmp_path, CORE))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    holder.kill()
    lock = await asyncio.wait_for(waiting, 20)
    assert str(os.getpid()) == (tmp_path / CORE).read_text()
    lock.close()


async def test_lock_that_stays_held_is_named_with_a_remedy(tmp_path, holder):
    """After as long as a process needs to end, whoever still works there is named."""
    with pytest.raises(UsageError) as caught:
        await wait_for_lock(tmp_path, CORE, seconds=0.1)
    assert CORE in caught.value.message
    assert caught.value.remedy
