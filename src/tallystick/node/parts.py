"""The part that a node plays: when it changes, and what must hold before an engine may vote.

A part changes with a block: the order is handed over to validators; or a validator's lost ledger is there again. The
core then ends with `PART_CHANGED`, and the supervisor starts the node's processes anew, as its new part needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.errors import AccessError, StorageError
from tallystick.machine import BlockResult, State
from tallystick.modules.organisations.queries import find_engine
from tallystick.modules.organisations.records import ENGINES, SEATINGS
from tallystick.node.engine_genesis import initial_height, write_engine_genesis
from tallystick.node.homes import Home, Part
from tallystick.node.processes import PartChangedError
from tallystick.store import LedgerStore

if TYPE_CHECKING:
    from tallystick.ordering.cometbft.replay import EngineHeight


class PartKeeper:
    """Follows what the ledger says of this node's part.

    Attributes:
        part: what this core was started for.
    """

    def __init__(self, home: Home, store: LedgerStore) -> None:
        """Take up the part of a core that starts.

        Raises:
            PartChangedError: the ledger has gone on to another since the supervisor looked.
        """
        self._home = home
        self._store = store
        self.part: Part = home.part
        rebuilding = home.rebuilding_path
        # An engine is played all blocks since the engines began: a copy that began later follows until it has them.
        self._lacks_older = store.base is not None
        if self.part == "validator" and self._lacks_older and not has_blocks(home):
            rebuilding.write_text("0\n")
        self._rebuild_to = int(rebuilding.read_text()) if rebuilding.exists() else None
        self._look()
        self.check()

    def check(self) -> None:
        """Go on with the part that this core was started for.

        Raises:
            PartChangedError: the node plays another now.
        """
        if self._home.part != self.part:
            raise PartChangedError(
                f"this node goes on as {self._home.part}", remedy="Nothing is to be done: its processes start anew."
            )

    def after(self, result: BlockResult) -> bool:
        """Look at a block that is on disk; tell whether this node plays another part after it."""
        named = not result.written.isdisjoint((ENGINES.name, SEATINGS.name))
        whole = self._lacks_older and self._store.base is None
        if whole:
            self._lacks_older = False
        if named or whole:
            self._look()
        rebuilt = self._end_rebuilding(result.block.height)
        return (named or whole or rebuilt) and self._home.part != self.part

    def _look(self) -> None:
        write_engine_genesis(self._home, self._store)
        if self._home.part == "validator":
            # Only validators need what knows the engine.
            from tallystick.node.engine_home import write_peers
            from tallystick.node.seats import other_engines

            write_peers(self._home, other_engines(self._store, self._home.settings.node.organisation))

    def _end_rebuilding(self, height: int) -> bool:
        if self._rebuild_to is None or height < self._rebuild_to or self._lacks_older:
            return False
        engine_height(self._home).begin()
        self._home.rebuilding_path.unlink(missing_ok=True)
        self._rebuild_to = None
        return True


def engine_height(home: Home) -> EngineHeight:
    """Return how far this node's engine is, where it is behind the ledger."""
    from tallystick.ordering.cometbft.replay import EngineHeight

    return EngineHeight(home.engine_path / "behind")


def has_blocks(home: Home) -> bool:
    """Tell whether this node's engine has blocks of its own."""
    return (home.engine_path / "data" / "blockstore.db").exists()


def check_engine(home: Home, store: LedgerStore) -> EngineHeight:
    """Check that this node's engine may vote; return how far it is.

    Raises:
        AccessError: it has no key, or not the one that the ledger names.
        StorageError: its blocks, or what it signed last, are lost.
    """
    from tallystick.node.engine_home import has_engine_keys, read_engine_keys, signed_height

    organisation = home.settings.node.organisation
    announced = find_engine(State(store), organisation)
    if announced is None or not has_engine_keys(home.keys_path):
        raise AccessError(
            f"{organisation} has announced no engine, or its keys are not here",
            remedy='Set role = "replica" in tally.toml and start the node; then type: tally node validate',
        )
    if read_engine_keys(home.keys_path).consensus.hex() != announced.consensus:
        raise AccessError(
            "the engine's key in keys/engine is not the one that the ledger names",
            remedy='Set role = "replica" in tally.toml and start the node; then type: tally node validate',
        )
    signed = signed_height(home.keys_path)
    if signed is None:
        raise StorageError(
            "this validator does not know what it signed last: going on could sign twice",
            remedy="Type: tally node repair   (it makes a new key for the engine; the old one is never used again)",
        )
    found = engine_height(home)
    last = store.last_block()
    first = initial_height(State(store)) or 1
    if not has_blocks(home) and last is not None and last.height >= first:
        if signed and found.height is None:
            raise StorageError(
                f"the engine's own blocks are gone, though it has voted up to block {signed}",
                remedy="Type: tally node repair   (the engine then fetches them from the other validators)",
            )
        found.begin()
    return found
