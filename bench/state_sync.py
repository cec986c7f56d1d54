"""A newcomer to a large zone: from `tally node run` until its copy is at the top of the history and answers.

Both nodes are real, each with its supervisor; the newcomer fetches the records from the other, which takes the snapshot
when it is asked, on the same two cores. What it then lacks, the older blocks, comes in the background and is not waited
for.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx
import msgspec

from bench.figures import LESS_THAN, figure
from bench.nodes import PASSPHRASE, now_ms
from bench.zones import Author
from tallystick.errors import PeerError
from tallystick.machine import Parameters
from tallystick.modules import rulebook
from tallystick.node.homes import Home, create_zone
from tallystick.node.join import invite, join
from tallystick.node.operator_key import OperatorFile
from tallystick.ordering.link import LinkClient
from tallystick.store import LedgerStore

GOAL_S = 60.0
BATCH, IN_FLIGHT = 500, 16
_STEP = 50_000
_WAIT_SECONDS = 900
_RUN = """
import sys
from pathlib import Path
from tallystick.node.homes import Home
from tallystick.node.supervisor import Supervisor
Supervisor(Home(Path(sys.argv[1])), sys.argv[2]).run()
"""


def _address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _start(home: Home) -> subprocess.Popen[bytes]:
    home.operator_path.unlink(missing_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(home.path), PASSPHRASE],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TALLY_LEDGER_SNAPSHOT_FROM": "1000"},
    )


async def _operator(home: Home) -> OperatorFile:
    """Return address and key of a node's API as soon as it answers."""
    async with asyncio.timeout(_WAIT_SECONDS), httpx.AsyncClient(trust_env=False) as http:
        while True:
            with suppress(OSError, httpx.TransportError, msgspec.DecodeError):
                told = msgspec.json.decode(home.operator_path.read_bytes(), type=OperatorFile)
                if (await http.get(f"{told.url}/readyz")).status_code == 200:
                    return told
            await asyncio.sleep(0.1)


async def run(folder: Path, *, short: bool) -> None:
    """Make a zone, fill it, and let another join."""
    records = 100_000 if short else 1_000_000
    home = create_zone(
        folder / "first",
        name="Bench Zone",
        organisation="first",
        organisation_name="First",
        passphrase=PASSPHRASE,
        created_ms=now_ms(),
        address=_address(),
        api_listen="127.0.0.1:0",
        parameters=Parameters(block_operations_per_organisation=20_000),
    )
    running = [_start(home)]
    try:
        operator = await _operator(home)
        await _fill(home, records)
        newcomer, fingerprint = await join(
            folder / "second", invite(home, "second"), "Second", PASSPHRASE, _address(), "127.0.0.1:0"
        )
        headers = {"Authorization": f"Bearer {operator.key}"}
        async with httpx.AsyncClient(base_url=operator.url, headers=headers, trust_env=False, timeout=60) as http:
            (await http.post("/v1/applications/second/admit", json={"fingerprint": fingerprint})).raise_for_status()
        wanted = _height(home)
        started = time.perf_counter()
        running.append(_start(newcomer))
        await _follows(newcomer, wanted)
        await _operator(newcomer)
        seconds = time.perf_counter() - started
        figure("state_sync", seconds, "s", goal=GOAL_S, rule=LESS_THAN, records=records)
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(60)


async def _fill(home: Home, records: int) -> None:
    author = Author(home, PASSPHRASE)
    size = 0
    while size < records:
        transactions = await author.sign(min(records - size, _STEP) // BATCH, BATCH)
        await author.submit_all(transactions, request=1, in_flight=IN_FLIGHT)
        size = (await author.client.ask("status"))["size"]
    await author.client.close()


async def _follows(home: Home, height: int) -> None:
    """Wait until a node's core has a block in its state: the one that began from the snapshot has started anew then."""
    async with asyncio.timeout(_WAIT_SECONDS):
        while True:
            client = LinkClient(home.socket_path)
            try:
                if (await client.ask("status"))["height"] >= height:
                    return
            except PeerError:
                pass
            finally:
                await client.close()
            await asyncio.sleep(0.1)


def _height(home: Home) -> int:
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        last = store.last_block()
        return 0 if last is None else last.height
