"""A validator's core that does not keep to the rules: the project's own, with one thing in it made wrong.

`python -m tests.support.dishonest_core HOME`, as a supervisor runs a core; `DISHONEST` in the environment says how:

    proposals   proposes, in turn, what is malformed, badly signed, beyond the zone's caps, of another history
    wrong-hash  executes the tenth block and those behind it to another app hash, and tells its engine so
    wrong-header  tells its engine the truth, and signs another app hash into the zone's header
    flood       lets everything into its mempool, so that its engine sends it on, and proposes its own alone
    twin        proposes nothing that it was sent but an operation of its own: beside an honest one with the same keys
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import secrets
import sys
import time
from collections.abc import Sequence
from typing import TypeGuard

from tallystick.codec import MalformedError, sha256
from tallystick.codec.bundles import decode_bundle, encode_bundle
from tallystick.keys import OpenKeys
from tallystick.machine import Transaction, build_transaction
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.node import core_main
from tallystick.node.child import run_child
from tallystick.node.homes import Home
from tallystick.ordering.cometbft import engine
from tallystick.ordering.cometbft.app import LedgerApplication
from tallystick.ordering.cometbft.blocks import Executed
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.proposals import choose, room_in_block
from tallystick.ordering.cometbft.results import gone

HOW = "DISHONEST"
FIRST_WRONG = 10
"""From this height on `wrong-hash` and `wrong-header` are wrong."""


class _Dishonest(LedgerApplication):
    """Holds its organisation's keys; proposes and votes for what it likes."""

    keys: OpenKeys
    organisation: str

    def sign(self, *, seen: tuple[int, bytes] | None = None) -> bytes:
        """Return a transaction of its own that records a piece of evidence."""
        signer = self.keys.signer("service")
        size, root = seen or (self.state.frontier.size, self.state.frontier.root())
        return build_transaction(
            [RecordEvidence(root=secrets.token_hex(32), count=1)],
            organisation=self.organisation,
            key=signer.public_key,
            sign=signer.sign,
            external_aad=self.state.genesis_hash,
            expires=time.time_ns() // 1_000_000 + 600_000,
            nonce=secrets.token_hex(16),
            seen_size=size,
            seen_root=root,
        )

    async def process_proposal(self, request: abci.RequestProcessProposal) -> abci.ResponseProcessProposal:
        """Vote for everything, its own first."""
        return abci.ResponseProcessProposal(status=abci.ResponseProcessProposal.ACCEPT)


class Proposals(_Dishonest):
    """Adds to each of its proposals what no block may hold."""

    turns = itertools.count()

    async def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        """Propose what others would, and something worse, another kind each time."""
        good = list((await super().prepare_proposal(request)).txs)
        turn = next(self.turns) % 4
        if turn == 0:
            bad = [b"no transaction at all"]
        elif turn == 1:
            raw = self.sign()
            at = raw.index(b"\x58\x40") + 9
            bad = [raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]]
        elif turn == 2:
            bad = [self.sign() for _ in range(self._pool.parameters.block_operations_per_organisation + 1)]
        else:
            bad = [self.sign(seen=(self.state.frontier.size, sha256(b"another history")))]
        return abci.ResponsePrepareProposal(txs=[*good, encode_bundle(bad)])


class WrongHash(_Dishonest):
    """Comes to another app hash than everybody else."""

    async def finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        """Execute as everybody, and tell the engine another app hash."""
        answer = await super().finalize_block(request)
        if request.height >= FIRST_WRONG:
            self._lie()
            assert self._pending is not None
            answer.app_hash = self._pending.result.app_hash
        return answer

    def _lie(self) -> None:
        pending = self._pending
        assert pending is not None
        wrong = dataclasses.replace(pending.result, app_hash=sha256(pending.result.app_hash))
        self._pending = Executed(wrong, pending.bundles, pending.misbehaviour)


class WrongHeader(WrongHash):
    """Votes as everybody does, and signs another header of the zone."""

    async def finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        """Execute as everybody, and put another app hash into the header alone."""
        answer = await LedgerApplication.finalize_block(self, request)
        if request.height >= FIRST_WRONG:
            self._lie()
        return answer


class Twin(_Dishonest):
    """Proposes other blocks than another application with the same consensus key does."""

    async def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        """Propose an operation of its own and nothing else."""
        return abci.ResponsePrepareProposal(txs=[encode_bundle([self.sign()])])


class Flood(_Dishonest):
    """Knows no shares: whatever is pushed into its engine goes on to everybody, and its own comes first."""

    async def check_transactions(self, requests: Sequence[abci.RequestCheckTx]) -> list[abci.ResponseCheckTx]:
        """Take everything, and keep it until all of it is recorded."""
        known = [request.type == abci.RECHECK and self._is_recorded(request.tx) for request in requests]
        return [gone() if recorded else abci.ResponseCheckTx() for recorded in known]

    def _is_recorded(self, bundle: bytes) -> bool:
        decoded = [self._pool.checker.decode(raw) for raw in decode_bundle(bundle)]
        return all(item.id in self.state.accepted for item in decoded if self._is_own(item))

    async def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        """Propose what its own organisation wants and nothing else."""
        raws = [raw for bundle in request.txs for raw in decode_bundle(bundle)]
        checked = await self._pool.checker.check(raws)
        own = [item.decoded for item in checked if item.signed and self._is_own(item.decoded)]
        fresh = [item for item in own if item.id not in self.state.accepted]
        chosen = choose(fresh, self._pool.parameters, room_in_block(request.max_tx_bytes))
        return abci.ResponsePrepareProposal(txs=[encode_bundle(chosen)] if chosen else [])

    def _is_own(self, decoded: Transaction | MalformedError) -> TypeGuard[Transaction]:
        return isinstance(decoded, Transaction) and decoded.payload.organisation == self.organisation


KINDS: dict[str, type[_Dishonest]] = {
    "proposals": Proposals,
    "wrong-hash": WrongHash,
    "wrong-header": WrongHeader,
    "flood": Flood,
    "twin": Twin,
}


async def run(home: Home, keys: OpenKeys) -> None:
    """Run a core whose application is the dishonest one."""
    kind = KINDS[os.environ[HOW]]
    kind.keys, kind.organisation = keys, home.settings.node.organisation
    engine.LedgerApplication = kind  # type: ignore[attr-defined]
    await core_main.run(home, keys)


if __name__ == "__main__":
    sys.exit(run_child("core", run))
