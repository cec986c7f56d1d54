r"""The trust file (`zone.json`): who may speak for a zone, version by version.

Each version names the orderer, how many other members must witness, who joined and who left since the version before,
and from which history size it holds. Its hash continues the hash of the version before, back to the genesis; it is
signed by the members of the version before: its orderer, and at least as many others as that version needs. Version 1
is signed by its own orderer. So whoever trusts one version can follow to the next without trusting who brought it.

Rules:

- A member is an organisation with one `system` key; no two members share a key.
- `joined` and `left` are exactly the difference to the version before; a changed key is one of each.
- Lists are sorted by organisation; heights and sizes never go back.
- Every signature that is there must be good: one that is not makes the version bad, even if the others would do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from tallystick.codec import MalformedError, StrictDecoder, check_organisation_id, encode_json, tagged_hash
from tallystick.keys import ED25519, Signer
from tallystick.proofs.failures import TrustError
from tallystick.proofs.genesis import Genesis, Natural, Positive, check_chain_id, encode_genesis, genesis_hash
from tallystick.proofs.hexadecimal import HASH_BYTES, KEY_BYTES, SIGNATURE_BYTES, unhex

TRUST_TAG = b"tallystick/trust-v1\x00"
FORMAT = 1
MAX_TRUST_BYTES = 64 << 20


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
        orderer: who orders, with its `system` key.
        needed: cosignatures of other members that a receipt needs; 0 exactly when there are no others.
        joined: members that the version before had not.
        left: members of the version before that it has not.
        signatures: by members of the version before, sorted by organisation.
    """

    version: Positive
    height: Natural
    since: Natural
    orderer: Member
    needed: Natural
    joined: tuple[Member, ...]
    left: tuple[Member, ...]
    signatures: tuple[TrustSignature, ...]


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    chain: str
    genesis: str
    v: int
    versions: tuple[TrustEntry, ...]


_decoder: StrictDecoder[_Form] = StrictDecoder(_Form, max_bytes=MAX_TRUST_BYTES)


@dataclass(frozen=True, slots=True)
class Version:
    """One version, worked out.

    Attributes:
        number: from 1.
        height: of the block that made it.
        since: history size from which it holds.
        orderer: organisation that orders.
        orderer_key: its `system` key.
        needed: cosignatures that a receipt needs.
        members: organisation -> `system` key, the orderer's included.
        hash: what signatures of this version are over, and the next one's continues.
    """

    number: int
    height: int
    since: int
    orderer: str
    orderer_key: bytes
    needed: int
    members: Mapping[str, bytes]
    hash: bytes

    @property
    def others(self) -> int:
        """Number of members besides the orderer."""
        return len(self.members) - 1


def default_needed(others: int) -> int:
    """Return more than half of the other members; 0 where there are none."""
    return others // 2 + 1 if others else 0


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


def first_entry(genesis: Genesis) -> TrustEntry:
    """Return version 1 of a zone, not yet signed: the founders, and the first orderer."""
    members = {card.organisation: bytes.fromhex(card.key_of("system")) for card in genesis.organisations}
    return _difference({}, members, genesis.orderer.organisation, number=1, height=0, since=0, needed=None)


