"""Floods: one organisation sends as much as it can, and the others still get what they ask for.

The first floods as a client, through its own node's API; the fourth as a hostile validator, whose own application knows
no shares: what is pushed into its engine goes on to all the others, well signed or forged, and its blocks hold nothing
of anybody else. All the while the second and third record a modest number a second, each through its own node, whatever
became of those before.

`TALLY_FAULT_ROUNDS` asks for longer floods.
"""

import asyncio
import contextlib
import os
import secrets
import time
from dataclasses import dataclass, field

import aiohttp
import msgspec
import pytest

from tallystick.codec.bundles import encode_bundle
from tallystick.errors import PeerError
from tallystick.machine import build_transaction
from tallystick.merkle import EMPTY_ROOT
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops.record_evidence import RecordEvidence
from tallystick.ordering.cometbft.rpc import EngineRpc
from tallystick.store import LedgerStore
from tests.support.byzantine import network_with_dishonest

pytestmark = pytest.mark.timeout(3_600)
ROUNDS = int(os.environ.get("TALLY_FAULT_ROUNDS", "12"))
WINDOW_SECONDS = 8.0 * max(1.0, ROUNDS / 12)
SETTLE_SECONDS = 6.0
SETTLE_LIMIT_SECONDS = 120.0
RATE = 20
PART = 0.8
PATH = "/v1/transactions"
CBOR = {"Content-Type": "application/cbor"}
MSGPACK = {"Content-Type": "application/x-msgpack"}
LISTS = 60
LIST = 200


class Author:
    """Signs one piece of evidence after the other for an organisation, fast; or forges what claims to be its."""

    def __init__(self, node):
        self._organisation = node.organisation
        self._signer = node.keys().signer("service")
        store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
        self._genesis = store.genesis_hash
        store.close()

    def sign(self):
        return self._build(self._signer.sign)

    def forge(self):
        return self._build(lambda _: secrets.token_bytes(64))

    def _build(self, sign):
        return build_transaction(
            [RecordEvidence(root=secrets.token_hex(32), count=1)],
            organisation=self._organisation,
            key=self._signer.public_key,
            sign=sign,
            external_aad=self._genesis,
            expires=time.time_ns() // 1_000_000 + 1_800_000,
            nonce=secrets.token_hex(16),
            seen_size=0,
            seen_root=EMPTY_ROOT,
        )


@dataclass
class Modest:
    """Offers a fixed number of operations a second at its own node, each on its own, without waiting for those before.

    Attributes:
        offered: when each was sent.
        recorded: when each of those that were recorded was acknowledged.
        refused: answers that say something else.
    """

    node: object
    offered: list[float] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)
    refused: list[tuple[int, bytes]] = field(default_factory=list)

    async def run(self):
        author = Author(self.node)
        async with session(self.node) as http, asyncio.TaskGroup() as sending:
            began = time.monotonic()
            for number in range(1 << 30):
                await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
                self.offered.append(time.monotonic())
                sending.create_task(self._offer(http, author.sign()))

    async def _offer(self, http, raw):
        async with http.post(PATH, data=raw, headers=CBOR) as answer:
            body = await answer.read()
            if answer.status == 200:
                self.recorded.append(time.monotonic())
            else:
                self.refused.append((answer.status, body))

    def part(self, since, until):
        """Return how many were recorded for each that was offered in a while."""
        offered, recorded = (sum(since <= at < until for at in times) for times in (self.offered, self.recorded))
        return recorded / offered


