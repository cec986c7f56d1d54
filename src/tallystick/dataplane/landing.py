"""Where a delivery lands: a `.part` folder that survives cuts and crashes, and one rename when all of it is there.

    <to>/<delivery>.part/lock           held while a process works on it
    <to>/<delivery>.part/journal.json   how many chunks are verified and written, in which boot of the machine
    <to>/<delivery>.part/data/<name>    the file or folder in the making

Rules:

- The journal is written after the chunks that it counts, so it never counts one that was not written; a killed process
  loses at most what came since the last entry.
- What a killed process wrote is still there, but a machine that lost power may have kept any part of it. So the journal
  names the boot: in the same boot the last few chunks are verified again, after another all of them.
- Files are put on disk before the rename, the rename before the `.part` folder goes. Under its final name a delivery is
  always whole.
- Everything is readable by its owner alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, check_slug, encode_json
from tallystick.dataplane.layout import CHUNK_BYTES, Layout, Place
from tallystick.dataplane.receiving import Opener
from tallystick.dataplane.refusals import AlreadyFetchingError, ChunkMismatchError, DiskFullError, TargetExistsError
from tallystick.dataplane.sidecars import sync_folder, write_secret
from tallystick.dataplane.sources import Manifest, check_path, unsafe_path
from tallystick.errors import StorageError

JOURNAL_EVERY_BYTES = 32 << 20
TAIL_CHUNKS = 8
SPARE_BYTES = 16 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    boot: str
    chunks: int
    fingerprint: str
    name: str
    v: Literal[1]


_decoder: StrictDecoder[_Journal] = StrictDecoder(_Journal, max_bytes=4_096)


def boot_id() -> str:
    """Return what tells one boot of this machine from another; "" where that cannot be known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Landing:
    """One delivery on its way onto this machine's disk. `write` may be called from several threads."""

    def __init__(self, to: Path, delivery: str) -> None:
        """Open or make the `.part` folder and lock it.

        Args:
            to: the folder that the file or folder is to appear in; made if needed.
            delivery: id of the delivery.

        Raises:
            AlreadyFetchingError: another process holds it.
            StorageError: the folder cannot be written to.
        """
        self._to = to
        self.part = to / f"{check_slug(delivery)}.part"
        self._data = self.part / "data"
        with storage_errors(to):
            self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.part.chmod(0o700)
            self._lock = os.open(self.part / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise AlreadyFetchingError(
                f"another process is fetching {delivery} into {to}", remedy="Wait for it, or fetch into another folder."
            ) from None

    def prepare(self, opener: Opener, manifest: Manifest, layout: Layout, name: str | None = None) -> int:
        """Check that there is room for the delivery, find what is here of it already, and return the next chunk.

        Args:
            opener: of the delivery.
            manifest: what will land.
            layout: of the stream.
            name: what the file or folder is to be called; by default as the provider calls it.

        Raises:
            TargetExistsError: something of that name is there.
            DiskFullError: what is missing does not fit.
            UnsafePathError: the name is not safe.
        """
        self._opener, self._manifest, self._layout = opener, manifest, layout
        self._name = check_path(name or manifest.name)
        if "/" in self._name or self._name == self.part.name:
            raise unsafe_path(self._name, "it cannot be used as the name of a delivery")
        self.target = self._to / self._name
        self._root = self._data / self._name
        self._made: set[Path] = set()
        self._refuse_existing()
        with storage_errors(self._to):
            self._next = self._resume()
            first = layout.place(self._next) if self._next < layout.chunks else None
            missing = 0 if first is None else layout.size - sum(self._part_sizes()[: first.part]) - first.offset
            free = shutil.disk_usage(self.part).free
        if missing and missing + SPARE_BYTES > free:
            raise DiskFullError(
                f"{self._to} has {free >> 20} MiB free and the delivery needs {(missing + SPARE_BYTES) >> 20} MiB more",
                remedy="Make room, or fetch into another folder.",
            )
        self._unrecorded = 0
        return self._next

    def write(self, places: Sequence[Place], ciphertext: memoryview) -> None:
        """Decrypt, verify and write consecutive chunks.

        Args:
            places: where they are.
            ciphertext: exactly theirs.

        Raises:
            SegmentAlteredError, ChunkMismatchError: see `Opener.open_chunk`; what came before stays.
            StorageError: the disk refuses; `DiskFullError` when it is full.
        """
        buffer = memoryview(bytearray(max(place.size for place in places)))
        part, descriptor, used = 0, -1, 0
        try:
            for place in places:
                piece = ciphertext[used : used + place.cipher_size]
                used += place.cipher_size
                chunk = self._opener.open_chunk(place, piece, buffer)
                with storage_errors(self._to):
                    if place.part != part:
                        if descriptor >= 0:
                            os.close(descriptor)
                            descriptor = -1
                        part, descriptor = place.part, self._open_for_writing(place.part)
                    _write_all(descriptor, chunk, place.offset)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def written(self, places: Sequence[Place]) -> bool:
        """Count chunks as written; called in order, after `write` returned for these and for all before them.

        Returns:
            whether it is time to `record`, which waits for the disk.
        """
        self._next = places[-1].chunk + 1
        self._unrecorded += sum(place.size for place in places)
        return self._unrecorded >= JOURNAL_EVERY_BYTES

    def record(self) -> None:
        """Write the journal."""
        journal = _Journal(
            boot=boot_id(), chunks=self._next, fingerprint=self._opener.package.fingerprint, name=self._name, v=1
        )
        with storage_errors(self._to):
            write_secret(self.part / "journal.json", encode_json(journal))
        self._unrecorded = 0

    def finish(self) -> Path:
        """Put everything on disk, give it its name, remove the `.part` folder, and return where it is."""
        with storage_errors(self._to):
            for index in range(len(self._manifest.files)):
                descriptor = self._open_for_writing(index + 1)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            if self._manifest.kind == "folder":
                for folder, _, _ in os.walk(self._root, topdown=False):
                    sync_folder(Path(folder))
            self._refuse_existing()
            os.rename(self._root, self.target)
            sync_folder(self._to)
            shutil.rmtree(self.part, ignore_errors=True)
        return self.target

    def close(self) -> None:
        """Let go of the `.part` folder; what it holds stays for the next attempt."""
        with suppress(OSError):
            os.close(self._lock)

    def discard(self) -> None:
        """Remove the `.part` folder, giving up what it holds."""
        shutil.rmtree(self.part, ignore_errors=True)

    def _refuse_existing(self) -> None:
        if os.path.lexists(self.target):
            raise TargetExistsError(
                f"{self.target} is already there",
                remedy="Move it away, or fetch into another folder or by another name.",
            )

    def _part_sizes(self) -> list[int]:
        return [self._opener.package.manifest_size, *(entry.size for entry in self._manifest.files)]

    def _resume(self) -> int:
        """Return the first chunk that has still to come, having verified what is relied on."""
        start = self._layout.manifest_chunks
        try:
            journal = _decoder.decode((self.part / "journal.json").read_bytes())
        except (OSError, MalformedError):
            journal = None
        if (
            journal is None
            or (journal.fingerprint, journal.name) != (self._opener.package.fingerprint, self._name)
            or not start <= journal.chunks <= self._layout.chunks
        ):
            shutil.rmtree(self._data, ignore_errors=True)
            self._data.mkdir(mode=0o700)
            return start
        same_boot = journal.boot != "" and journal.boot == boot_id()
        if same_boot and self._first_bad(max(start, journal.chunks - TAIL_CHUNKS), journal.chunks) == journal.chunks:
            return journal.chunks
        return self._first_bad(start, journal.chunks)

    def _first_bad(self, first: int, end: int) -> int:
        """Return the first chunk of a range that is not on disk as it should be, or `end`."""
        buffer = memoryview(bytearray(CHUNK_BYTES))
        for chunk in range(first, end):
            place = self._layout.place(chunk)
            try:
                descriptor = os.open(self._path(place.part), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                return chunk
            try:
                got = os.preadv(descriptor, [buffer[: place.size]], place.offset) if place.size else 0
                self._opener.check_chunk(chunk, buffer[:got])
            except (OSError, ChunkMismatchError):
                return chunk
            finally:
                os.close(descriptor)
        return end

    def _path(self, part: int) -> Path:
        if self._manifest.kind == "file":
            return self._root
        return self._root / self._manifest.files[part - 1].path

    def _open_for_writing(self, part: int) -> int:
        path = self._path(part)
        if path.parent not in self._made:
            for folder in reversed([parent for parent in path.parents if parent.is_relative_to(self._data)]):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._made.add(path.parent)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count


@contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn what the operating system says about a folder into an error with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(
                f"there is no room left in {where}",
                remedy="Make room and fetch again: it goes on from the last verified chunk.",
            ) from error
        raise StorageError(
            f"{where} cannot be written to: {error.strerror or error}", remedy="Check its owner and permissions."
        ) from error
