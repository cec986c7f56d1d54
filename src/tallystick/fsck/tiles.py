"""Checking `log/`: every tile and bundle that is there, against the leaves that replay gives.

What must be there is what the checkpoint in the folder commits to. Files beyond it, and partial files of earlier sizes,
need not be there; where they are, they must hold what belongs there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tallystick.codec import MalformedError
from tallystick.fsck.membership import Succession
from tallystick.fsck.replayed import Replayed
from tallystick.fsck.report import Notes, difference
from tallystick.merkle import TILE_WIDTH, Edge, Tile, encode_entries, leaf_hash, root_from_hashes
from tallystick.merkle.tiles import ENTRIES, TILE_LEVELS
from tallystick.proofs.checkpoints import parse_checkpoint, parse_note, verify_checkpoint
from tallystick.store.tilelog import CHECKPOINT

_LARGEST_FILE = TILE_WIDTH * (2 + 0xFFFF)


class LogChecker:
    """Compares the files of a log while replay gives its leaves.

    Attributes:
        size: what the checkpoint in the folder says, or 0.
    """

    def __init__(self, folder: Path, notes: Notes) -> None:
        """Read the checkpoint; do this before the ledger is opened, so that the ledger is never behind it."""
        self.size = 0
        self._folder = folder
        self._notes = notes
        self._entries: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self._counts: list[int] = [0]
        self._checkpoint = self._read(CHECKPOINT)
        if self._checkpoint is not None:
            try:
                self.size = parse_checkpoint(self._checkpoint)[1]
            except MalformedError as error:
                notes.say(f"log/{CHECKPOINT}", f"not a checkpoint: {error.reason}")
                self._checkpoint = b""

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint file."""
        return self._checkpoint is not None

    def begin(self, edge: Edge) -> None:
        """Begin behind leaves that are not there: of what was full before them, nothing is looked at."""
        self._entries = list(edge.entries)
        self._levels = [list(level) for level in edge.levels]
        self._counts = [edge.size >> (TILE_LEVELS * (level + 1)) for level in range(len(edge.levels))]

    def take(self, leaves: Iterable[bytes]) -> None:
        """Take the data of further leaves."""
        for leaf in leaves:
            self._entries.append(leaf)
            self._levels[0].append(leaf_hash(leaf))
            if len(self._entries) == TILE_WIDTH:
                self._finish()

    def finish(self, succession: Succession, replayed: Replayed) -> None:
        """Compare the unfinished tiles, and the checkpoint with the history.

        Args:
            succession: who may sign it.
            replayed: roots of the history.
        """
        self._compare(ENTRIES, self._counts[0], self._entries)
        for level, hashes in enumerate(self._levels):
            self._compare(level, self._counts[level], hashes)
        if self._checkpoint:
            try:
                check_note(self._checkpoint, self.size, succession, replayed)
            except ValueError as error:
                self._notes.say(f"log/{CHECKPOINT}", str(error))

    def _finish(self) -> None:
        """Compare the bundle and the tiles that just became full."""
        self._compare(ENTRIES, self._counts[0], self._entries)
        self._entries = []
        level = 0
        while len(self._levels[level]) == TILE_WIDTH:
            hashes = self._levels[level]
            self._compare(level, self._counts[level], hashes)
            self._levels[level] = []
            self._counts[level] += 1
            level += 1
            if level == len(self._levels):
                self._levels.append([])
                self._counts.append(0)
            self._levels[level].append(root_from_hashes(hashes))

    def _compare(self, level: int, index: int, items: Sequence[bytes]) -> None:
        """Compare all files of one tile or bundle.

        Args:
            level: `ENTRIES` for a bundle.
            index: in its level.
            items: what it holds as far as this history goes.
        """
        if not items:
            return
        # Partial files first: a node that runs removes them only once the full one is there.
        widths = self._partial_widths(level, index)
        needed = min(TILE_WIDTH, (self.size >> (TILE_LEVELS * max(level, 0))) - index * TILE_WIDTH)
        there = False
        for width in (*widths, TILE_WIDTH):
            path = Tile(level, index, width).path
            data = self._read(path)
            if data is None:
                continue
            there = there or width in (needed, TILE_WIDTH)
            known = items[:width]
            expected = encode_entries(known) if level == ENTRIES else b"".join(known)
            # A file may be ahead of the history that was read; then only its beginning can be compared.
            found = data if len(known) == width else data[: len(expected)]
            if expected != found:
                self._notes.add(difference(f"log/{path}", "not what the history gives", expected, found))
        if needed > 0 and not there:
            self._notes.say(f"log/{Tile(level, index, needed).path}", "it is missing")

    def _partial_widths(self, level: int, index: int) -> list[int]:
        folder = self._folder / f"{Tile(level, index, TILE_WIDTH).path}.p"
        try:
            names = [name for name in os.listdir(folder) if name.isascii() and name.isdigit() and len(name) < 4]
        except OSError:
            return []
        return sorted(width for name in names if str(width := int(name)) == name and 0 < width < TILE_WIDTH)

    def _read(self, path: str) -> bytes | None:
        try:
            with (self._folder / path).open("rb") as file:
                return file.read(_LARGEST_FILE)
        except OSError:
            return None


def check_note(data: bytes, size: int, succession: Succession, replayed: Replayed) -> None:
    """Check a checkpoint against the history and the keys of its time.

    Args:
        data: the signed note.
        size: that it must be of.
        succession: who may sign it; one that ordered at its size must have.
        replayed: roots of the history.

    Raises:
        ValueError: what is wrong, as a sentence.
    """
    trust = succession.trust
    moment = replayed.find_moment(size)
    if moment is None:
        raise ValueError(f"no block of this history ends at its size {size}")
    version = trust.version_at(size)
    checkpoint = verify_checkpoint(data, trust.chain, version.members)
    if (checkpoint.size, checkpoint.root) != (size, moment.root):
        raise ValueError("it is of another history")
    if not any(signer in version.validators for signer in checkpoint.signers):
        raise ValueError("nobody that ordered then has signed it")
    if len(parse_note(data).signatures) != len(checkpoint.signers) + len(checkpoint.cosignatures):
        raise ValueError("it carries a signature by nobody who is known")
