"""The application of one engine, as a process that tests may kill.

`python -m tests.integration.cometbft.application HOME ORGANISATION [OPTION...]`, with any of these:

- `--crash POINT:HEIGHT`: where it kills itself: `finalize` (executed, unanswered), `before-commit`, `after-commit` (on
  disk, unanswered).
- `--snapshots N`: it takes a snapshot every N blocks.
- `--retain N`: the engine may forget all but its last N blocks, whatever evidence needs.
- `--lenient`: it admits, proposes and votes for whatever comes, and proposes some of it twice: a chain whose blocks hold
  what no honest validator would let in.
"""

import argparse
import asyncio
import os
import signal
import time
from pathlib import Path

from tallystick.codec import sha256
from tallystick.keys import ED25519
from tallystick.modules import rulebook
from tallystick.ordering import VerifierProcess
from tallystick.ordering.cometbft import AbciServer, HeaderSealer, LedgerApplication, SnapshotFolder
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.oversight import Oversight
from tallystick.ordering.cometbft.retention import Retention
from tallystick.store import LedgerStore
from tallystick.store.snapshot import LedgerSnapshots
from tests.support.zones import signing_key


def system_key(organisation):
    """Return the key with which an organisation of simulated zones signs headers."""
    return ED25519.from_private(bytes(signing_key(organisation, "system")))


def die():
    """Be gone at once, as in a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


class Crashing(LedgerApplication):
    """Kills its own process at one point of one block."""

    point, at = "", 0

    async def finalize_block(self, request):
        answer = await super().finalize_block(request)
        if (self.point, self.at) == ("finalize", request.height):
            die()
        return answer

    async def commit(self, request):
        if (self.point, self.at) == ("before-commit", self.state.height + 1):
            die()
        answer = await super().commit(request)
        if (self.point, self.at) == ("after-commit", self.state.height):
            die()
        return answer


class Lenient(Crashing):
    """Lets everything into a block, every fourth transaction twice."""

    async def check_transactions(self, requests):
        return [abci.ResponseCheckTx() for _ in requests]

    async def prepare_proposal(self, request):
        twice = [raw for raw in request.txs if sha256(raw)[0] % 4 == 0]
        return abci.ResponsePrepareProposal(txs=[*request.txs, *twice])

    async def process_proposal(self, request):
        return abci.ResponseProcessProposal(status=abci.ResponseProcessProposal.ACCEPT)


async def run(home, organisation, crash, every, retain, lenient):
    """Serve until told to stop."""
    store = LedgerStore(home / "ledger.db", rulebook())
    state = store.load_state()
    verifier = VerifierProcess()
    snapshots = SnapshotFolder(
        home / "snapshots", LedgerSnapshots(store), chain=state.chain, genesis_hash=state.genesis_hash, every=every
    )
    application = (Lenient if lenient else Crashing)(
        state,
        store,
        rulebook(),
        verifier,
        clock_ms=lambda: time.time_ns() // 1_000_000,
        seal=HeaderSealer(state.chain, organisation, system_key(organisation), previous=store.last_header_hash).seal,
        snapshots=snapshots,
        oversight=Oversight(
            retain=Retention(
                retain, 0, lambda height: store.head_at(height).time, evidence_blocks=0, evidence_ms=0
            ).lowest
        ),
    )
    if crash:
        application.point, _, height = crash.partition(":")
        application.at = int(height)
    server = AbciServer(home / "abci.sock", application)
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop()
    await snapshots.settled()
    await verifier.close()
    store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("organisation")
    parser.add_argument("--crash", default="")
    parser.add_argument("--snapshots", type=int, default=0)
    parser.add_argument("--retain", type=int, default=0)
    parser.add_argument("--lenient", action="store_true")
    given = parser.parse_args()
    asyncio.run(run(given.home, given.organisation, given.crash, given.snapshots, given.retain, given.lenient))
