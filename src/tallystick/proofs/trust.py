"""The trust file (`zone.json`): who may speak for a zone, version by version.

Each version names who orders, how many other members must witness, who joined and who left since the version before,
and from which history size it holds. Its hash continues the hash of the version before, back to the genesis; it is
signed by the members of the version before: more than two thirds of those who ordered, and at least as many others as
that version needs. Version 1 is signed by its own. So whoever trusts one version can follow to the next without
trusting who brought it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json
from tallystick.keys import Signer
from tallystick.proofs.failures import TrustError
from tallystick.proofs.forms import check_chain_id
from tallystick.proofs.hexadecimal import HASH_BYTES, unhex
from tallystick.proofs.trust_versions import (
    Member,
    TrustEntry,
    TrustSignature,
    Version,
    check_signatures,
    default_needed,
    difference,
    entry_hash,
    sign_entry,
    work_out,
)

__all__ = [
    "Member",
    "TrustEntry",
    "TrustFile",
    "TrustSignature",
    "Version",
    "default_needed",
    "entry_hash",
    "first_entry",
    "sign_entry",
]

FORMAT = 1
MAX_TRUST_BYTES = 64 << 20


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    chain: str
    genesis: str
    v: int
    versions: tuple[TrustEntry, ...]


_decoder: StrictDecoder[_Form] = StrictDecoder(_Form, max_bytes=MAX_TRUST_BYTES)


def first_entry(members: Mapping[str, bytes], validators: Collection[str]) -> TrustEntry:
    """Return version 1 of a zone, not yet signed: the founders, and who orders first."""
    return difference({}, members, validators, number=1, height=0, since=0, needed=None)


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
            versions.append(work_out(versions[-1] if versions else None, genesis, entry))
        self.versions = tuple(versions)
        self._extended: dict[bytes, TrustFile] = {}

    @classmethod
    def first(
        cls, chain: str, genesis: bytes, members: Mapping[str, bytes], signers: Mapping[str, Signer]
    ) -> TrustFile:
        """Return the trust file that a zone begins with.

        Args:
            chain: chain id.
            genesis: SHA-256 of the genesis.
            members: organisation -> `system` key of the founders.
            signers: organisation -> `system` key of those who order.

        Raises:
            TrustError: these cannot be the members of a zone.
        """
        entry = first_entry(members, signers.keys())
        for organisation, signer in signers.items():
            entry = sign_entry(genesis, entry, organisation, signer)
        trust = cls(chain, genesis, (entry,))
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

    @property
    def shortest(self) -> int:
        """Size of the shortest history that proofs may be of: that at which the order was handed over, or 0."""
        return max((version.since - 1 for version in self.versions if version.root is not None), default=0)

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
        self,
        members: Mapping[str, bytes],
        *,
        validators: Collection[str],
        height: int,
        since: int,
        needed: int | None = None,
        root: bytes | None = None,
    ) -> TrustEntry:
        """Return the version that follows the newest one, not yet signed.

        Args:
            members: organisation -> `system` key, all that are members from now on.
            validators: those of them who order.
            height: of the block that makes it.
            since: history size from which it holds.
            needed: cosignatures that a receipt needs; see `default_needed`.
            root: of the history before, where the order was handed over with this block.
        """
        number = self.latest.number + 1
        return difference(
            self.latest.members,
            members,
            validators,
            number=number,
            height=height,
            since=since,
            needed=needed,
            root=root,
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
            check_signatures(entry, version, self.versions[at - 1] if at else None)
