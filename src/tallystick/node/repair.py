"""`tally node repair`: what can be made again of a home from what the other members have.

Rules:

- Only of a node that does not run. What is damaged is put aside, never deleted.
- What an engine's key signed last is never reset and never guessed: where that is lost, the key is retired, and the
  organisation announces a new one.
- A ledger is made again empty; its blocks come from the other members, each checked as ever.
"""

from __future__ import annotations

import json
from pathlib import Path

from tallystick.errors import IntegrityError, StorageError, UsageError
from tallystick.machine import State
from tallystick.modules import decode_genesis, genesis_writes, rulebook
from tallystick.modules.organisations.queries import find_engine
from tallystick.node.engine_home import has_engine_keys, retire_engine_keys, signed_height
from tallystick.node.homes import Home
from tallystick.node.join import INVITATION_FILE
from tallystick.node.locks import SUPERVISOR, try_lock
from tallystick.node.parts import engine_height, has_blocks
from tallystick.node.validating import change_settings
from tallystick.store import DamagedError, LedgerStore, TileLog

_SIDE_FILES = ("", "-wal", "-shm")


def repair(home: Home, *, engine: bool = False) -> list[str]:
    """Repair a home; return what was done, a sentence each; nothing where it is whole.

    Args:
        home: of a node that does not run.
        engine: let the engine begin anew, though its blocks are there.

    Raises:
        UsageError: the node runs.
        StorageError: what is needed to repair it is lost too.
    """
    lock = try_lock(home.path, SUPERVISOR)
    if lock is None:
        raise UsageError("the node runs", remedy="Stop it first.")
    try:
        done = _repair_ledger(home)
        done += _repair_engine(home, engine)
    finally:
        lock.close()
    return done


# --- the ledger ----------------------------------------------------------------------------------------------------------


def find_damage(home: Home) -> str:
    """Return what is wrong with a home's ledger, as far as its last block shows it; "" where nothing is.

    `tally ledger check` looks at all of it.

    Raises:
        StorageError: it may be whole: the disk refuses, or a newer program wrote it.
    """
    if not home.ledger_path.exists():
        return f"{home.ledger_path} is missing"
    store = None
    try:
        store = LedgerStore(home.ledger_path, rulebook())
        faults = [row[0] for row in store.query("PRAGMA quick_check(1)") if row[0] != "ok"]
        if faults:
            return f"{home.ledger_path} is damaged: {faults[0]}"
        store.load_state(TileLog(home.log_path).frontier())
    except (DamagedError, IntegrityError) as error:
        return error.message
    finally:
        if store is not None:
            store.close()
    return ""


def _repair_ledger(home: Home) -> list[str]:
    damage = find_damage(home)
    if not damage:
        return []
    genesis_path = home.path / "genesis.json"
    try:
        genesis = genesis_path.read_bytes()
    except OSError:
        raise StorageError(
            f"{damage}, and {genesis_path} is missing", remedy="Copy it from another member; it is public."
        ) from None
    chain = decode_genesis(genesis).chain
    part = home.part
    aside = [_put_aside(home.path / (home.ledger_path.name + side)) for side in _SIDE_FILES]
    aside.append(_put_aside(home.log_path))
    home.log_path.mkdir()
    LedgerStore.create(home.ledger_path, rulebook(), chain=chain, genesis=genesis, records=genesis_writes(genesis))
    kept = ", ".join(path.name for path in aside if path is not None)
    done = [f"{damage}. An empty ledger is in its place; what was there is kept as {kept or 'nothing'}."]
    if part == "orderer":
        # It must not sign a second history: it asks the witnesses how far the first had gone.
        home.mark_restored()
        done.append("When it starts, it asks the other members for the blocks, and orders again once it has all.")
        if not (home.path / INVITATION_FILE).exists():
            done.append(
                "Where they are was in the ledger alone. At another member's node, type: tally zone invite ANOTHER-NAME   "
                f"Put that file here as {home.path / INVITATION_FILE}, and then start the node."
            )
    elif part == "validator":
        done += _plan_rebuilding(home)
    else:
        done.append("When the node starts, it fetches the history from the other members, and checks all of it.")
    return done


def _plan_rebuilding(home: Home) -> list[str]:
    """Say how a validator's ledger is filled: from the others' ledgers, as the engines may have forgotten old blocks.

    The engine voted on the block after the one that is followed to, so that this one is there for certain.
    """
    first = int(json.loads(home.engine_genesis_path.read_bytes())["initial_height"])
    until = max(first, signed_height(home.keys_path) or 0) - 1
    engine_height(home).set(None)
    if not until:
        return ["When the node starts, its engine plays all blocks to it again."]
    home.rebuilding_path.write_text(f"{until}\n")
    return [
        f"When the node starts, it follows the others up to block {until}; then its engine begins, and it validates."
    ]


def _put_aside(path: Path) -> Path | None:
    if not path.exists():
        return None
    number = 1
    while (other := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    try:
        path.rename(other)
    except OSError as error:
        raise StorageError(f"cannot move {path}: {error.strerror}", remedy="Check the disk and its rights.") from None
    return other


# --- the engine ----------------------------------------------------------------------------------------------------------


def _repair_engine(home: Home, wanted: bool) -> list[str]:
    role = home.settings.node.role
    if role == "replica" or not home.engine_genesis_path.exists():
        return []
    if _lost_last_signed(home):
        retired = retire_engine_keys(home.keys_path) if (home.keys_path / "engine").exists() else None
        _put_aside(home.engine_path)
        change_settings(home.path, [("node", "role", "replica")])
        where = f" The old keys are kept as {retired.name}, and are never used again." if retired else ""
        return [
            f"It is not known what this engine's key signed last.{where}",
            "The node follows as a replica for now. When it runs, type `tally node validate`: it announces a new key.",
        ]
    if home.rebuilding_path.exists() or (has_blocks(home) and not wanted):
        # What is rebuilt first lets the engine begin anew afterwards.
        return []
    _put_aside(home.engine_path)
    engine_height(home).begin()
    return ["When the node starts, its engine begins where the other validators' engines are, and votes after that."]


def _lost_last_signed(home: Home) -> bool:
    """Tell whether an announced key may have signed what nobody knows."""
    if has_engine_keys(home.keys_path):
        return signed_height(home.keys_path) is None
    store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
    try:
        return find_engine(State(store), home.settings.node.organisation) is not None
    finally:
        store.close()
