"""Proofs of records: the value under (collection, key) at a block, or that there is none.

A proof of presence holds for its own record only. A proof of absence also holds for any other key whose place is in the
same empty part of the state: a file with another key in it is another true statement, so who reads one looks at the
collection and the key that it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json, iso_time
from tallystick.merkle import StateProof, verify_state_proof
from tallystick.proofs.checkpoints import Cosignature
from tallystick.proofs.failures import ReceiptError
from tallystick.proofs.forms import Natural
from tallystick.proofs.headers import Header, HeaderSignature, HeaderSignatures
from tallystick.proofs.heads import Head, check_head, summarise, version_for
from tallystick.proofs.hexadecimal import HASH_BYTES, unhex
from tallystick.proofs.trust import TrustEntry, TrustFile

FORMAT = 1
MAX_RECORD_PROOF_BYTES = 4 << 20


class RecordProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The proof as it is written.

    Attributes:
        chain: zone.
        collection: of the record.
        cosignatures: by other members over (size, history_root), sorted.
        header: of the block after which this was so.
        header_signatures: by those who order, in any order.
        history_root: after that block, hex.
        key: of the record.
        links: trust versions, as in a receipt.
        proof: `StateProof.to_json`.
        size: leaves of the history after that block.
        state_root: after that block, hex.
        v: 1.
        value: the record, or null for "there is none".
    """

    chain: str
    collection: str
    cosignatures: tuple[Cosignature, ...]
    header: Header
    header_signatures: HeaderSignatures
    history_root: str
    key: str
    links: tuple[TrustEntry, ...]
    proof: dict[str, Any]
    size: Natural
    state_root: str
    v: int
    value: dict[str, Any] | None


_decoder: StrictDecoder[RecordProof] = StrictDecoder(RecordProof, max_bytes=MAX_RECORD_PROOF_BYTES)


@dataclass(frozen=True, slots=True)
class VerifiedRecord:
    """What a record proof proves: `value` under (collection, key) after block `height`, or None for none.

    Attributes: see `VerifiedReceipt` for those that both have.
    """

    chain: str
    collection: str
    key: str
    value: dict[str, Any] | None
    height: int
    time: int
    size: int
    orderers: tuple[str, ...]
    validators: int
    witnesses: tuple[str, ...]
    needed: int
    others: int
    version: int

    @property
    def witnessed(self) -> bool:
        """Whether as many members witnessed it as the zone needs."""
        return len(self.witnesses) >= self.needed

    @property
    def summary(self) -> str:
        """One line: who ordered and how many witnessed."""
        return summarise(len(self.orderers), self.validators, len(self.witnesses), self.others)

    def explain(self) -> list[str]:
        """Return what it proves, a line each, for people."""
        what = "had no record" if self.value is None else "had this record"
        return [
            f"After block {self.height} ({iso_time(self.time)}) the zone {self.chain} {what} "
            f"under {self.key} in {self.collection}.",
            f"{self.summary[0].upper()}{self.summary[1:]}.",
        ]


def build_record_proof(
    *,
    collection: str,
    key: str,
    value: dict[str, Any] | None,
    proof: StateProof,
    state_root: bytes,
    history_root: bytes,
    size: int,
    header: Header,
    header_signatures: Sequence[HeaderSignature],
    cosignatures: Sequence[Cosignature] = (),
    links: Sequence[TrustEntry] = (),
) -> bytes:
    """Return the bytes of a record proof.

    Args: see `RecordProof`; cosignatures come in any order.
    """
    return encode_json(
        RecordProof(
            chain=header.chain,
            collection=collection,
            cosignatures=tuple(sorted(cosignatures, key=lambda each: each.organisation)),
            header=header,
            header_signatures=tuple(sorted(header_signatures, key=lambda each: each.organisation)),
            history_root=history_root.hex(),
            key=key,
            links=tuple(links),
            proof=proof.to_json(),
            size=size,
            state_root=state_root.hex(),
            v=FORMAT,
            value=value,
        )
    )


def verify_record_proof(data: bytes, trust: TrustFile, *, allow_unwitnessed: bool = False) -> VerifiedRecord:
    """Check a record proof against a trust file.

    Args:
        data: the bytes, exactly.
        trust: the zone's trust file.
        allow_unwitnessed: take the word of the orderer alone, as for what happened a moment ago; cosignatures that
            are there must still be good.

    Raises:
        ReceiptError: with the reason and a remedy.
    """
    try:
        form = _decoder.decode(data)
        value = None if form.value is None else encode_json(form.value)
        state_root = unhex(form.state_root, HASH_BYTES)
        history_root = unhex(form.history_root, HASH_BYTES)
        proof = StateProof.from_json(form.proof)
    except MalformedError as error:
        raise ReceiptError("not_canonical", f"not a proof of a record: {error.reason}") from None
    if form.v != FORMAT:
        raise ReceiptError("unknown_format", "the proof has an unknown format")
    version = version_for(form.chain, form.links, form.size, trust)
    if not verify_state_proof(state_root, form.collection, form.key, value, proof):
        raise ReceiptError("not_in_state", "the path does not lead from the record to the state root")
    head = Head(form.header, form.header_signatures, state_root, history_root, form.size, form.cosignatures)
    backing = check_head(head, form.chain, version, allow_unwitnessed=allow_unwitnessed)
    return VerifiedRecord(
        chain=form.chain,
        collection=form.collection,
        key=form.key,
        value=form.value,
        height=form.header.height,
        time=form.header.time,
        size=form.size,
        orderers=backing.orderers,
        validators=len(version.validators),
        witnesses=backing.witnesses,
        needed=version.needed,
        others=version.others,
        version=version.number,
    )
