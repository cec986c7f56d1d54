"""The application of one engine, as a process that tests may kill.

`python -m tests.integration.cometbft.application HOME ORGANISATION [--crash POINT:HEIGHT] [--snapshots N]`. POINT is
where it kills itself at a height: `finalize` (executed, unanswered), `before-commit`, `after-commit` (on disk,
unanswered). With `--snapshots` it takes a snapshot every N blocks.
"""

import argparse
import asyncio
import os
import signal
import time
from pathlib import Path

from tallystick.keys import ED25519
from tallystick.modules import rulebook
from tallystick.ordering import VerifierProcess
from tallystick.ordering.cometbft import AbciServer, HeaderSealer, LedgerApplication, SnapshotFolder
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


async def run(home, organisation, crash, every):
    """Serve until told to stop."""
    store = LedgerStore(home / "ledger.db", rulebook())
    state = store.load_state()
    verifier = VerifierProcess()
    snapshots = SnapshotFolder(
        home / "snapshots", LedgerSnapshots(store), chain=state.chain, genesis_hash=state.genesis_hash, every=every
    )
    application = Crashing(
        state,
        store,
        rulebook(),
        verifier,
        clock_ms=lambda: time.time_ns() // 1_000_000,
        seal=HeaderSealer(state.chain, organisation, system_key(organisation), previous=store.last_header_hash).seal,
        snapshots=snapshots,
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
    given = parser.parse_args()
    asyncio.run(run(given.home, given.organisation, given.crash, given.snapshots))
