"""Proof files of evidence: that one file was among those behind a recorded root. Pure but for reading the file.

    <name>.proof.json   canonical JSON {chain, disclosure, evidence, name, organisation, receipt?, root, sha256, size, v}

`receipt` is the receipt of `record_evidence` as an object; its canonical JSON is the receipt's bytes. It is left out while
too few members have witnessed the record; a proof without it does not verify. What it all rests on is the trust file
that the verifier brings. Source: README of the evidence module, "The root over files".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, decode_json, encode_json, iso_time, sha256, short_id
from tallystick.errors import StorageError
from tallystick.merkle.commitments import Disclosure, commit_hashes, disclose, verify_disclosure
from tallystick.office.refusals import EvidenceError
from tallystick.proofs.receipts import VerifiedReceipt, verify_receipt
from tallystick.proofs.trust import TrustFile

MAX_PROOF_BYTES = 6 << 20
SUFFIX = ".proof.json"
_READ_BYTES = 1 << 20

FileFacts = tuple[str, int, str]
"""(name, size in bytes, SHA-256 in hex) of one file."""
Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A proof file as it is written."""

    chain: str
    disclosure: dict[str, Any]
    evidence: str
    name: str
    organisation: str
    receipt: dict[str, Any] | None = None
    root: Hash
    sha256: Hash
    size: Annotated[int, msgspec.Meta(ge=0)]
    v: Literal[1]


class VerifiedEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a file and its proof show.

    Attributes:
        name: what the file was called when it was recorded.
        size: bytes.
        sha256: of its content, hex.
        evidence: id of the record.
        organisation: who recorded it.
        recorded_at: block time, ms: the file existed then, exactly as it is.
        count: how many files were recorded together.
        chain: zone.
        transaction: id, hex.
        orderers: who ordered.
        witnesses: other members who witnessed.
        summary: that in a line.
    """

    name: str
    size: int
    sha256: str
    evidence: str
    organisation: str
    recorded_at: int
    count: int
    chain: str
    transaction: str
    orderers: tuple[str, ...]
    witnesses: tuple[str, ...]
    summary: str

    def explain(self) -> list[str]:
        """Return what is shown, a line each, for people."""
        return [
            f"{self.organisation} recorded this very file ({self.name}, {self.size} bytes) as evidence {self.evidence}.",
            f"Recorded at {iso_time(self.recorded_at)} in the zone {self.chain}; the file has not changed since.",
            f"{self.summary[:1].upper()}{self.summary[1:]}.",
        ]


_decoder: StrictDecoder[Proof] = StrictDecoder(Proof, max_bytes=MAX_PROOF_BYTES)


def chunk_hash(file: FileFacts) -> bytes:
    """Return the hash of a file's chunk in the commitment: over canonical JSON of [name, size, sha256]."""
    return sha256(encode_json(list(file)))


def evidence_root(salt: bytes, files: Sequence[FileFacts]) -> str:
    """Return the commitment root over files, which are in the order of their names' UTF-8 bytes."""
    return commit_hashes(salt, [chunk_hash(file) for file in files]).hex()


def measure_file(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file.

    Raises:
        StorageError: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", remedy="Check the path and its owner.") from None
    return size, digest.hexdigest()


def build_proof(
    *,
    chain: str,
    organisation: str,
    evidence: str,
    salt: bytes,
    files: Sequence[FileFacts],
    index: int,
    receipt: bytes | None,
) -> bytes:
    """Return the proof file of one file.

    Args:
        chain: zone.
        organisation: who recorded it.
        evidence: id of the record.
        salt: of the commitment; does not go into the proof.
        files: all of them, in order.
        index: of the file.
        receipt: of `record_evidence`, or None where it is not witnessed yet.
    """
    hashes = [chunk_hash(file) for file in files]
    name, size, digest = files[index]
    return encode_json(
        Proof(
            chain=chain,
            disclosure=disclose(salt, hashes, index).to_json(),
            evidence=evidence,
            name=name,
            organisation=organisation,
            receipt=None if receipt is None else decode_json(receipt),
            root=commit_hashes(salt, hashes).hex(),
            sha256=digest,
            size=size,
            v=1,
        )
    )


def verify_evidence(file: Path, proof: bytes, trust: TrustFile) -> VerifiedEvidence:
    """Check a file and its proof against a trust file, without a network and without trusting who brought them.

    Args:
        file: the file, under whatever name.
        proof: the bytes of its proof file, exactly.
        trust: the zone's trust file.

    Raises:
        EvidenceError: they do not prove it; says why.
        ProofError: the receipt in the proof does not hold (`ReceiptError`, `TrustError`).
        StorageError: the file cannot be read.
    """
    try:
        claimed = _decoder.decode(proof)
        disclosure = Disclosure.from_json(claimed.disclosure)
        receipt_bytes = None if claimed.receipt is None else encode_json(claimed.receipt)
    except MalformedError as error:
        raise _refused(f"it is not a proof file: {error.reason}") from None
    size, digest = measure_file(file)
    if size != claimed.size or not hmac.compare_digest(digest, claimed.sha256):
        raise EvidenceError(
            f"{file} is not the file that this proof is of: its content differs",
            remedy="Compare it with another copy: the file, or the proof, was changed or mixed up.",
        )
    if receipt_bytes is None:
        raise EvidenceError(
            "this proof has no receipt: the record was not yet witnessed when it was written",
            remedy="Ask whoever recorded it to write the proofs again: tally evidence list",
        )
    receipt = verify_receipt(receipt_bytes, trust)
    _check_receipt(claimed, disclosure, receipt)
    leaf = chunk_hash((claimed.name, claimed.size, claimed.sha256))
    if not verify_disclosure(bytes.fromhex(claimed.root), leaf, disclosure):
        raise _refused("the file is not among those behind the recorded root")
    return VerifiedEvidence(
        name=claimed.name,
        size=claimed.size,
        sha256=claimed.sha256,
        evidence=claimed.evidence,
        organisation=receipt.organisation,
        recorded_at=receipt.time,
        count=disclosure.count,
        chain=receipt.chain,
        transaction=receipt.transaction,
        orderers=receipt.orderers,
        witnesses=receipt.witnesses,
        summary=receipt.summary,
    )


def _check_receipt(claimed: Proof, disclosure: Disclosure, receipt: VerifiedReceipt) -> None:
    """Check that a receipt is of the record that the proof claims."""
    operation = receipt.operation
    if operation.get("type") != "record_evidence" or not receipt.accepted:
        raise _refused("its receipt is not of evidence that was recorded")
    if (operation.get("root"), operation.get("count")) != (claimed.root, disclosure.count):
        raise _refused("its receipt is of other evidence")
    seed = bytes.fromhex(receipt.transaction) + receipt.index.to_bytes(4, "big")
    prefix, _, characters = claimed.evidence.partition("-")
    good_length = 8 <= len(characters) <= 50
    if prefix != "ev" or not good_length or short_id("ev", seed, len(characters)) != claimed.evidence:
        raise _refused("it names other evidence than its receipt")
    if (claimed.chain, claimed.organisation) != (receipt.chain, receipt.organisation):
        raise _refused("it names another zone or organisation than its receipt")


def _refused(reason: str) -> EvidenceError:
    return EvidenceError(
        f"the proof is refused: {reason}", remedy="Ask whoever gave it to you to export it again, and compare the two."
    )
