"""Where an engine begins, and how far it is: what it is told before there are new blocks.

Rules:

- An engine is told the height of the last block that *it* brought, 0 before its chain's first, and the app hash there.
- Its genesis must be this ledger's: of the same zone, beginning behind the block up to which the zone had another engine,
  with the validators that the ledger names. What does not belong together raises, and the engine stops.
- An engine that is behind the ledger brings blocks that the ledger has. They are compared with it and answered from it;
  none is executed again (`replay`). With the last of them the engine has caught up.
"""

from __future__ import annotations

import structlog

from tallystick.errors import IntegrityError
from tallystick.machine import LedgerState, State
from tallystick.machine.execution import app_hash_of
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.replay import EngineHeight, History, KeptBlock, answer_again
from tallystick.ordering.cometbft.validators import ValidatorSource, difference, update

log = structlog.get_logger("engine")
# Part of each header of the engines' chain, from its first on; an engine that begins later must be told the same.
APP_VERSION = 1
_OTHER_ZONE = "Check that the engine's genesis and this node's zone.json belong to the same zone."


def app_hash_after(state: LedgerState) -> bytes:
    """Return the app hash of a ledger's last block."""
    frontier = state.frontier
    return app_hash_of(state.tree.root, frontier.root(), frontier.size)


class Handshake:
    """Compares an engine with the ledger, whose state it is given each time."""

    def __init__(
        self,
        initial_height: int,
        *,
        validators: ValidatorSource | None,
        history: History | None,
        engine: EngineHeight | None,
    ) -> None:
        """Prepare.

        Args:
            initial_height: the first block of the engine's chain.
            validators: reads from the state who validates; None where those of the engine's genesis stay.
            history: the ledger's blocks, and
            engine: how far the engine has come, where it may be behind them.
        """
        self._initial_height = initial_height
        self._validators = validators
        self._history = history
        self._engine = engine
        self._replayed = 0

    @property
    def _behind(self) -> int | None:
        """The height of the engine's last block where the ledger has more, else None."""
        return None if self._engine is None else self._engine.height

    def reached(self, state: LedgerState) -> int:
        """Return the height of the last block that the engine has brought."""
        return state.height if self._behind is None else self._behind

    def info(self, state: LedgerState) -> abci.ResponseInfo:
        """Tell the height and app hash that are on disk; height 0 before this engine's first block."""
        height = self.reached(state)
        began = height >= self._initial_height
        return abci.ResponseInfo(
            data="tallystick",
            app_version=APP_VERSION,
            last_block_height=height if began else 0,
            last_block_app_hash=self._app_hash_at(state, height) if began else b"",
        )

    def init_chain(self, state: LedgerState, request: abci.RequestInitChain) -> abci.ResponseInitChain:
        """Compare the engine's genesis with the ledger's; answer with the app hash that the chain begins with.

        Raises:
            IntegrityError: they do not belong together.
        """
        if request.chain_id != state.chain:
            raise IntegrityError(
                f"the engine's genesis is of the chain {request.chain_id}, this ledger's of {state.chain}",
                remedy=_OTHER_ZONE,
            )
        before = self._initial_height - 1
        fits = state.height == before if self._behind is None else state.height >= before
        if (request.initial_height or 1) != self._initial_height or not fits:
            raise IntegrityError(
                f"the engine begins at block {request.initial_height or 1}, behind this ledger's {state.height}",
                remedy=_OTHER_ZONE,
            )
        given = {item.pub_key.ed25519: item.power for item in request.validators}
        wanted = given if self._validators is None else dict(self._validators.validators(State(state.reader), before))
        if given and given != wanted:
            raise IntegrityError(
                "the validators of the engine's genesis are not those of this ledger", remedy=_OTHER_ZONE
            )
        log.info("engine_chain_begins", chain=state.chain, height=self._initial_height, validators=len(wanted))
        return abci.ResponseInitChain(
            app_hash=self._app_hash_at(state, before), validators=[update(key, wanted[key]) for key in sorted(wanted)]
        )

    def _app_hash_at(self, state: LedgerState, height: int) -> bytes:
        if height == state.height or self._history is None:
            return app_hash_after(state)
        return self._history.kept_block(height).app_hash

    # --- an engine that is behind ------------------------------------------------------------------------------------

    def find_kept(self, state: LedgerState, height: int) -> KeptBlock | None:
        """Return a block that the ledger has already, where the engine is behind it."""
        if self._behind is None or self._history is None or height > state.height:
            return None
        return self._history.kept_block(height)

    def finalize_again(
        self, state: LedgerState, request: abci.RequestFinalizeBlock, kept: KeptBlock
    ) -> abci.ResponseFinalizeBlock:
        """Tell an engine that is behind what the ledger had made of a block.

        Raises:
            IntegrityError: it is a block of another history.
        """
        results = answer_again(request.height, request.txs, kept)
        updates = []
        if self._validators is not None:
            reader = State(state.reader)
            before, after = (self._validators.validators(reader, at) for at in (request.height - 1, request.height))
            updates = difference(before, after)
        self._replayed = request.height
        return abci.ResponseFinalizeBlock(tx_results=results, validator_updates=updates, app_hash=kept.app_hash)

    def commit_again(self, state: LedgerState) -> bool:
        """Remember how far an engine has come that is behind; return False where what it commits is a new block."""
        if not self._replayed or self._engine is None:
            return False
        caught_up = self._replayed == state.height
        self._engine.set(None if caught_up else self._replayed)
        if caught_up:
            log.info("engine_caught_up", height=self._replayed)
        self._replayed = 0
        return True
