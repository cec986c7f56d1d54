r"""Versions of the trust file: what one says, how it follows from the one before, and who must have signed it.

Rules:

- A member is an organisation with one `system` key; no two members share a key.
- `joined` and `left` are exactly the difference to the version before; a changed key is one of each.
- Lists are sorted by organisation; heights and sizes never go back.
- A version that has a root ends what was before: a proof of a shorter history than the root's is refused.
- Every signature that is there must be good: one that is not makes the version bad, even if the others would do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from tallystick.codec import MalformedError, check_organisation_id, encode_json, tagged_hash
from tallystick.keys import ED25519, Signer
from tallystick.proofs.failures import TrustError
from tallystick.proofs.forms import Natural, Positive
from tallystick.proofs.headers import quorum
from tallystick.proofs.hexadecimal import HASH_BYTES, KEY_BYTES, SIGNATURE_BYTES, unhex

TRUST_TAG = b"tallystick/trust-v1\x00"
FAULT_TOLERANT = 4


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation with its `system` key, hex."""

    organisation: str
    key: str


class TrustSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member's signature of a version, hex."""

    organisation: str
    signature: str


class TrustEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version, as it is written.

    Attributes:
        version: from 1.
        height: of the block that made it; 0 for version 1.
        since: history size from which it holds.
        validators: the members that order, sorted; more than two thirds of them sign each header. One, in a zone on the
            embedded engine.
        needed: cosignatures of other members that a receipt needs.
        joined: members that the version before had not.
        left: members of the version before that it has not.
        root: of the history of size `since` - 1, hex; only where the order was handed over to all validators then. Proofs
            of a shorter history count no more: whoever stole the key of the one that ordered before can forge nothing.
        signatures: by members of the version before, sorted by organisation.
    """

    version: Positive
    height: Natural
    since: Natural
    validators: tuple[str, ...]
    needed: Natural
    joined: tuple[Member, ...]
    left: tuple[Member, ...]
    root: str | msgspec.UnsetType = msgspec.UNSET
    signatures: tuple[TrustSignature, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """One version, worked out.

    Attributes:
        number: from 1.
        height: of the block that made it.
        since: history size from which it holds.
        validators: organisation -> `system` key of those who order.
        needed: cosignatures that a receipt needs.
        members: organisation -> `system` key, the validators' included.
        root: of the history just before `since`, where proofs of a shorter one count no more.
        last_root: of the last history that this version may be asked about, where a later one says it (`version_for`).
        hash: what signatures of this version are over, and the next one's continues.
    """

    number: int
    height: int
    since: int
    validators: Mapping[str, bytes]
    needed: int
    members: Mapping[str, bytes]
    hash: bytes
    root: bytes | None = None
    last_root: bytes | None = None

    @property
    def others(self) -> int:
        """Number of members besides those who order."""
        return len(self.members) - len(self.validators)

    def approved_by(self, names: Collection[str]) -> bool:
        """Tell whether these members together may say what comes after this version."""
        ordering = sum(1 for name in names if name in self.validators)
        return ordering >= quorum(len(self.validators)) and len(names) - ordering >= self.needed


def default_needed(others: int, validators: int = 1) -> int:
    """Return how many other members must witness.

    More than half of them while one or a few could tell two histories; none where there are four or more validators, of
    which more than a third would have to.

    Args:
        others: members that do not order.
        validators: members that do.
    """
    return others // 2 + 1 if others and validators < FAULT_TOLERANT else 0


def entry_hash(previous: bytes, entry: TrustEntry) -> bytes:
    """Return the hash of a version.

    Args:
        previous: hash of the version before; the genesis hash for version 1.
        entry: its signatures do not count.
    """
    form = msgspec.to_builtins(entry)
    del form["signatures"]
    return tagged_hash(b"tallystick/trust", previous, encode_json(form))


def sign_entry(previous: bytes, entry: TrustEntry, organisation: str, signer: Signer) -> TrustEntry:
    """Return a version with one more signature, in its place.

    Args:
        previous: hash of the version before (`Version.hash`), or the genesis hash for version 1.
        entry: the version.
        organisation: who signs; a signature of it that is there already is replaced.
        signer: its `system` key in the version before.
    """
    signature = signer.sign(TRUST_TAG + entry_hash(previous, entry)).hex()
    rest = [each for each in entry.signatures if each.organisation != organisation]
    rest.append(TrustSignature(organisation=organisation, signature=signature))
    return replace(entry, signatures=tuple(sorted(rest, key=lambda each: each.organisation)))


def check_signatures(entry: TrustEntry, version: Version, before: Version | None) -> None:
    """Check that a version is signed by the quorum of the one before.

    Raises:
        TrustError: it is not.
    """
    who = f"version {version.number}"
    names = [each.organisation for each in entry.signatures]
    if any(earlier >= later for earlier, later in pairwise(names)):
        raise TrustError("bad_trust_signature", f"signatures of {who} are not sorted, or one is repeated")
    judge = version if before is None else before
    allowed = judge.validators if before is None else judge.members
    message = TRUST_TAG + version.hash
    for each in entry.signatures:
        key = allowed.get(each.organisation)
        if key is None:
            raise TrustError("bad_trust_signature", f"{each.organisation} had no right to sign {who}")
        try:
            signature = unhex(each.signature, SIGNATURE_BYTES)
        except MalformedError:
            raise TrustError("bad_trust_signature", f"a signature of {who} is not of its form") from None
        if not ED25519.verify(key, message, signature):
            raise TrustError("bad_trust_signature", f"the signature of {each.organisation} on {who} is wrong")
    ordering = sum(1 for name in names if name in judge.validators)
    if ordering < quorum(len(judge.validators)):
        raise TrustError(
            "too_few_signatures",
            f"{who} is signed by {ordering} of the {len(judge.validators)} that ordered until then, "
            f"not by {quorum(len(judge.validators))}",
        )
    if before is not None and not before.approved_by(names):
        raise TrustError(
            "too_few_signatures", f"{who} is signed by {len(names) - ordering} other members, not by {before.needed}"
        )


def work_out(before: Version | None, genesis: bytes, entry: TrustEntry) -> Version:
    """Return the version that an entry makes of the one before.

    Raises:
        TrustError: the entry does not follow from it.
    """
    number = before.number + 1 if before is not None else 1
    if entry.version != number:
        raise TrustError("bad_version", f"version {entry.version} stands where {number} belongs")
    if before is not None and (entry.height < before.height or entry.since < before.since):
        raise TrustError("bad_version", f"version {number} goes back in height or size")
    if before is None and (entry.height, entry.since) != (0, 0):
        raise TrustError("bad_version", "version 1 does not hold from the beginning")
    members = dict(before.members) if before is not None else {}
    for listed in (entry.left, entry.joined):
        names = [member.organisation for member in listed]
        if any(earlier >= later for earlier, later in pairwise(names)):
            raise TrustError("bad_members", f"members of version {number} are not sorted, or one is repeated")
    for member in entry.left:
        if members.pop(member.organisation, None) != _key(member):
            raise TrustError("bad_members", f"{member.organisation} leaves in version {number} but was no such member")
    for member in entry.joined:
        key = _key(member)
        if member.organisation in members:
            raise TrustError("bad_members", f"{member.organisation} joins in version {number} but was a member already")
        if before is not None and before.members.get(member.organisation) == key:
            raise TrustError("bad_members", f"{member.organisation} leaves and joins unchanged in version {number}")
        members[member.organisation] = key
    if len(set(members.values())) != len(members):
        raise TrustError("bad_members", f"two members of version {number} share a key")
    if not entry.validators or any(earlier >= later for earlier, later in pairwise(entry.validators)):
        raise TrustError(
            "bad_members", f"nobody orders in version {number}, or they are not sorted, or one is repeated"
        )
    if not all(name in members for name in entry.validators):
        raise TrustError("bad_members", f"who orders in version {number} is not a member")
    others = len(members) - len(entry.validators)
    least = 1 if others and len(entry.validators) < FAULT_TOLERANT else 0
    if not least <= entry.needed <= others:
        raise TrustError("bad_quorum", f"version {number} needs {entry.needed} of {others} other members")
    root = _root(entry, first=before is None)
    identity = entry_hash(before.hash if before is not None else genesis, entry)
    ordered = MappingProxyType({name: members[name] for name in sorted(members)})
    validators = MappingProxyType({name: members[name] for name in entry.validators})
    return Version(number, entry.height, entry.since, validators, entry.needed, ordered, identity, root)


def _root(entry: TrustEntry, *, first: bool) -> bytes | None:
    if isinstance(entry.root, msgspec.UnsetType):
        return None
    try:
        root = unhex(entry.root, HASH_BYTES)
    except MalformedError as error:
        raise TrustError("bad_version", f"the root in version {entry.version}: {error.reason}") from None
    if first or entry.since < 1:
        raise TrustError("bad_version", f"version {entry.version} has a root, but no history before it")
    return root


def _key(member: Member) -> bytes:
    try:
        check_organisation_id(member.organisation)
        return unhex(member.key, KEY_BYTES)
    except MalformedError as error:
        raise TrustError("bad_members", f"a member is not of its form: {error.reason}") from None


def difference(
    before: Mapping[str, bytes],
    members: Mapping[str, bytes],
    validators: Collection[str],
    *,
    number: int,
    height: int,
    since: int,
    needed: int | None,
    root: bytes | None = None,
) -> TrustEntry:
    """Return the version that leads from some members to others, not yet signed."""
    joined = [name for name in sorted(members) if before.get(name) != members[name]]
    left = [name for name in sorted(before) if members.get(name) != before[name]]
    return TrustEntry(
        version=number,
        height=height,
        since=since,
        validators=tuple(sorted(validators)),
        needed=default_needed(len(members) - len(validators), len(validators)) if needed is None else needed,
        joined=tuple(Member(organisation=name, key=members[name].hex()) for name in joined),
        left=tuple(Member(organisation=name, key=before[name].hex()) for name in left),
        root=msgspec.UNSET if root is None else root.hex(),
        signatures=(),
    )
