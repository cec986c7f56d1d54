"""A zone on the distributed engine as `tally network` makes it: every node with its supervisor, core, engine and office.

Load comes from several organisations at once, each over the socket of its own validator's core, with transactions that
were signed before the clock starts. Signing is the authors' work, and one submitting process for all keeps what it takes
of the machine small.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.figures import bytes_on_disk
from bench.nodes import sign_transactions
from tallystick.errors import NodeError, PeerError, RejectedError
from tallystick.machine import Parameters
from tallystick.machine.rejections import REPEATED
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.node import network
from tallystick.node.homes import Home, open_keys
from tallystick.ordering import Submitted
from tallystick.ordering.link import LinkClient
from tallystick.store import LedgerStore

LARGE_COUNT = (1 << 53) - 1
_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 600
_AGAIN_SECONDS, _MOST_TRIES = 1.0, 300
_PARTS = ("core_main", "office_main", "cometbft", "verifier_main")


class Part(NamedTuple):
    """One process of a zone.

    Attributes:
        organisation: whose.
        kind: `supervisor`, `core_main`, `verifier_main`, `office_main` or `cometbft`.
        pid: its id.
    """

    organisation: str
    kind: str
    pid: int


def operation() -> RecordEvidence:
    """Return a fresh operation of about 250 bytes."""
    return RecordEvidence(
        root=secrets.token_hex(32), private=secrets.token_hex(32), count=LARGE_COUNT, bytes=LARGE_COUNT
    )


class Author:
    """One organisation of a zone: its key, and a connection to its own node's core.

    Attributes:
        sent_again: how often a transaction had to be sent once more.
    """

    def __init__(self, home: Home, passphrase: str) -> None:
        """Open its keys; connects with the first request."""
        self.home = home
        self.organisation = home.settings.node.organisation
        self.client = LinkClient(home.socket_path)
        self.sent_again = 0
        self._service = open_keys(home, passphrase).signer("service")
        store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
        self._genesis_hash = store.genesis_hash
        store.close()

    async def sign(self, transactions: int, operations: int) -> list[bytes]:
        """Return signed transactions of fresh operations."""
        return await sign_transactions(
            self.client,
            operation,
            transactions=transactions,
            operations=operations,
            organisation=self.organisation,
            service=self._service,
            genesis_hash=self._genesis_hash,
        )

    async def submit(self, transactions: Sequence[bytes]) -> None:
        """Submit as one request, and wait until all are on disk at this organisation's node."""
        for done in await self.client.submit(transactions):
            assert isinstance(done, Submitted), done
            assert all(outcome.code == 0 for outcome in done.outcomes)

    async def submit_until_recorded(self, transactions: Sequence[bytes]) -> None:
        """Submit transactions as a client does: the same bytes again where its node cannot take them now."""
        left = list(transactions)
        for tries in range(_MOST_TRIES):
            try:
                found = await self.client.submit(left)
            except PeerError as error:
                found = [error] * len(left)
            left = [raw for raw, done in zip(left, found, strict=True) if not self._is_recorded(done, again=tries > 0)]
            if not left:
                return
            self.sent_again += len(left)
            await asyncio.sleep(_AGAIN_SECONDS)
        raise AssertionError(f"{self.organisation}'s node takes nothing")

    @staticmethod
    def _is_recorded(done: Submitted | RejectedError | NodeError, *, again: bool) -> bool:
        if isinstance(done, Submitted):
            assert all(outcome.code == 0 for outcome in done.outcomes)
            return True
        if isinstance(done, RejectedError):
            # What the node that went away had recorded.
            assert done.name == REPEATED.name, done
            assert again, "a transaction of this bench was recorded before it was sent"
            return True
        return False

    async def submit_all(self, transactions: Sequence[bytes], *, request: int, in_flight: int) -> None:
        """Submit in requests of some transactions, with so many transactions in flight."""
        portions = [transactions[at : at + request] for at in range(0, len(transactions), request)]
        portions.reverse()

        async def work() -> None:
            while portions:
                await self.submit(portions.pop())

        await asyncio.gather(*(work() for _ in range(max(1, in_flight // request))))


class RunningZone:
    """The nodes of a zone, all running.

    Attributes:
        directory: of the network.
        authors: the validators' organisations.
        homes: of all nodes, validators first.
    """

    def __init__(self, folder: Path, *, validators: int, replicas: int = 0) -> None:
        """Make a zone and start its nodes."""
        self.directory = folder / "net"
        self.homes = network.create_network(
            self.directory,
            validators=validators,
            replicas=replicas,
            parameters=Parameters(block_operations_per_organisation=20_000),
        )
        passphrase = (self.directory / "passphrase").read_text().strip()
        self.authors = [Author(home, passphrase) for home in self.homes[:validators]]
        network.up(self.directory)

    async def ready(self) -> float:
        """Wait until every node answers and a first transaction is recorded; return the seconds that took."""
        started = time.perf_counter()
        while not all(home.operator_path.exists() for home in self.homes):
            if time.perf_counter() - started > _START_SECONDS:
                raise SystemExit(f"the nodes in {self.directory} do not start")
            await asyncio.sleep(0.1)
        for author in self.authors:
            await self._first(author, started)
        return time.perf_counter() - started

    @staticmethod
    async def _first(author: Author, started: float) -> None:
        while True:
            try:
                await author.submit(await author.sign(1, 1))
                return
            except (PeerError, AssertionError):
                if time.perf_counter() - started > _START_SECONDS:
                    raise
                await asyncio.sleep(0.2)

    async def sign(self, transactions: int, operations: int) -> list[list[bytes]]:
        """Return transactions, as many of each author."""
        each = transactions // len(self.authors)
        return [await author.sign(each, operations) for author in self.authors]

    async def submit_all(self, transactions: Sequence[Sequence[bytes]], *, request: int, in_flight: int) -> float:
        """Submit each author's transactions; return the seconds until all are on disk where they were handed in."""
        both = zip(self.authors, transactions, strict=True)
        started = time.perf_counter()
        await asyncio.gather(
            *(author.submit_all(given, request=request, in_flight=in_flight) for author, given in both)
        )
        return time.perf_counter() - started

    def parts(self) -> list[Part]:
        """Return every process of the zone."""
        found = []
        for member in network.members(self.directory):
            if member.pid is None:
                continue
            found.append(Part(member.organisation, "supervisor", member.pid))
            for pid in _descendants(member.pid):
                words = _command(pid)
                kind = next((part for part in _PARTS if any(word.endswith(part) for word in words[:3])), "other")
                found.append(Part(member.organisation, kind, pid))
        return found

    def cpu_seconds(self, organisations: Container[str] | None = None) -> dict[str, float]:
        """Return the processor time of processes so far, by kind: of some organisations', or of all."""
        total: dict[str, float] = {}
        for part in self.parts():
            if organisations is None or part.organisation in organisations:
                total[part.kind] = total.get(part.kind, 0.0) + cpu_seconds(part.pid)
        return total

    def memory_mib(self) -> dict[str, dict[str, float]]:
        """Return organisation -> kind -> memory, MiB: each page that several processes share is split among them."""
        found: dict[str, dict[str, float]] = {}
        for part in self.parts():
            kinds = found.setdefault(part.organisation, {})
            kinds[part.kind] = kinds.get(part.kind, 0.0) + proportional_mib(part.pid)
        return found

    def disk_by_kind(self) -> dict[str, int]:
        """Return the bytes that all nodes keep of the ledger, by what keeps them."""
        found: Counter[str] = Counter()
        for home in self.homes:
            data = home.path / "engine" / "data"
            places = {
                "ledger": [home.ledger_path, home.path / "ledger.db-wal"],
                "tiles": [home.log_path],
                "engine_blocks": [data / "blockstore.db", data / "state.db"],
                "engine_log": [data / "cs.wal"],
            }
            for kind, paths in places.items():
                found[kind] += bytes_on_disk(*(path for path in paths if path.exists()))
        return dict(found)

    def disk_bytes(self) -> int:
        """Return the bytes that all nodes keep of the ledger, engines included."""
        return sum(self.disk_by_kind().values())

    @property
    def sent_again(self) -> int:
        """How often a transaction had to be sent once more."""
        return sum(author.sent_again for author in self.authors)

    async def stop(self) -> None:
        """Stop every process."""
        for author in self.authors:
            await author.client.close()
        network.down(self.directory)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has taken, s; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def proportional_mib(pid: int) -> float:
    """Return a process's proportional set size, MiB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [each for child in children for each in (child, *_descendants(child))]


def _command(pid: int) -> list[str]:
    try:
        return [word.decode("utf-8", "replace") for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    except OSError:
        return []
