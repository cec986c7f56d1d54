"""Fork proofs: files that show, to anyone with the trust file, that two histories were told.

Three kinds:

- `histories`: two signed statements about the history (see `statements`) that cannot both be true. If the sizes differ,
  a consistency path of the larger history shows which root its own beginning has, and that is not the root in the other
  statement.
- `headers`: two headers of one height, both signed by the same organisation that orders.
- `seen`: a transaction that who orders put into its history although its author had signed to have seen another one.

When one organisation signed both statements it is the culprit. When two did, either who orders told them two
histories or one of them lies; the file proves that something is wrong, and names both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json
from tallystick.merkle import leaf_hash, verify_consistency, verify_inclusion
from tallystick.proofs.failures import ForkProofError, ReceiptError
from tallystick.proofs.forms import Natural, Positive
from tallystick.proofs.headers import Header, HeaderSignature, check_header, header_hash, verify_signature
from tallystick.proofs.hexadecimal import HASH_BYTES, unhex, unhex_path
from tallystick.proofs.statements import Statement, check_statement
from tallystick.proofs.transactions import history_leaf, verify_frame
from tallystick.proofs.trust import TrustFile, Version

FORMAT = 1
MAX_FORK_PROOF_BYTES = 4 << 20


class HistoriesFork(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="histories"
):
    """Two statements that contradict each other.

    Attributes:
        chain: zone.
        earlier: the one with the smaller size, or either.
        later: the other.
        path: consistency path from the smaller to the larger size in the larger history; empty for equal sizes.
        prefix_root: root that the larger history has at the smaller size, hex.
        v: 1.
    """

    chain: str
    earlier: Statement
    later: Statement
    path: tuple[str, ...]
    prefix_root: str
    v: int


class HeadersFork(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="headers"
):
    """Two headers of one height, signed by one organisation."""

    chain: str
    first: Header
    first_signature: str
    organisation: str
    second: Header
    second_signature: str
    v: int


class SeenFork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="seen"):
    """An included transaction whose author had seen another history.

    Attributes:
        chain: zone.
        height: of the leaf, like `index`, `operation` (hash, hex), `outcome` and `time`.
        leaf_index: of the leaf.
        leaf_path: its inclusion path in the history of `statement`.
        path: consistency path from the size that was seen to that of `statement`; empty if that size is not below.
        prefix_root: root at the size that was seen in the history of `statement`, hex; its own root if not below.
        statement: by one that orders, about the history that includes the transaction.
        transaction: COSE_Sign1, hex.
        v: 1.
    """

    chain: str
    height: Positive
    index: Natural
    leaf_index: Natural
    leaf_path: tuple[str, ...]
    operation: str
    outcome: Natural
    path: tuple[str, ...]
    prefix_root: str
    statement: Statement
    time: Natural
    transaction: str
    v: int


ForkProof: TypeAlias = HistoriesFork | HeadersFork | SeenFork
_decoder: StrictDecoder[ForkProof] = StrictDecoder(
    Annotated[ForkProof, msgspec.Meta(description="fork proof")], max_bytes=MAX_FORK_PROOF_BYTES
)


@dataclass(frozen=True, slots=True)
class ForkFinding:
    """What a fork proof proves.

    Attributes:
        kind: `histories`, `headers` or `seen`.
        chain: zone.
        culprit: organisation that is proved to have told two histories, or None where it is one of several.
        involved: organisations whose signatures contradict each other, sorted.
        size: smallest history size at which they differ for sure, or None for headers.
        text: one or two sentences for people.
    """

    kind: str
    chain: str
    culprit: str | None
    involved: tuple[str, ...]
    size: int | None
    text: str


def build_histories_fork(
    chain: str, earlier: Statement, later: Statement, *, prefix_root: bytes | None = None, path: Sequence[bytes] = ()
) -> bytes:
    """Return the file for two statements about the history.

    Args:
        chain: zone.
        earlier: the one with the smaller size.
        later: the other.
        prefix_root: root at the smaller size in the larger history; not needed for equal sizes.
        path: consistency path between the two sizes in the larger history.
    """
    root = later.root if prefix_root is None else prefix_root.hex()
    steps = tuple(step.hex() for step in path)
    return encode_json(HistoriesFork(chain=chain, earlier=earlier, later=later, path=steps, prefix_root=root, v=FORMAT))


def build_headers_fork(
    first: Header,
    first_signatures: Sequence[HeaderSignature],
    second: Header,
    second_signatures: Sequence[HeaderSignature],
) -> bytes | None:
    """Return the file for two headers of one height; None where nobody signed both."""
    others = {each.organisation: each.signature for each in second_signatures}
    both = [each for each in first_signatures if each.organisation in others]
    if not both:
        return None
    signed = both[0]
    return encode_json(
        HeadersFork(
            chain=first.chain,
            first=first,
            first_signature=signed.signature,
            organisation=signed.organisation,
            second=second,
            second_signature=others[signed.organisation],
            v=FORMAT,
        )
    )


def build_seen_fork(
    chain: str,
    statement: Statement,
    *,
    transaction: bytes,
    leaf: dict[str, Any],
    leaf_index: int,
    leaf_path: Sequence[bytes],
    prefix_root: bytes | None = None,
    path: Sequence[bytes] = (),
) -> bytes:
    """Return the file for an included transaction whose `seen` contradicts the history.

    Args:
        chain: zone.
        statement: by one that orders, about the history that includes it.
        transaction: COSE_Sign1.
        leaf: fields of the history leaf of one of its operations.
        leaf_index: of that leaf.
        leaf_path: its inclusion path.
        prefix_root: root at the size that was seen; not needed where that is not below the statement's size.
        path: consistency path between the two sizes.
    """
    return encode_json(
        SeenFork(
            chain=chain,
            height=leaf["height"],
            index=leaf["index"],
            leaf_index=leaf_index,
            leaf_path=tuple(step.hex() for step in leaf_path),
            operation=leaf["operation"],
            outcome=leaf["outcome"],
            path=tuple(step.hex() for step in path),
            prefix_root=statement.root if prefix_root is None else prefix_root.hex(),
            statement=statement,
            time=leaf["time"],
            transaction=transaction.hex(),
            v=FORMAT,
        )
    )


def verify_fork_proof(data: bytes, trust: TrustFile) -> ForkFinding:
    """Check a fork proof against a trust file.

    Raises:
        ForkProofError: it proves nothing.
    """
    try:
        proof = _decoder.decode(data)
        if proof.chain != trust.chain:
            raise ForkProofError("other_zone", f"this is about the zone {proof.chain}, not {trust.chain}")
        if proof.v != FORMAT:
            raise ForkProofError("unknown_format", "the fork proof has an unknown format")
        if isinstance(proof, HistoriesFork):
            return _histories(proof, trust)
        if isinstance(proof, HeadersFork):
            return _headers(proof, trust)
        return _seen(proof, trust)
    except MalformedError as error:
        raise ForkProofError("not_canonical", f"not a fork proof: {error.reason}") from None


def _histories(proof: HistoriesFork, trust: TrustFile) -> ForkFinding:
    earlier, later = proof.earlier, proof.later
    first, second = check_statement(earlier, trust), check_statement(later, trust)
    root = _prefix_root(earlier.size, later, proof.prefix_root, proof.path)
    if root == unhex(earlier.root, HASH_BYTES):
        raise ForkProofError("no_contradiction", "both statements tell the same history")
    involved = tuple(sorted({first, second}))
    culprit = first if first == second else None
    if culprit is not None:
        text = f"{culprit} signed two histories that differ within the first {earlier.size} entries."
    else:
        text = (
            f"{first} and {second} signed histories that differ within the first {earlier.size} entries: "
            f"who orders told two histories, or one of them does not tell the truth."
        )
    return ForkFinding("histories", proof.chain, culprit, involved, earlier.size, text)


def _headers(proof: HeadersFork, trust: TrustFile) -> ForkFinding:
    first, second = check_header(proof.first), check_header(proof.second)
    height = first.height
    if {first.chain, second.chain} != {trust.chain}:
        raise ForkProofError("other_zone", "a header is of another zone")
    if second.height != height or header_hash(first) == header_hash(second):
        raise ForkProofError("no_contradiction", "these are not two different headers of one height")
    name = proof.organisation
    for version in _versions_at_height(trust, height):
        key = version.validators.get(name)
        if key is None:
            continue
        if verify_signature(first, proof.first_signature, key) and verify_signature(
            second, proof.second_signature, key
        ):
            text = f"{name} signed two different blocks of height {height}."
            return ForkFinding("headers", proof.chain, name, (name,), None, text)
    raise ForkProofError("bad_statement", f"the headers are not both signed by one that ordered at height {height}")


def _seen(proof: SeenFork, trust: TrustFile) -> ForkFinding:
    orderer = check_statement(proof.statement, trust)
    size, root = proof.statement.size, unhex(proof.statement.root, HASH_BYTES)
    if orderer not in trust.version_at(size).validators:
        raise ForkProofError("bad_statement", "the statement is not by one that orders")
    try:
        frame = verify_frame(proof.transaction, trust.genesis)
    except ReceiptError as error:
        raise ForkProofError("bad_statement", error.message) from None
    operation = unhex(proof.operation, HASH_BYTES)
    leaf = history_leaf(proof.height, proof.index, operation, proof.outcome, proof.time, frame.id.hex())
    if not verify_inclusion(leaf_hash(leaf), proof.leaf_index, size, unhex_path(proof.leaf_path), root):
        raise ForkProofError("bad_statement", "the transaction is not in the history that the statement is about")
    seen = frame.payload.seen
    author = frame.payload.organisation
    if seen.size > proof.leaf_index - proof.index:
        # An author cannot have seen entries that come after its own: the orderer had to refuse this.
        if proof.path or proof.prefix_root != proof.statement.root:
            raise MalformedError("a path that proves nothing")
        text = f"{orderer} recorded a transaction of {author} that claims to have seen a longer history than there was."
        return ForkFinding("seen", proof.chain, orderer, (orderer,), seen.size, text)
    known = _prefix_root(seen.size, proof.statement, proof.prefix_root, proof.path)
    if known == unhex(seen.root, HASH_BYTES):
        raise ForkProofError("no_contradiction", f"{author} had seen the very history that the statement is about")
    text = (
        f"{orderer} recorded a transaction of {author} although {author} had seen another history: "
        f"the two differ within the first {seen.size} entries."
    )
    return ForkFinding("seen", proof.chain, orderer, (orderer,), seen.size, text)


def _prefix_root(size: int, later: Statement, prefix_root: str, path: Sequence[str]) -> bytes:
    """Return the root that the later statement's history has at `size`."""
    root = unhex(prefix_root, HASH_BYTES)
    if not verify_consistency(size, root, later.size, unhex(later.root, HASH_BYTES), unhex_path(path)):
        raise ForkProofError("bad_statement", "the consistency path does not hold, or the sizes are in the wrong order")
    return root


def _versions_at_height(trust: TrustFile, height: int) -> list[Version]:
    """Return the versions whose validators may have signed a block; of the block that makes a version, both."""
    before = [version for version in trust.versions if version.height < height]
    at = [version for version in trust.versions if version.height == height]
    return [*before[-1:], *at]