@dataclass
class Client:
    """Floods through its node's API: thousands in flight, and what was refused is sent again.

    Attributes:
        recorded: how many the node took.
        full: what it answered to single ones that it had no room for: seconds after which to come again.
        full_in_lists: the same of those in lists.
    """

    node: object
    recorded: int = 0
    full: list[int] = field(default_factory=list)
    full_in_lists: list[int] = field(default_factory=list)

    @property
    def is_on(self):
        """Whether it has got all that it may, and was told so."""
        return self.recorded > 0 and self.full and self.full_in_lists

    def __post_init__(self):
        self.author = Author(self.node)
        self.lists = [[self.author.sign() for _ in range(LIST)] for _ in range(LISTS)]

    async def run(self):
        async with session(self.node) as http, asyncio.TaskGroup() as sending:
            for waiting in self.lists:
                sending.create_task(self._send_lists(http, waiting))
            sending.create_task(self._send_single(http))

    async def _send_lists(self, http, waiting):
        while True:
            while len(waiting) < LIST:
                waiting.append(self.author.sign())
                if len(waiting) % 100 == 0:
                    await asyncio.sleep(0)
            async with http.post(PATH, data=msgspec.msgpack.encode(waiting), headers=MSGPACK) as answer:
                assert answer.status == 200
                results = await answer.json()
            again = [raw for raw, result in zip(waiting, results, strict=True) if "refused" in result]
            seconds = [result["refused"]["retry_after_s"] for result in results if result.get("status") == 429]
            assert len(again) == len(seconds), [result for result in results if "refused" in result][:1]
            self.full_in_lists += seconds
            self.recorded += len(waiting) - len(again)
            waiting = again
            await asyncio.sleep(min(seconds, default=0))

    async def _send_single(self, http):
        while True:
            async with http.post(PATH, data=self.author.sign(), headers=CBOR) as answer:
                if answer.status == 429:
                    self.full.append(int(answer.headers["Retry-After"]))
            await asyncio.sleep(0.1)


@dataclass
class Hostile:
    """Pushes transactions into its own engine, past its node's queue: well signed ones, and forged ones of a victim.

    Attributes:
        pushed: how many its engine took.
    """

    node: object
    victim: object
    pushed: int = 0

    @property
    def is_on(self):
        """Whether its engine has more than others' shares let in at first."""
        return self.pushed > 1_000

    async def run(self):
        own, victim = Author(self.node), Author(self.victim)
        rpc = EngineRpc(self.node.home.engine_rpc_path)
        rpc.open()
        try:
            while True:
                batch = [
                    encode_bundle([make() for _ in range(5) for make in (own.sign, victim.forge)]) for _ in range(5)
                ]
                # A full mempool of its own is no reason to stop.
                with contextlib.suppress(PeerError):
                    self.pushed += 10 * sum(answer.code == 0 for answer in await rpc.send(batch))
        finally:
            await rpc.close()


def session(node):
    """Return plain HTTP with the operator's key of a node."""
    operator = node.operator()
    return aiohttp.ClientSession(
        operator.url,
        headers={"Authorization": f"Bearer {operator.key}"},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=90),
    )


async def run_together(modest, flood):
    """Run a flood and the modest beside it; return the least of what one of these got, as a part of what it offered.

    It is counted from when the flood has been on for some seconds and each of the modest has had two seconds' worth recorded
    in it: how much comes out for what goes in, however long each is on its way.
    """
    tasks = [asyncio.create_task(each.run()) for each in (*modest, flood)]
    try:
        await _pass(tasks, SETTLE_SECONDS)
        async with asyncio.timeout(SETTLE_LIMIT_SECONDS):
            while min(len(each.recorded) for each in modest) < 2 * RATE or not flood.is_on:
                await _pass(tasks, 0.2)
        since = time.monotonic()
        await _pass(tasks, WINDOW_SECONDS)
        return min(each.part(since, time.monotonic()) for each in modest)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(tasks, seconds):
    """Let time pass; raise what ended one of the tasks."""
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Three honest validators and a hostile one."""
    with network_with_dishonest(tmp_path_factory.mktemp("flood") / "net", "flood") as (honest, hostile):
        yield (*honest, hostile)


async def test_client_that_floods(network, record_property):
    """Others get at least four fifths of what they ask for, and the one that floods is told when to come again."""
    flooding, *others, _ = network
    flood, modest = Client(flooding), [Modest(node) for node in others]
    part = await run_together(modest, flood)
    record_property("part", round(part, 3))
    print(f"a client floods ({flood.recorded} recorded, {len(flood.full_in_lists)} refused): others get {part:.2f}")
    assert part >= PART
    assert [] == [each for other in modest for each in other.refused]
    assert flood.recorded > 0
    assert flood.full and min(flood.full) >= 1
    assert flood.full_in_lists and min(flood.full_in_lists) >= 1


async def test_validator_that_floods(network, record_property):
    """What a hostile validator pushes past its own queue, forged or not, leaves the others four fifths as well."""
    _, *others, hostile = network
    flood, modest = Hostile(hostile, others[0]), [Modest(node) for node in others]
    part = await run_together(modest, flood)
    record_property("part", round(part, 3))
    print(f"a validator floods ({flood.pushed} pushed): others get {part:.2f}")
    assert part >= PART
    assert [] == [each for other in modest for each in other.refused]
    assert flood.pushed > 0
