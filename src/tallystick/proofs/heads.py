"""Heads: a signed header, opened to the state and the history behind it, and who witnessed that history.

Receipts and proofs of records end at a head. What is checked here: the app hash of the header is that of the two roots
and the size; more than two thirds of the validators of the version that holds at that size signed the header; every
cosignature is of another member of that version, good, and of that history; and there are as many as that version needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from tallystick.codec import MalformedError
from tallystick.proofs.checkpoints import Cosignature, checkpoint_body, verify_cosignature
from tallystick.proofs.failures import ReceiptError, TrustError
from tallystick.proofs.headers import Header, HeaderSignature, app_hash, check_header, check_signatures, quorum
from tallystick.proofs.trust import TrustEntry, TrustFile, Version


@dataclass(frozen=True, slots=True)
class Head:
    """A head whose form was checked.

    Attributes:
        header: of the block after which both roots hold.
        header_signatures: by those who order, sorted by organisation.
        state_root: of the records.
        history_root: of the history.
        size: leaves of the history.
        cosignatures: by other members, sorted by organisation.
    """

    header: Header
    header_signatures: Sequence[HeaderSignature]
    state_root: bytes
    history_root: bytes
    size: int
    cosignatures: Sequence[Cosignature]


def version_for(chain: str, links: Sequence[TrustEntry], size: int, trust: TrustFile) -> Version:
    """Return the trust version that a proof is to be judged by.

    Args:
        chain: that the proof says it is of.
        links: versions that the proof carries: consecutive, the last one being the one that holds at `size`.
        size: leaves of the history that it is about.
        trust: what the reader trusts.

    Raises:
        ReceiptError: another zone, missing versions, or links that do not lead there.
    """
    if chain != trust.chain:
        raise ReceiptError("other_zone", f"this is a proof of the zone {chain}, not of {trust.chain}")
    try:
        known = trust.follow(links)
        version = known.version_at(size)
    except TrustError as error:
        reason = "unknown_version" if error.reason == "unknown_version" else "bad_link"
        raise ReceiptError(reason, error.message) from error
    if links and links[-1].version != version.number:
        raise ReceiptError("bad_link", "the versions carried do not end with the one that holds at this size")
    if size < known.shortest:
        raise ReceiptError(
            "before_handover",
            f"this is a proof of a history of {size:,} entries; at {known.shortest:,} the order was handed over to all "
            "validators, and earlier signatures count no more",
        )
    pinned = [later.root for later in known.versions if later.root is not None and later.since == size + 1]
    return replace(version, last_root=pinned[-1]) if pinned else version


class Backing(NamedTuple):
    """Who stands behind a head: those who ordered it, and other members that witnessed it, each sorted."""

    orderers: tuple[str, ...]
    witnesses: tuple[str, ...]


def check_head(head: Head, chain: str, version: Version, *, allow_unwitnessed: bool = False) -> Backing:
    """Check a head under a trust version.

    Args:
        head: what the proof carries.
        chain: chain id of the zone.
        version: from `version_for`.
        allow_unwitnessed: take fewer cosignatures than the zone needs; those that are there must still be good.

    Raises:
        ReceiptError: anything that does not hold.
    """
    header = head.header
    if header.chain != chain:
        raise ReceiptError("field_mismatch", "the header is of another zone than the proof")
    try:
        check_header(header)
    except MalformedError as error:
        raise ReceiptError("not_canonical", f"the header is not of its form: {error.reason}") from None
    if app_hash(head.state_root, head.history_root, head.size).hex() != header.app_hash:
        raise ReceiptError(
            "app_hash_mismatch", "what is proved does not lead to the app hash in the header: something was changed"
        )
    if version.last_root not in (None, head.history_root):
        raise ReceiptError(
            "other_history", "this is a proof of another history than the one whose order was handed over"
        )
    try:
        orderers = check_signatures(header, head.header_signatures, version.validators)
    except MalformedError as error:
        raise ReceiptError("bad_header_signature", error.reason) from None
    if len(orderers) < quorum(len(version.validators)):
        raise ReceiptError(
            "too_few_header_signatures",
            f"the header is signed by {len(orderers)} of {len(version.validators)} that order; "
            f"{quorum(len(version.validators))} are needed",
        )
    return Backing(orderers, _check_witnesses(head, chain, version, allow_unwitnessed))


def _check_witnesses(head: Head, chain: str, version: Version, allow_unwitnessed: bool) -> tuple[str, ...]:
    names = tuple(cosignature.organisation for cosignature in head.cosignatures)
    if any(earlier >= later for earlier, later in pairwise(names)):
        raise ReceiptError("cosignatures_out_of_order", "cosignatures are not sorted, or one is repeated")
    body = checkpoint_body(chain, head.size, head.history_root)
    for cosignature in head.cosignatures:
        name = cosignature.organisation
        key = version.members.get(name)
        if key is None or name in version.validators:
            raise ReceiptError("unknown_member", f"{name} is no witness in version {version.number} of the trust file")
        if not verify_cosignature(body, cosignature, key):
            raise ReceiptError("bad_cosignature", f"the cosignature of {name} is not over this history")
    if len(names) < version.needed and not allow_unwitnessed:
        raise ReceiptError(
            "not_yet_witnessed",
            f"not yet witnessed: {len(names)} of {version.others} other members did, the zone needs {version.needed}",
        )
    return names


def summarise(orderers: int, validators: int, witnesses: int, others: int) -> str:
    """Return "ordered by 1, witnessed by 3 of 4"; with several that order, "ordered by 3 of 4" and so on.

    Args:
        orderers: how many signed the header.
        validators: how many order.
        witnesses: how many others cosigned.
        others: how many others there are.
    """
    ordered = "ordered by 1" if validators == 1 else f"ordered by {orderers} of {validators}"
    if not others:
        return f"{ordered}, witnessed by nobody yet" if validators == 1 else ordered
    return f"{ordered}, witnessed by {witnesses} of {others}"