class TrustFile:
    """A trust file whose every version is in good form; whether it is well signed, `verify_chain` tells.

    Never changed: `extend` gives another one.

    Attributes:
        chain: chain id.
        genesis: SHA-256 of the genesis.
        entries: the versions as they are written.
        versions: the versions worked out.
    """

    __slots__ = ("_extended", "chain", "entries", "genesis", "versions")

    def __init__(self, chain: str, genesis: bytes, entries: Sequence[TrustEntry]) -> None:
        """Work out the versions.

        Raises:
            TrustError: there is none, or one does not follow from the one before; signatures apart.
        """
        if not entries:
            raise TrustError("bad_version", "the trust file has no version")
        self.chain = chain
        self.genesis = genesis
        self.entries = tuple(entries)
        versions: list[Version] = []
        for entry in self.entries:
            versions.append(_work_out(versions[-1] if versions else None, genesis, entry))
        self.versions = tuple(versions)
        self._extended: dict[bytes, TrustFile] = {}

    @classmethod
    def first(cls, genesis: Genesis, signer: Signer) -> TrustFile:
        """Return the trust file that a zone begins with.

        Args:
            genesis: of the zone.
            signer: the `system` key of its orderer.
        """
        identity = genesis_hash(encode_genesis(genesis))
        entry = sign_entry(identity, first_entry(genesis), genesis.orderer.organisation, signer)
        trust = cls(genesis.chain, identity, (entry,))
        trust.verify_chain()
        return trust

    @classmethod
    def parse(cls, data: bytes) -> TrustFile:
        """Read a trust file from exactly its canonical bytes and check every version and signature of it.

        Raises:
            TrustError: anything else than a good one.
        """
        try:
            form = _decoder.decode(data)
            check_chain_id(form.chain)
            genesis = unhex(form.genesis, HASH_BYTES)
        except MalformedError as error:
            raise TrustError("not_canonical", f"not a trust file: {error.reason}") from None
        if form.v != FORMAT:
            raise TrustError("unknown_format", "the trust file has an unknown format")
        trust = cls(form.chain, genesis, form.versions)
        trust.verify_chain()
        return trust

    def encode(self) -> bytes:
        """Return the bytes of `zone.json`."""
        form = _Form(chain=self.chain, genesis=self.genesis.hex(), v=FORMAT, versions=self.entries)
        return encode_json(form)

    @property
    def latest(self) -> Version:
        """The newest version."""
        return self.versions[-1]

    @property
    def fingerprint(self) -> str:
        """What people compare before they trust this file: hash of its newest version, hex."""
        return self.latest.hash.hex()

    def version(self, number: int) -> Version:
        """Return a version by its number.

        Raises:
            TrustError: `unknown_version`.
        """
        if not 1 <= number <= len(self.versions):
            raise TrustError("unknown_version", f"the trust file has no version {number}")
        return self.versions[number - 1]

    def members(self, number: int) -> Mapping[str, bytes]:
        """Return organisation -> `system` key of a version.

        Raises:
            TrustError: `unknown_version`.
        """
        return self.version(number).members

    def version_at(self, size: int) -> Version:
        """Return the version that holds for a history of `size` leaves: the newest with `since` not above it."""
        for version in reversed(self.versions):
            if version.since <= size:
                return version
        return self.versions[0]

    def verify_chain(self) -> None:
        """Check the signatures of every version.

        Raises:
            TrustError: one is bad, or there are too few.
        """
        self._verify_from(0)

    def extend(self, entries: Sequence[TrustEntry]) -> TrustFile:
        """Return this trust file with the versions that follow it, each checked by the quorum of the one before.

        Raises:
            TrustError: one does not follow, or is not signed as it must be.
        """
        longer = TrustFile(self.chain, self.genesis, (*self.entries, *entries))
        longer._verify_from(len(self.entries))
        return longer

    def next_entry(
        self, members: Mapping[str, bytes], *, orderer: str, height: int, since: int, needed: int | None = None
    ) -> TrustEntry:
        """Return the version that follows the newest one, not yet signed.

        Args:
            members: organisation -> `system` key, all that are members from now on.
            orderer: one of them.
            height: of the block that makes it.
            since: history size from which it holds.
            needed: cosignatures that a receipt needs; by default more than half of the others.
        """
        number = self.latest.number + 1
        return _difference(
            self.latest.members, members, orderer, number=number, height=height, since=since, needed=needed
        )

    def links_since(self, number: int, size: int) -> tuple[TrustEntry, ...]:
        """Return the versions after `number` up to the one that holds at `size`: what a receipt carries.

        Args:
            number: version that the reader is known to have.
            size: of the history that the receipt is about.
        """
        return self.entries[number : self.version_at(size).number]

    def follow(self, links: Sequence[TrustEntry]) -> TrustFile:
        """Return this file extended by the versions that a receipt carries; those known already must be the same.

        The result is remembered, so that many receipts with the same links cost one check.

        Raises:
            TrustError: `unknown_version` where versions are missing between, `bad_link` where a known one differs, or
                what `extend` raises.
        """
        if not links:
            return self
        name = encode_json(links)
        known = self._extended.get(name)
        if known is None:
            known = self._follow(links)
            if len(self._extended) >= 16:
                self._extended.clear()
            self._extended[name] = known
        return known

    def _follow(self, links: Sequence[TrustEntry]) -> TrustFile:
        start = links[0].version
        if start > len(self.entries) + 1:
            raise TrustError("unknown_version", f"versions between {len(self.entries)} and {start} are missing")
        if start < 2:
            raise TrustError("bad_link", "version 1 is what a reader must have; it is not carried along")
        # Known versions are replaced by the ones carried, checked like new ones, and must come out with the same hash:
        # so every byte of them counts, although another quorum may have signed them.
        carried = TrustFile(self.chain, self.genesis, (*self.entries[: start - 1], *links))
        for mine, other in zip(self.versions, carried.versions, strict=False):
            if mine.hash != other.hash:
                raise TrustError("bad_link", f"version {mine.number} is not the one in the trust file")
        carried._verify_from(start - 1)
        if len(carried.entries) < len(self.entries):
            return self
        return carried

    def _verify_from(self, position: int) -> None:
        for at in range(position, len(self.entries)):
            entry, version = self.entries[at], self.versions[at]
            _check_signatures(entry, version, self.versions[at - 1] if at else None)


