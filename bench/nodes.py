"""A zone of one with its real processes: core, and office where it is asked for; real keys, real files.

Transactions are signed before the clock starts: signing is the author's work, not the node's.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from bench.figures import resident_mib
from tallystick.errors import PeerError
from tallystick.keys import OpenKeys, Signer
from tallystick.machine import Message, Parameters, build_transaction
from tallystick.merkle import EMPTY_ROOT
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.node.homes import Home, create_zone, open_keys
from tallystick.ordering import Submitted
from tallystick.ordering.link import LinkClient
from tallystick.store import LedgerStore

PASSPHRASE = "bench passphrase"
BATCH = 500
_FILL_STEP = 50_000
_START_SECONDS = 300


def now_ms() -> int:
    """Return UTC time, ms."""
    return time.time_ns() // 1_000_000


async def sign_transactions(
    client: LinkClient,
    operation: Callable[[], Message],
    *,
    transactions: int,
    operations: int,
    organisation: str,
    service: Signer,
    genesis_hash: bytes,
) -> list[bytes]:
    """Return signed transactions of fresh operations, by an author who has seen what the core has."""
    status = await client.ask("status")
    expires = now_ms() + 3_000_000
    return [
        build_transaction(
            [operation() for _ in range(operations)],
            organisation=organisation,
            key=service.public_key,
            sign=service.sign,
            external_aad=genesis_hash,
            expires=expires,
            nonce=secrets.token_hex(16),
            seen_size=status["size"],
            seen_root=status["root"] if status["size"] else EMPTY_ROOT,
            atomic=False,
        )
        for _ in range(transactions)
    ]


def _start(module: str, home: Home) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(home.path)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TALLY_API_LISTEN": "127.0.0.1:0"},
    )
    assert process.stdin is not None
    process.stdin.write(PASSPHRASE.encode() + b"\n")
    process.stdin.flush()
    return process


class RunningNode:
    """The processes of one node, and a connection to its core.

    Attributes:
        home: the node's.
        client: the connection.
    """

    def __init__(self, folder: Path) -> None:
        """Make a zone in a folder and start its core."""
        self.home: Home = create_zone(
            folder / "home",
            name="Bench Zone",
            organisation="bench",
            organisation_name="Bench",
            passphrase=PASSPHRASE,
            created_ms=now_ms(),
            parameters=Parameters(block_operations_per_organisation=20_000),
        )
        self.keys: OpenKeys = open_keys(self.home, PASSPHRASE)
        self._service = self.keys.signer("service")
        with closing(LedgerStore(self.home.ledger_path, rulebook(), read_only=True)) as store:
            self._genesis_hash = store.genesis_hash
        self.client = LinkClient(self.home.socket_path)
        self._core = _start("tallystick.node.core_main", self.home)
        self._office: subprocess.Popen[bytes] | None = None

    async def ready(self) -> float:
        """Wait until the core answers; return the seconds that took."""
        started = time.perf_counter()
        while True:
            try:
                await self.client.ask("status")
                return time.perf_counter() - started
            except PeerError:
                if self._core.poll() is not None or time.perf_counter() - started > _START_SECONDS:
                    raise
                await asyncio.sleep(0.01)

    async def restart(self) -> float:
        """Kill the core as `kill -9` does and start it again; return the seconds until it answers."""
        self._core.kill()
        self._core.wait()
        self._core = _start("tallystick.node.core_main", self.home)
        return await self.ready()

    async def start_office(self) -> tuple[str, str]:
        """Start the office; return the address of its API and a key for it."""
        self.home.operator_path.unlink(missing_ok=True)
        self._office = _start("tallystick.node.office_main", self.home)
        started = time.perf_counter()
        while not self.home.operator_path.exists():
            if self._office.poll() is not None or time.perf_counter() - started > _START_SECONDS:
                raise SystemExit("the office of the bench does not start")
            await asyncio.sleep(0.01)
        told = json.loads(self.home.operator_path.read_bytes())
        return told["url"], told["key"]

    def memory_mib(self) -> tuple[float, float]:
        """Return the resident memory of core and office, each with its children, MiB."""
        return resident_mib(self._core.pid), resident_mib(self._office.pid) if self._office is not None else 0.0

    async def sign(self, transactions: int, operations: int) -> list[bytes]:
        """Return signed transactions of fresh evidence records."""
        return await sign_transactions(
            self.client,
            lambda: RecordEvidence(root=secrets.token_hex(32), count=3),
            transactions=transactions,
            operations=operations,
            organisation="bench",
            service=self._service,
            genesis_hash=self._genesis_hash,
        )

    async def submit_all(self, transactions: Sequence[bytes], in_flight: int) -> float:
        """Submit with so many in flight, each on its own; return the seconds until all are on disk."""
        queue = list(reversed(transactions))

        async def work() -> None:
            while queue:
                (done,) = await self.client.submit((queue.pop(),))
                assert isinstance(done, Submitted), done
                assert all(outcome.code == 0 for outcome in done.outcomes)

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(min(in_flight, len(transactions)))))
        return time.perf_counter() - started

    async def fill(self, records: int) -> None:
        """Bring the ledger to at least so many records, in transactions of many operations."""
        size = (await self.client.ask("status"))["size"]
        while size < records:
            wanted = min(records - size, _FILL_STEP)
            await self.submit_all(await self.sign(-(-wanted // BATCH), BATCH), 16)
            size = (await self.client.ask("status"))["size"]

    async def stop(self) -> None:
        """Stop the processes."""
        await self.client.close()
        for process in (self._office, self._core):
            if process is not None:
                process.terminate()
                process.wait(60)
