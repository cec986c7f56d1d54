"""What a delivery can fail of, each with a name that a program can rely on.

    NodeError
    ├── StorageError     ├── SourceChangedError    source_changed
    │                    └── DiskFullError         disk_full
    ├── PeerError        ├── WrongPeerError        wrong_peer
    │                    ├── TransferCutError      transfer_cut
    │                    ├── PeerBusyError         peer_busy
    │                    └── PeerAnswerError       peer_answer
    ├── AccessError      └── AccessRefusedError    access_refused
    ├── IntegrityError   ├── UnsafePathError       unsafe_path
    │                    ├── SegmentAlteredError   segment_altered
    │                    ├── StreamTruncatedError  stream_truncated
    │                    ├── StreamExtendedError   stream_extended
    │                    ├── ChunkMismatchError    chunk_mismatch
    │                    ├── FingerprintError      fingerprint_mismatch
    │                    ├── ManifestError         manifest_refused
    │                    ├── SidecarError          sidecar_damaged
    │                    └── PackageError          package_refused
    └── UsageError       ├── SourceRefusedError    source_refused
                         ├── TableUnreadableError  table_unreadable
                         ├── TargetExistsError     target_exists
                         └── AlreadyFetchingError  already_fetching

Rule: text that came from a peer is cut to one printable line before it is shown.
"""

from __future__ import annotations

from typing import ClassVar

from tallystick.errors import AccessError, IntegrityError, NodeError, PeerError, StorageError, UsageError

SHOWN_CHARACTERS = 300


class SourceChangedError(StorageError):
    """A file is not what it was when its fingerprint was taken.

    Attributes:
        file: path within the dataset, where known.
        chunk: index of the leaf that differs, where known.
    """

    name: ClassVar[str] = "source_changed"
    file: str = ""
    chunk: int = -1

    @classmethod
    def at(cls, file: str, chunk: int) -> SourceChangedError:
        """Return the error for one chunk of one file."""
        error = cls(
            f"{file} has changed since its fingerprint was taken: chunk {chunk} differs",
            remedy="Restore the file as it was, or offer the new contents as a new version of the dataset.",
        )
        error.file, error.chunk = file, chunk
        return error


class DiskFullError(StorageError):
    """There is no room for a delivery."""

    name: ClassVar[str] = "disk_full"


class WrongPeerError(PeerError):
    """The other side's TLS key is not one that its organisation has registered."""

    name: ClassVar[str] = "wrong_peer"


class TransferCutError(PeerError):
    """The connection ended before the delivery did, more often than was to be tried."""

    name: ClassVar[str] = "transfer_cut"


class PeerBusyError(PeerError):
    """The other side sends as many deliveries as it can."""

    name: ClassVar[str] = "peer_busy"


class PeerAnswerError(PeerError):
    """The other side answered what the protocol does not foresee."""

    name: ClassVar[str] = "peer_answer"


class AccessRefusedError(AccessError):
    """The provider does not, or no longer, give access to a delivery."""

    name: ClassVar[str] = "access_refused"


class UnsafePathError(IntegrityError):
    """A path could lead outside the folder it belongs to, or deceive who reads it."""

    name: ClassVar[str] = "unsafe_path"


class SegmentAlteredError(IntegrityError):
    """A segment does not authenticate: altered, moved, or of another delivery."""

    name: ClassVar[str] = "segment_altered"


class StreamTruncatedError(IntegrityError):
    """A stream ends before its last segment."""

    name: ClassVar[str] = "stream_truncated"


class StreamExtendedError(IntegrityError):
    """A stream goes on after its last segment."""

    name: ClassVar[str] = "stream_extended"


class ChunkMismatchError(IntegrityError):
    """A chunk is not the one that the fingerprint is over."""

    name: ClassVar[str] = "chunk_mismatch"


class FingerprintError(IntegrityError):
    """A root is not the fingerprint that was agreed."""

    name: ClassVar[str] = "fingerprint_mismatch"


class ManifestError(IntegrityError):
    """A manifest is not one, or contradicts what was agreed."""

    name: ClassVar[str] = "manifest_refused"


class SidecarError(IntegrityError):
    """A sidecar file is damaged or does not belong to its dataset."""

    name: ClassVar[str] = "sidecar_damaged"


class PackageError(IntegrityError):
    """A key package does not open, or is not for this delivery."""

    name: ClassVar[str] = "package_refused"


class SourceRefusedError(UsageError):
    """A file or folder cannot be offered as it is."""

    name: ClassVar[str] = "source_refused"


class TableUnreadableError(UsageError):
    """A table's columns cannot be read."""

    name: ClassVar[str] = "table_unreadable"


class TargetExistsError(UsageError):
    """A delivery would land on something that is already there."""

    name: ClassVar[str] = "target_exists"


class AlreadyFetchingError(UsageError):
    """Another process fetches the same delivery into the same folder."""

    name: ClassVar[str] = "already_fetching"


def refusal_name(error: NodeError) -> str:
    """Return an error's stable name, or that of its family where it has none of its own."""
    name = getattr(error, "name", None)
    return name if isinstance(name, str) else type(error).__name__.removesuffix("Error").lower()


def printable_line(text: object) -> str:
    """Return text of a peer as one printable line of bounded length."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text)[:SHOWN_CHARACTERS]).strip()
