"""Cutting the engine's write-ahead log, which the engine itself cuts only above 1 GB.

    engine/data/cs.wal/  wal.000  wal.001 ...  wal     rotated files, oldest first, and the head

The engine writes each message of consensus there before it acts on it, and at 10 MiB puts the head aside under the next
number; no setting changes either size. Rule: the newest file in which a height ends stays, with all after it; what is
older goes. That is safe, in engine v0.38.26, because

- all it ever reads of the log is what follows the mark of one height, at its start: the last that it has stored as a
  block, S (`catchupReplay`). Nothing reads it while the engine runs;
- it writes the mark of a height only after it has stored that block, synced (`finalizeCommit`). So whoever finds a mark h
  knows that S is h or higher, also after a power cut, once that mark is synced: it is, here, before anything goes;
- marks come in rising order, and blocks never go without them: both are in `engine/data`. So the mark of S, and all that
  follows it, is in the file of h or a newer one;
- the mark of height 0 says nothing: the engine begins every empty head with it, one after a rotation too.

It takes the lowest number from the folder when it starts, and again each time it checks the size (`readGroupInfo`), and it
gives out the next number from memory. Should it look, while it starts, for a file that has just gone, it makes an empty
one in its place and reads on in the next; that goes with the next cut. Files go oldest first, so that a crash leaves no gap.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from pathlib import Path
from typing import IO

import structlog

log = structlog.get_logger("engine")
FOLDER = Path("data", "cs.wal")
HEAD = "wal"
_ROTATED = re.compile(r"wal\.([0-9]{3,})")
# Before each message: a checksum, which is left to the engine, and the length.
_FRAME = struct.Struct(">II")
# A mark is a time and a height.
_LONGEST_MARK = 64
# Fields of the message, of protobuf: its time, what it is, and of that the end of a height; in that the height.
_TIME, _WHAT, _END, _HEIGHT = b"\x0a", b"\x12", b"\x22", b"\x08"


def cut_journal(engine: Path) -> int:
    """Remove the files that the engine will never read again; return their size, bytes.

    It may run at any moment, also while the engine starts, writes, rotates or is dead.

    Args:
        engine: the engine's folder.

    Raises:
        OSError: the disk refuses.
    """
    folder = engine / FOLDER
    rotated = _rotated(folder)
    if not rotated:
        return 0
    # The head is opened after the folder was read: whatever is rotated meanwhile, it is newer than all that was listed.
    for kept in range(len(rotated), 0, -1):
        path = rotated[kept] if kept < len(rotated) else folder / HEAD
        if _is_synced_end(path):
            return _remove(folder, rotated[:kept])
    return 0


def cut_in_passing(engine: Path) -> None:
    """Cut the log and say so; where that fails, say that, and leave it for the next time."""
    try:
        removed = cut_journal(engine)
    except OSError as error:
        log.warning(
            "engine_journal_not_cut",
            message=f"{engine / FOLDER}: {error.strerror}",
            remedy="Check the disk and the folder's permissions; until then the engine's log grows, up to 1 GB.",
        )
        return
    if removed:
        log.info("engine_journal_cut", removed_bytes=removed)


def _rotated(folder: Path) -> list[Path]:
    """Return the files that were put aside, oldest first."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    numbers = sorted((int(found[1]), name) for name in names if (found := _ROTATED.fullmatch(name)))
    return [folder / name for _, name in numbers]


def _is_synced_end(path: Path) -> bool:
    """Tell whether a height ends in a file; if so, that is on the disk."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        if _finds_mark(file):
            os.fsync(file.fileno())
            return True
    return False


def _finds_mark(file: IO[bytes]) -> bool:
    """Tell whether a file holds the mark of a height above 0, before anything in it that is damaged or unfinished."""
    size = os.fstat(file.fileno()).st_size
    place = 0
    while place + _FRAME.size <= size:
        file.seek(place)
        _, length = _FRAME.unpack(file.read(_FRAME.size))
        place += _FRAME.size + length
        if length <= _LONGEST_MARK and place <= size and _is_mark(file.read(length)):
            return True
    return False


def _is_mark(message: bytes) -> bool:
    """Tell whether a message says that a height above 0 has ended; the height is left out where it is 0."""
    if message[:1] != _TIME or len(message) < 2:
        return False
    what = message[2 + message[1] :]
    return (what[:1], what[2:3], what[4:5]) == (_WHAT, _END, _HEIGHT)


def _remove(folder: Path, paths: list[Path]) -> int:
    removed = 0
    # The names of the files that stay are on the disk before those of others go from it.
    names = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(names)
    finally:
        os.close(names)
    for path in paths:
        size = path.stat().st_size
        path.unlink()
        removed += size
    return removed
