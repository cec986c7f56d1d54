"""The key package: what a consumer needs to open one delivery, sealed to its registered encryption key.

Canonical JSON {agreement, chunks, content_key, delivery, expires, files, fingerprint, manifest_size, salt, size, v},
sealed with `info` = binding("tallystick/key-package-v1", agreement, delivery). It does not grow with the dataset: the
manifest itself is chunk 0 of the stream.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, check_hash, encode_json
from tallystick.dataplane.layout import MAX_CHUNKS
from tallystick.dataplane.refusals import PackageError
from tallystick.dataplane.sealing import binding, open_sealed, seal
from tallystick.dataplane.sidecars import Sidecar
from tallystick.dataplane.sources import MAX_MANIFEST_BYTES

MAX_PACKAGE_BYTES = 16_384
_PURPOSE = b"tallystick/key-package-v1"

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Hex32 = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class KeyPackage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What opens one delivery.

    Attributes:
        agreement: id of the agreement that it is under.
        chunks: leaves of the fingerprint.
        content_key: AES-256 key of the stream, hex.
        delivery: its id.
        expires: until when the provider means to serve it, ms; the provider judges.
        files: how many.
        fingerprint: root, hex; the consumer compares it with the ledger's.
        manifest_size: bytes of the manifest's canonical JSON.
        salt: of the fingerprint, hex.
        size: bytes of all files.
        v: 1.
    """

    agreement: Id
    chunks: Annotated[int, msgspec.Meta(ge=2, le=MAX_CHUNKS)]
    content_key: Hex32
    delivery: Id
    expires: Count
    files: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHUNKS)]
    fingerprint: Hex32
    manifest_size: Annotated[int, msgspec.Meta(ge=2, le=MAX_MANIFEST_BYTES)]
    salt: Hex32
    size: Count
    v: Literal[1]

    def __repr__(self) -> str:
        return f"KeyPackage(delivery={self.delivery!r}, agreement={self.agreement!r}, fingerprint={self.fingerprint!r})"


_decoder: StrictDecoder[KeyPackage] = StrictDecoder(KeyPackage, max_bytes=MAX_PACKAGE_BYTES)


def build_package(
    sidecar: Sidecar, *, delivery: str, agreement: str, content_key: bytes, expires_ms: int
) -> KeyPackage:
    """Return the key package of a delivery.

    Args:
        sidecar: of the version that is delivered.
        delivery: its id.
        agreement: id of the agreement.
        content_key: 32 bytes, fresh.
        expires_ms: until when it is to be served.
    """
    found = sidecar.fingerprint
    return KeyPackage(
        agreement=agreement,
        chunks=found.chunks,
        content_key=content_key.hex(),
        delivery=delivery,
        expires=expires_ms,
        files=found.files,
        fingerprint=found.root.hex(),
        manifest_size=len(sidecar.manifest_bytes),
        salt=found.salt.hex(),
        size=found.size,
        v=1,
    )


def seal_package(package: KeyPackage, public_key: bytes) -> bytes:
    """Seal a key package to the consumer's X25519 key of 32 bytes."""
    return seal(public_key, encode_json(package), _info(package.agreement, package.delivery))


def open_package(sealed: bytes, private_key: bytes, *, delivery: str, agreement: str) -> KeyPackage:
    """Open the key package of one delivery.

    Args:
        sealed: what the provider sent.
        private_key: this organisation's X25519 key.
        delivery: id that was asked for.
        agreement: id of the agreement that it is to be under.

    Raises:
        PackageError: it does not open, or is of another delivery or agreement.
    """
    try:
        package = _decoder.decode(open_sealed(private_key, sealed, _info(agreement, delivery)))
        for text in (package.content_key, package.fingerprint, package.salt):
            check_hash(text)
    except MalformedError as error:
        raise _refused(f"it is {error.reason}") from None
    if (package.delivery, package.agreement) != (delivery, agreement):
        raise _refused("it is of another delivery")
    return package


def _info(agreement: str, delivery: str) -> bytes:
    return binding(_PURPOSE, agreement.encode(), delivery.encode())


def _refused(reason: str) -> PackageError:
    return PackageError(f"the key package is refused: {reason}", remedy="Tell the provider's data officer.")
