"""Files and folders as datasets: what is in them, in which order, and which names are safe.

Rules:

- A dataset is one file, or the regular files of a folder sorted by the UTF-8 bytes of their POSIX relative path.
  Empty folders are not carried; a folder without files is no dataset.
- A symbolic link to a regular file inside the folder counts as that file. One that leads elsewhere, to a folder or
  nowhere is refused, and so are sockets, pipes and devices: nothing is left out silently.
- The same rules of names hold for the sender and, against a hostile manifest, for the receiver.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json
from tallystick.dataplane.media_types import media_type_of
from tallystick.dataplane.refusals import ManifestError, SourceChangedError, SourceRefusedError, UnsafePathError

MAX_MANIFEST_BYTES = 64 << 20
PATH_BYTES = 1_024
NAME_BYTES = 255
# Characters that make a shown name read as another: controls, surrogates, line and paragraph separators, and the
# overrides of writing direction.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTION_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

Size = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file of a dataset.

    Attributes:
        path: POSIX path relative to the dataset's folder; of a single file, its name.
        size: bytes.
        media_type: by the name's ending.
    """

    path: str
    size: Size
    media_type: Annotated[str, msgspec.Meta(min_length=3, max_length=120)]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a dataset is made of; its canonical JSON is the dataset's chunk 0.

    Attributes:
        files: in order.
        kind: `file` or `folder`.
        name: of the file or folder; what it is called where it arrives.
        v: 1.
    """

    files: Annotated[tuple[FileEntry, ...], msgspec.Meta(min_length=1)]
    kind: Literal["file", "folder"]
    name: str
    v: Literal[1]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files)

    @property
    def media_type(self) -> str:
        """The one media type of all files, or that of unknown bytes where they differ."""
        kinds = {entry.media_type for entry in self.files}
        return kinds.pop() if len(kinds) == 1 else media_type_of("")

    def encode(self) -> bytes:
        """Return its canonical JSON."""
        return encode_json(self)


_decoder: StrictDecoder[Manifest] = StrictDecoder(Manifest, max_bytes=MAX_MANIFEST_BYTES)


def decode_manifest(data: bytes) -> Manifest:
    """Return the manifest with these canonical bytes, every name in it safe to write.

    Raises:
        ManifestError: not a manifest, or its files are out of order, repeated, or inside one another.
        UnsafePathError: a name is not safe.
    """
    try:
        manifest = _decoder.decode(data)
    except MalformedError as error:
        raise _refused_manifest(f"it is {error.reason}") from None
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: Manifest) -> None:
    """Check names and order; see `decode_manifest`."""
    check_path(manifest.name)
    if "/" in manifest.name:
        raise unsafe_path(manifest.name, "a name has no slash")
    previous = b""
    folders: set[str] = set()
    names = {entry.path for entry in manifest.files}
    for entry in manifest.files:
        check_path(entry.path)
        encoded = entry.path.encode()
        if encoded <= previous:
            raise _refused_manifest("its files are not in order")
        previous = encoded
        head, slash, _ = entry.path.rpartition("/")
        while slash and head not in folders:
            folders.add(head)
            head, slash, _ = head.rpartition("/")
    if not names.isdisjoint(folders):
        raise _refused_manifest("a file of it is also a folder of it")
    if manifest.kind == "file" and names != {manifest.name}:
        raise _refused_manifest("it is of one file but lists others")


def check_path(path: str) -> str:
    """Return a POSIX relative path that is safe to show and to write below a folder.

    Raises:
        UnsafePathError: absolute, empty, over-long, with `.` or `..`, a backslash, or characters that deceive.
    """
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        raise unsafe_path(path, "it is not Unicode") from None
    if not 1 <= len(encoded) <= PATH_BYTES:
        raise unsafe_path(path, f"it is empty or longer than {PATH_BYTES} bytes")
    if path.startswith("/"):
        raise unsafe_path(path, "it is absolute")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise unsafe_path(path, "it has an empty part, . or ..")
        if len(part.encode()) > NAME_BYTES:
            raise unsafe_path(path, f"a part of it is longer than {NAME_BYTES} bytes")
    for letter in path:
        if letter == "\\" or letter in _DIRECTION_OVERRIDES or unicodedata.category(letter) in _REFUSED_CATEGORIES:
            raise unsafe_path(path, f"it contains U+{ord(letter):04X}")
    return path


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder on this machine, and its manifest.

    Attributes:
        location: where it is.
        manifest: what was found there.
    """

    location: Path
    manifest: Manifest

    def open_file(self, index: int) -> int:
        """Open a file for reading and return its descriptor, which the caller closes.

        Args:
            index: of the file in the manifest.

        Raises:
            SourceChangedError: gone, of another kind or size, or a link that now leads elsewhere.
        """
        entry = self.manifest.files[index]
        try:
            path = self.location if self.manifest.kind == "file" else _resolve_inside(self.location, entry.path)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, SourceRefusedError) as error:
            raise SourceChangedError(
                f"{entry.path} can no longer be read: {getattr(error, 'strerror', None) or error}",
                remedy="Restore the file, or offer the new contents as a new version of the dataset.",
            ) from error
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size:
            os.close(descriptor)
            raise SourceChangedError(
                f"{entry.path} is no longer a file of {entry.size} bytes",
                remedy="Restore the file, or offer the new contents as a new version of the dataset.",
            )
        return descriptor


