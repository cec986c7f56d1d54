"""What the supervisor tells about the node's processes, in a file that the others read: `processes.json`.

It is written anew at each start and end of a process, and lost with nothing: a node that starts begins it anew.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from tallystick.errors import NodeError
from tallystick.node.files import write_atomically

FILE = "processes.json"
# How a core ends that found its engine standing still: both are to be started again together.
ENGINE_STALLED = 75
# How a core ends whose node plays another part from now on: all of its processes are to be started anew.
PART_CHANGED = 76
# Tells a child that its first line is not a passphrase but what `OpenKeys.hand_over` gave.
HANDED_OVER = "--handed-over"
_LONGEST_SECONDS = 3_600.0


class EngineStalledError(NodeError):
    """The engine stands still: the core ends with `ENGINE_STALLED`, and the supervisor starts both again."""


class PartChangedError(NodeError):
    """The node plays another part: the core ends with `PART_CHANGED`, and the supervisor starts all processes anew."""


def patience_seconds(seconds: float, stalls: int) -> float:
    """Return how long an engine may stand still: longer each time that starting it again did not help.

    Args:
        seconds: the first time.
        stalls: how often in a row it was started again for that.
    """
    return min(seconds * (1 << min(stalls, 16)), max(seconds, _LONGEST_SECONDS))


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a node.

    Attributes:
        pid: of the last one that was started; 0 while none was.
        started_at: when, ms.
        restarts: how often it was started again since the node began.
        last_exit: code of the last one that ended; below 0 the signal that ended it, None where none has ended.
        ended_at: when, ms; 0 where none has.
    """

    pid: int = 0
    started_at: int = 0
    restarts: int = 0
    last_exit: int | None = None
    ended_at: int = 0


class Processes(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of a node.

    Attributes:
        children: by name: core, engine, office.
        stalls: how often in a row the core and the engine were started again because the engine stood still.
    """

    children: dict[str, Process] = {}
    stalls: int = 0


def write_processes(home: Path, processes: Processes) -> None:
    """Write the file whole.

    Raises:
        StorageError: the disk refuses.
    """
    write_atomically(home / FILE, msgspec.json.encode(processes))


def read_processes(home: Path) -> Processes:
    """Return what the supervisor told last; nothing where it has told nothing that can be read."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=Processes)
    except (OSError, msgspec.DecodeError):
        return Processes()
