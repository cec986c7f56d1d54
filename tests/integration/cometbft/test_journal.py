"""The write-ahead log of a real engine, cut while it runs: it comes back after kill -9 from what is left."""

from __future__ import annotations

import os

import pytest

from tallystick.node.engine_journal import FOLDER, HEAD, cut_journal
from tests.integration.cometbft.network import ready, until

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("heavy")]
LARGE_BYTES = 600_000


def rotated(machine):
    return sorted(name for name in os.listdir(machine.home / FOLDER) if name[-1].isdigit())


async def decide(machine, *, until_rotated):
    """Have large transactions decided, which the application refuses as they come, until a file more was put aside."""

    async def another_file():
        async with machine.rpc() as rpc:
            await rpc.send([os.urandom(LARGE_BYTES) for _ in range(3)])
        return until_rotated in rotated(machine)

    await until(another_file, f"{until_rotated}, of {rotated(machine)}")


async def height_of(machine):
    async with machine.rpc() as rpc:
        return (await rpc.status()).height


async def come_to_rest(machine):
    """Wait until no block is under way.

    A kill between a block's being stored and its mark in the log leaves no mark to be found, whatever was cut: the engine
    says so and goes on from the block.
    """
    heights = []

    async def is_still():
        heights.append(await height_of(machine))
        return len(heights) > 10 and len(set(heights[-10:])) == 1

    await until(is_still, "no block to be under way")


async def come_back(machine):
    """Start the engine again; return what it says from there on, up to its next block."""
    said = len((machine.home / "log").read_bytes())
    machine.start()
    await ready(machine)
    height = await height_of(machine)

    async def next_block():
        async with machine.rpc() as rpc:
            await rpc.send([os.urandom(100)])
        return await height_of(machine) > height

    await until(next_block, "a block after the start")
    return (machine.home / "log").read_bytes()[said:].decode(errors="replace")


async def test_engine_whose_log_was_cut_recovers_from_kills(make_network):
    """It finds what it looks for in the files that stay, cut while it ran or right after it had put its head aside."""
    machine = make_network(lenient=True).machines[0]
    await ready(machine)
    await decide(machine, until_rotated="wal.000")
    await until(lambda: _cut_to(machine, []), "the first file to go")
    await decide(machine, until_rotated="wal.001")
    await come_to_rest(machine)
    machine.kill("both")
    cut_journal(machine.home)
    said = await come_back(machine)
    assert "Replay: Done" in said
    assert "error on catchup replay" not in said
    machine.stop()
    # What a kill leaves that comes just after a rotation: the mark of the last height is in the newest rotated file.
    journal = machine.home / FOLDER
    (journal / HEAD).rename(journal / "wal.002")
    cut_journal(machine.home)
    assert ["wal.002"] == rotated(machine)
    said = await come_back(machine)
    assert "Replay: Done" in said
    assert "error on catchup replay" not in said


async def _cut_to(machine, names):
    cut_journal(machine.home)
    return rotated(machine) == names