def scan(location: Path, *, name: str | None = None) -> Source:
    """Return the dataset that a file or folder is.

    Args:
        location: of the file or folder.
        name: what it is called where it arrives; its own name by default.

    Raises:
        SourceRefusedError: missing, empty, unreadable, or with something in it that cannot be sent.
        UnsafePathError: a name that recipients would refuse.
    """
    location = location.absolute()
    try:
        mode = location.stat().st_mode
    except OSError as error:
        raise _refused_source(location, error.strerror or "it cannot be read") from error
    if stat.S_ISREG(mode):
        called = name or location.name
        files = (FileEntry(path=called, size=location.stat().st_size, media_type=media_type_of(called)),)
        manifest = Manifest(files=files, kind="file", name=called, v=1)
    elif stat.S_ISDIR(mode):
        entries = sorted(_walk(location), key=lambda entry: entry.path.encode())
        if not entries:
            raise _refused_source(location, "it is a folder without files")
        manifest = Manifest(files=tuple(entries), kind="folder", name=name or location.resolve().name, v=1)
    else:
        raise _refused_source(location, "it is neither a file nor a folder")
    check_manifest(manifest)
    if len(manifest.encode()) > MAX_MANIFEST_BYTES:
        raise _refused_source(location, "it has too many files for one dataset")
    return Source(location, manifest)


def _walk(root: Path) -> Iterator[FileEntry]:
    """Yield every file below a folder, refusing what is not one."""
    pending = [(root, "")]
    while pending:
        folder, prefix = pending.pop()
        try:
            with os.scandir(folder) as found:
                items = list(found)
        except OSError as error:
            raise _refused_source(folder, error.strerror or "it cannot be read") from error
        for item in items:
            path = check_path(prefix + item.name)
            if item.is_dir(follow_symlinks=False):
                pending.append((Path(item.path), path + "/"))
                continue
            if item.is_symlink():
                target = _resolve_inside(root, path)
                size = os.stat(target).st_size
            elif item.is_file(follow_symlinks=False):
                size = item.stat(follow_symlinks=False).st_size
            else:
                raise _refused_source(item.path, "it is a socket, a pipe or a device")
            yield FileEntry(path=path, size=size, media_type=media_type_of(path))


def _resolve_inside(root: Path, path: str) -> Path:
    """Return the real path of a regular file that a folder holds, following links that stay inside it."""
    real_root = os.path.realpath(root)
    real = os.path.realpath(os.path.join(real_root, path))
    if os.path.commonpath((real, real_root)) != real_root:
        raise _refused_source(root / path, "it is a link that leads out of the folder")
    try:
        mode = os.stat(real).st_mode
    except OSError as error:
        raise _refused_source(root / path, "it is a link that leads nowhere") from error
    if not stat.S_ISREG(mode):
        raise _refused_source(root / path, "it is a link to something that is not a file")
    return Path(real)


def unsafe_path(path: str, reason: str) -> UnsafePathError:
    """Return the refusal of a path, which is shown escaped."""
    return UnsafePathError(
        f"the path {ascii(path)[:200]} is refused: {reason}",
        remedy="Rename the file; if it came from a peer, tell its data officer.",
    )


def _refused_manifest(reason: str) -> ManifestError:
    return ManifestError(f"the manifest is refused: {reason}", remedy="Tell the provider's data officer.")


def _refused_source(location: Path | str, reason: str) -> SourceRefusedError:
    return SourceRefusedError(
        f"{location} cannot be offered: {reason}", remedy="Take it out of the folder, or offer another file or folder."
    )
