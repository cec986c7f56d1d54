"""Receipts in hand: their exact bytes, what they prove, and whether a file is the one that they are about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json
from tallystick.dataplane import verify_fingerprint
from tallystick.dataplane.sidecars import write_secret
from tallystick.errors import StorageError, UsageError
from tallystick.proofs import TrustFile, VerifiedReceipt
from tallystick.proofs import verify_receipt as _verify
from tallystick.proofs.receipts import MAX_RECEIPT_BYTES
from tallystick.proofs.trust import MAX_TRUST_BYTES

SUFFIX = ".fingerprint.json"
_MAX_SALT_FILE_BYTES = 16 << 10

Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64, pattern="^[0-9a-f]*$")]


class Salted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands beside fetched data, `NAME.fingerprint.json`: the salt, without which nobody can compute a fingerprint.

    It is not for others: with it a guess about the data can be tested against the public fingerprint.

    Attributes:
        dataset: that the data is of.
        delivery: by which it came.
        fingerprint: on the ledger.
        name: of the file or folder as it was offered, which the fingerprint covers.
        salt: of the fingerprint.
        v: 1.
        version: of the dataset.
    """

    dataset: str
    delivery: str
    fingerprint: Hash
    name: str
    salt: Hash
    v: Literal[1]
    version: int


_decoder: StrictDecoder[Salted] = StrictDecoder(Salted, max_bytes=_MAX_SALT_FILE_BYTES)


@dataclass(frozen=True)
class Receipt:
    """A receipt that was verified.

    Attributes:
        data: its bytes, exactly; what others verify.
        verified: what it proves.
    """

    data: bytes
    verified: VerifiedReceipt

    def save(self, path: Path | str) -> Path:
        """Write it to a file, whole or not at all, and return where.

        Raises:
            StorageError: it cannot be written.
        """
        target = Path(path)
        try:
            write_secret(target, self.data)
            target.chmod(0o644)
        except OSError as error:
            raise StorageError(
                f"{target} cannot be written: {error.strerror}", remedy="Name a place that can be written to."
            ) from None
        return target


def verify_receipt(
    data: bytes | str | Path, trust: TrustFile | bytes | str | Path, *, file: str | Path | None = None, salt: str = ""
) -> VerifiedReceipt:
    """Check a receipt, offline: no network, no node, nothing but the zone's trust file.

    Args:
        data: the receipt: its bytes, or where it is.
        trust: the zone's trust file, its bytes, or where it is.
        file: file or folder that must be the very one that the receipt is about.
        salt: of its fingerprint, hex; by default the one in `NAME.fingerprint.json` beside it.

    Raises:
        ReceiptError: it does not hold.
        TrustError: the trust file does not.
        FingerprintError: the file is another one.
        NodeError: something cannot be read, or the receipt is about no file.
    """
    raw = data if isinstance(data, bytes) else read_file(Path(data), MAX_RECEIPT_BYTES)
    verified = _verify(raw, read_trust(trust))
    if file is not None:
        check_file(verified, Path(file), salt)
    return verified


def check_file(verified: VerifiedReceipt, file: Path, salt: str = "") -> None:
    """Check that a file or folder is the one that a receipt is about; see `verify_receipt`.

    Raises:
        FingerprintError: it is another one.
        NodeError: it cannot be read or judged.
    """
    fingerprint = fingerprint_in(verified.operation)
    if verified.operation.get("type") == "record_evidence":
        raise UsageError(
            "evidence of many files has one receipt; each file has its own proof",
            remedy=f"Check it by its proof: tally evidence verify {file} {file}.proof.json",
        )
    if not fingerprint:
        raise UsageError(
            f"this receipt is about no file: it is of {verified.operation.get('type')}",
            remedy="Give the receipt of an offer or of a delivery.",
        )
    name: str | None = None
    if not salt:
        beside = _read_salt(file)
        salt, name = beside.salt, beside.name
    try:
        raw, root = bytes.fromhex(salt), bytes.fromhex(fingerprint)
    except ValueError:
        raise UsageError("a salt is 64 characters of hex", remedy=f"It is in NAME{SUFFIX}.") from None
    verify_fingerprint(file, root, raw, name=name)


def fingerprint_in(operation: dict[str, Any]) -> str:
    """Return the fingerprint that an operation is about, or ""."""
    content = operation.get("version")
    found = content.get("fingerprint") if isinstance(content, dict) else operation.get("fingerprint")
    if operation.get("type") == "record_delivery_received":
        found = operation.get("root")
    return found if isinstance(found, str) else ""


def write_salt(data: Path, salted: Salted) -> Path:
    """Put the salt beside data that was fetched; return where.

    Raises:
        OSError: it cannot be written.
    """
    path = data.with_name(data.name + SUFFIX)
    write_secret(path, encode_json(salted))
    return path


def _read_salt(file: Path) -> Salted:
    path = file.with_name(file.name + SUFFIX)
    if not path.exists():
        raise UsageError(
            f"{file} cannot be compared without the salt of its fingerprint",
            remedy=f"Put {path.name} beside it: `tally delivery fetch --to` writes it.",
        )
    try:
        return _decoder.decode(read_file(path, _MAX_SALT_FILE_BYTES))
    except MalformedError as error:
        raise UsageError(f"{path} is not what a fetch writes: {error.reason}", remedy="Fetch the data again.") from None


def read_trust(trust: TrustFile | bytes | str | Path) -> TrustFile:
    """Return the trust file that a caller names.

    Raises:
        TrustError: it is not a good one.
        StorageError: it cannot be read.
    """
    if isinstance(trust, TrustFile):
        return trust
    return TrustFile.parse(trust if isinstance(trust, bytes) else read_file(Path(trust), MAX_TRUST_BYTES))


def read_file(path: Path, limit: int) -> bytes:
    """Return the bytes of a file.

    Raises:
        StorageError: it cannot be read.
        UsageError: it is longer than such a file can be.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read: {error.strerror}", remedy="Check the path and its permissions."
        ) from None
    if len(data) > limit:
        raise UsageError(f"{path} is longer than {limit} bytes", remedy="Name the right file.")
    return data
