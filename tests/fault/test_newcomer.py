"""A newcomer's beginning under faults: killed at any moment, lied to, and left by its source midway.

`TALLY_FAULT_ROUNDS` asks for more or fewer kills.
"""

import asyncio
import os
import random
import time
from contextlib import closing

import msgspec
import pytest

from tallystick.codec import decode_json, encode_json, sha256
from tallystick.dataplane.refusals import PeerBusyError
from tallystick.modules import rulebook
from tallystick.node.homes import open_keys
from tallystick.node.inspection import check
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.heads import read_head
from tallystick.node.peers.identity import open_identity
from tallystick.node.peers.server import Answer, Endpoint, PeerServer
from tallystick.ordering.snapshots import decode_chunk, decode_description, encode_chunks
from tallystick.store import LedgerStore
from tests.support.faults import record_fault
from tests.support.newcomers import SNAPSHOT_FROM, apply, base_of, fill, height_of, snapshot_of
from tests.support.nodes import PASSPHRASE, running_zone, until, wait_for

pytestmark = pytest.mark.timeout(1_800)
ROUNDS = min(30, int(os.environ.get("TALLY_FAULT_ROUNDS", "12")))
SEED = 20_241_124
LONGEST_PAUSE = 3.5


def records_of(home):
    """Return the records of a copy."""
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        return list(store.all_records())


def wait_until_whole(newcomer, first):
    """Wait until a copy is at the top and holds everything."""
    wait_for(lambda: 0 < height_of(newcomer.home) == height_of(first.home), "it to follow", 300)
    wait_for(lambda: base_of(newcomer.home) is None, f"it to hold everything; see {newcomer.log_path}", 300)


def test_killed_at_any_moment_it_starts_again(tmp_path, monkeypatch):
    """Killed at random moments while it fetches, checks, writes, executes and merges, it comes to hold everything."""
    monkeypatch.setenv(SNAPSHOT_FROM, "200")
    chance = random.Random(SEED)
    with running_zone(tmp_path) as nodes:
        first = nodes["city-hospital"]
        fill(first, 5_000)
        newcomer = apply(tmp_path, first, "university")
        nodes["university"] = newcomer
        healed = []
        for _ in range(ROUNDS):
            newcomer.launch()
            time.sleep(chance.uniform(0.3, LONGEST_PAUSE))
            newcomer.kill()
        began = time.monotonic()
        newcomer.start()
        wait_until_whole(newcomer, first)
        healed.append(time.monotonic() - began)
        fill(first, 100)
        wait_for(lambda: height_of(newcomer.home) == height_of(first.home), "it to follow")
    lost = len(set(records_of(first.home)) - set(records_of(newcomer.home)))
    record_fault("kill-newcomer", tried=ROUNDS, lost=lost, forked=0, recovery_s=healed)
    assert records_of(first.home) == records_of(newcomer.home)
    report = check(newcomer.home.path)
    assert report.ok, report.findings
    assert not [path for path in newcomer.home.path.iterdir() if path.name in ("incoming", "beginning", "older")]


class Source:
    """A member's node that gives a snapshot, and no blocks; altered, or only for a while."""

    def __init__(self, home, keys, description, chunks, *, dies_after=None):
        self.asked = 0
        self.address = ""
        self._description = description
        self._chunks = chunks
        self._dies_after = dies_after
        self._home = home
        self._store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
        identity = open_identity(keys, home.settings.node.organisation)
        self._server = PeerServer(identity.server_context(), Directory(self._store), self._endpoints())

    def _endpoints(self):
        async def head(_):
            return Answer(encode_json(read_head(self._store, self._home)))

        async def zone(_):
            trust = decode_json(self._home.read_trust().encode())
            return Answer(encode_json({"genesis": self._store.genesis.hex(), "trust": trust}))

        async def describe(_):
            return Answer(self._description)

        async def chunk(call):
            self.asked += 1
            if self._dies_after is not None and self.asked > self._dies_after:
                raise PeerBusyError("gone", remedy="Ask another.")
            return Answer(self._chunks[int(call.names["chunk"])], "application/octet-stream")

        return [
            Endpoint("GET", "/head", head),
            Endpoint("GET", "/zone", zone, open=True),
            Endpoint("GET", "/snapshot", describe),
            Endpoint("GET", "/snapshot/{height}/{chunk}", chunk),
        ]

    async def __aenter__(self):
        await self._server.start("127.0.0.1:0")
        self.address = f"127.0.0.1:{self._server.port}"
        return self

    async def __aexit__(self, *_):
        await self._server.stop()
        self._store.close()


def altered(description, chunks):
    """Return a snapshot of which one chunk is not what the description names."""
    return description, [*chunks[:-1], chunks[-1][:-1] + b" "]


def forged(description, chunks):
    """Return a snapshot that is consistent in itself, of other records than the header commits to."""
    records = [record for chunk in chunks[1:] for record in decode_chunk(chunk)]
    made = [chunks[0], *encode_chunks(records[:-1])]
    names = tuple(sha256(chunk).hex() for chunk in made)
    return encode_json(msgspec.structs.replace(decode_description(description), chunks=names)), made


def begin_by_way_of(folder, monkeypatch, make, **source):
    """Let a third organisation begin with a bad source first; return (first node, newcomer, what the source was asked)."""
    monkeypatch.setenv(SNAPSHOT_FROM, "200")
    with running_zone(folder, "university") as nodes:
        first, second = nodes["city-hospital"], nodes["university"]
        fill(first, 5_000)
        newcomer = nodes["bank"] = apply(folder, first, "bank")
        wait_for(lambda: height_of(second.home) == height_of(first.home), "the second to follow")
        with first.api() as api:
            wait_for(lambda: api.get("/v1/status")["trust_pending"] == 0, "the change of members to be signed")
        second.stop()

        async def begin():
            keys = open_keys(second.home, PASSPHRASE)
            async with Source(second.home, keys, *make(*snapshot_of(second.home)), **source) as bad:
                newcomer.launch(TALLY_PEERS_FOLLOW=f"{bad.address},{first.address}")
                await until(lambda: height_of(newcomer.home) == height_of(first.home), "it to follow", 300)
                await until(lambda: base_of(newcomer.home) is None, f"it; see {newcomer.log_path}", 300)
                return bad

        bad = asyncio.run(begin())
    return first, newcomer, bad


@pytest.mark.parametrize("make", [altered, forged])
def test_lying_source_is_dropped(tmp_path, monkeypatch, make):
    """A source whose snapshot does not hold is named and left; the copy begins from the next one, with nothing of it."""
    first, newcomer, bad = begin_by_way_of(tmp_path, monkeypatch, make)
    record_fault("forged-snapshot", tried=1, lost=0, forked=0)
    assert "snapshot_refused" in newcomer.log() and "begun_from_snapshot" in newcomer.log()
    assert bad.asked > 0
    assert records_of(first.home) == records_of(newcomer.home)
    assert check(newcomer.home.path).ok


def test_source_that_dies_midway_is_replaced(tmp_path, monkeypatch):
    """A source that goes away in the middle is replaced by the next one."""
    first, newcomer, bad = begin_by_way_of(tmp_path, monkeypatch, lambda *given: given, dies_after=1)
    record_fault("lost-source", tried=1, lost=0, forked=0)
    assert bad.asked > 1
    assert "snapshot_not_taken" in newcomer.log() and "begun_from_snapshot" in newcomer.log()
    assert records_of(first.home) == records_of(newcomer.home)
    assert check(newcomer.home.path).ok
