"""Where an engine begins that has no blocks yet, though the ledger has: found out by the office, gone by at its start.

    engine/behind           0: the engine has brought nothing yet; H: no more than to begin behind block H
    engine/beginning.json   where it is to begin; written by the office, which alone talks to the other members' nodes

Order of steps, and what a crash between them leaves:

1. The core starts, finds no blocks of the engine's and says so (`behind` is 0). What the office had found out for an
   earlier start is removed: it may be old.
2. The office asks the others, and writes where to begin. The engine's process waits for that.
3. The engine's folder of blocks is emptied: nothing in it has counted, and one that was stopped between two steps of its
   beginning cannot go on. What it signed last is elsewhere, and stays.
4. The engine begins in the middle (`ordering.cometbft.beginnings`), or with its first block. After its first block
   `behind` tells more than where it began, and none of this is looked at again.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tallystick.errors import StorageError
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home
from tallystick.node.parts import engine_height

if TYPE_CHECKING:
    from tallystick.ordering.cometbft.replay import EngineHeight

# How many servers the engine's light client wants at least; each is a socket at which this node answers itself.
SERVERS = 2
# Nothing is remembered from long ago: the header that is trusted is told by the others now, and its validators by the
# ledger, so that its age says nothing. A zone that stood still for a month must be able to go on.
TRUST_HOURS = 24 * 365 * 10


class EngineBeginning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the engine is to begin.

    Attributes:
        height: behind this block; 0 where it is to fetch all blocks from the first.
        hash: of the engines' header of that height, hex.
    """

    height: int = 0
    hash: str = ""


def _path(home: Home) -> Path:
    return home.engine_path / "beginning.json"


def read_beginning(home: Home) -> EngineBeginning | None:
    """Return where the engine is to begin, or None where nobody has found out."""
    try:
        return msgspec.json.decode(_path(home).read_bytes(), type=EngineBeginning)
    except (OSError, msgspec.MsgspecError):
        return None


def write_beginning(home: Home, beginning: EngineBeginning) -> None:
    """Say where the engine is to begin.

    Raises:
        StorageError: the disk refuses.
    """
    write_atomically(_path(home), msgspec.json.encode(beginning) + b"\n")


def has_to_begin(home: Home) -> bool:
    """Tell whether the engine has brought no block yet, though the ledger has some."""
    height = engine_height(home).height
    if height:
        begun = read_beginning(home)
        return begun is not None and begun.height == height
    return height == 0


def begin_anew(home: Home, engine: EngineHeight) -> None:
    """Forget what was found out for an earlier start; called by a core that starts, before its engine does."""
    if engine.height and has_to_begin(home):
        engine.begin()
    _path(home).unlink(missing_ok=True)


def clear_blocks(home: Home) -> None:
    """Empty the folder of an engine that has to begin.

    Raises:
        StorageError: the disk refuses.
    """
    folder = home.engine_path / "data"
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(
            f"cannot empty {folder}: {error.strerror}", remedy="Check the disk and its rights."
        ) from None


def sync_settings(home: Home) -> dict[str, object]:
    """Return the engine's section `statesync`: on, where it is to begin in the middle."""
    begin = read_beginning(home) if has_to_begin(home) else None
    if begin is None or not begin.height:
        return {"enable": False}
    return {
        "enable": True,
        "rpc_servers": ",".join(f"unix://{home.light_path(number)}" for number in range(SERVERS)),
        "trust_height": begin.height,
        "trust_hash": begin.hash.upper(),
        "trust_period": f"{TRUST_HOURS}h0m0s",
        "discovery_time": "5s",
        "chunk_request_timeout": "5s",
        "temp_dir": str(home.engine_path / "data"),
    }