def _check_signatures(entry: TrustEntry, version: Version, before: Version | None) -> None:
    """Check that a version is signed by the quorum of the one before.

    Raises:
        TrustError: it is not.
    """
    who = f"version {version.number}"
    names = [each.organisation for each in entry.signatures]
    if any(earlier >= later for earlier, later in pairwise(names)):
        raise TrustError("bad_trust_signature", f"signatures of {who} are not sorted, or one is repeated")
    allowed = before.members if before is not None else {version.orderer: version.orderer_key}
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
    orderer = before.orderer if before is not None else version.orderer
    needed = before.needed if before is not None else 0
    if orderer not in names:
        raise TrustError("too_few_signatures", f"{orderer}, which ordered until then, has not signed {who}")
    if len(names) - 1 < needed:
        raise TrustError("too_few_signatures", f"{who} is signed by {len(names) - 1} other members, not by {needed}")


def _work_out(before: Version | None, genesis: bytes, entry: TrustEntry) -> Version:
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
    orderer_key = _key(entry.orderer)
    if members.get(entry.orderer.organisation) != orderer_key:
        raise TrustError("bad_members", f"the orderer of version {number} is not a member with that key")
    others = len(members) - 1
    if not (entry.needed == 0 if others == 0 else 1 <= entry.needed <= others):
        raise TrustError("bad_quorum", f"version {number} needs {entry.needed} of {others} other members")
    identity = entry_hash(before.hash if before is not None else genesis, entry)
    ordered = MappingProxyType({name: members[name] for name in sorted(members)})
    return Version(
        number, entry.height, entry.since, entry.orderer.organisation, orderer_key, entry.needed, ordered, identity
    )


def _key(member: Member) -> bytes:
    try:
        check_organisation_id(member.organisation)
        return unhex(member.key, KEY_BYTES)
    except MalformedError as error:
        raise TrustError("bad_members", f"a member is not of its form: {error.reason}") from None


def _difference(
    before: Mapping[str, bytes],
    members: Mapping[str, bytes],
    orderer: str,
    *,
    number: int,
    height: int,
    since: int,
    needed: int | None,
) -> TrustEntry:
    joined = [name for name in sorted(members) if before.get(name) != members[name]]
    left = [name for name in sorted(before) if members.get(name) != before[name]]
    return TrustEntry(
        version=number,
        height=height,
        since=since,
        orderer=Member(organisation=orderer, key=members[orderer].hex()),
        needed=default_needed(len(members) - 1) if needed is None else needed,
        joined=tuple(Member(organisation=name, key=members[name].hex()) for name in joined),
        left=tuple(Member(organisation=name, key=before[name].hex()) for name in left),
        signatures=(),
    )
