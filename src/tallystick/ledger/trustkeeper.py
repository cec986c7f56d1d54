"""Keeps the trust file in step with the ledger: derives each version from the members, collects its signatures.

A version follows from the ledger alone, so every node derives the same one and signs it without asking. It counts once
the quorum of the version before has signed; until then receipts are judged by the last version that counts.

A version holds for histories larger than that of the block that made it: that block's own header is still signed by
those who ordered in the version before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from tallystick.codec import encode_json
from tallystick.errors import IntegrityError
from tallystick.keys import ED25519, Signer
from tallystick.ledger.ports import Store
from tallystick.machine import State
from tallystick.modules.organisations.queries import handed_over_at
from tallystick.modules.organisations.queries import members as members_of
from tallystick.modules.organisations.queries import validators as validators_of
from tallystick.proofs.trust import TrustEntry, TrustFile, TrustSignature, sign_entry
from tallystick.proofs.trust_versions import TRUST_TAG

_entry_decoder = msgspec.json.Decoder(TrustEntry)


class SignedVersion(NamedTuple):
    """One signature under one version, as nodes exchange them."""

    version: int
    organisation: str
    signature: bytes


class TrustKeeper:
    """The zone's trust file as this node knows it."""

    def __init__(
        self,
        known: TrustFile,
        store: Store,
        *,
        organisation: str,
        signer: Signer | None,
        on_change: Callable[[TrustFile], None],
    ) -> None:
        """Take up what is stored.

        Args:
            known: the trust file that this node already trusts (`zone.json` of its home).
            store: where versions and signatures are kept.
            organisation: whose node this is.
            signer: its `system` key, or None where nothing is to be signed (a reader).
            on_change: told of the file when a further version counts.
        """
        self._store = store
        self._organisation = organisation
        self._signer = signer
        self._on_change = on_change
        self._entries: list[TrustEntry] = []
        self._derived: TrustFile | None = None
        self.trust = known
        for raw, signatures in store.trust_entries():
            entry = _entry_decoder.decode(raw)
            self._entries.append(_with_signatures(entry, signatures))
        for entry in known.entries[len(self._entries) :]:
            if not self._entries or entry.version == 1:
                self._keep(entry)
                break
        self._advance()

    @property
    def derived(self) -> TrustFile:
        """All versions that the ledger has led to, whether enough members have signed them or not."""
        if self._derived is None:
            self._derived = TrustFile(self.trust.chain, self.trust.genesis, self._entries)
        return self._derived

    def follow(self, state: State, *, height: int, size: int) -> list[SignedVersion]:
        """Derive the next version if the members changed with this block; sign it.

        Args:
            state: after the block.
            height: of the block.
            size: of the history after it.

        Returns:
            the signature that this node made, to be sent to the others; nothing where nothing changed.

        Raises:
            IntegrityError: the version is not the one that this node already trusts.
        """
        derived = self.derived
        now = {member.organisation: bytes.fromhex(member.key) for member in members_of(state)}
        validators = [member.organisation for member in validators_of(state)]
        latest = derived.latest
        # A core that starts looks at its last block again: the handover is one version, however often it is seen.
        handed_over = handed_over_at(state) == height and latest.root is None
        root = self._store.history_root(size) if handed_over else None
        if now == dict(latest.members) and validators == list(latest.validators) and root is None:
            return []
        entry = derived.next_entry(now, validators=validators, height=height, since=size + 1, root=root)
        number = entry.version
        if number <= len(self.trust.entries):
            known = self.trust.entries[number - 1]
            if replace(known, signatures=()) != entry:
                raise IntegrityError(
                    f"version {number} of the trust file does not follow from this ledger",
                    remedy="This copy and zone.json belong to two histories: `tally ledger compare` tells them apart.",
                )
            self._keep(known)
            return []
        self._keep(entry)
        return self._sign(number)

    def _sign(self, number: int) -> list[SignedVersion]:
        before = self.derived.version(number - 1)
        if self._signer is None or before.members.get(self._organisation) != self._signer.public_key:
            return []
        signed = sign_entry(before.hash, self._entries[number - 1], self._organisation, self._signer)
        mine = next(each for each in signed.signatures if each.organisation == self._organisation)
        made = SignedVersion(number, self._organisation, bytes.fromhex(mine.signature))
        self.add(made)
        return [made]

    def add(self, signed: SignedVersion) -> bool:
        """Take a signature from another node.

        Returns:
            whether it is good and new; a version that this copy has not reached yet is not an error.
        """
        if not 2 <= signed.version <= len(self._entries):
            return False
        entry = self._entries[signed.version - 1]
        if any(each.organisation == signed.organisation for each in entry.signatures):
            return False
        derived = self.derived
        key = derived.version(signed.version - 1).members.get(signed.organisation)
        message = TRUST_TAG + derived.version(signed.version).hash
        if key is None or not ED25519.verify(key, message, signed.signature):
            return False
        listed = (*entry.signatures, TrustSignature(organisation=signed.organisation, signature=signed.signature.hex()))
        ordered = tuple(sorted(listed, key=lambda each: each.organisation))
        self._entries[signed.version - 1] = replace(entry, signatures=ordered)
        self._derived = None
        self._store.add_trust_signature(signed.version, signed.organisation, signed.signature)
        self._advance()
        return True

    def signatures(self, after: int = 0) -> list[SignedVersion]:
        """Return all signatures under versions above `after`, for other nodes."""
        return [
            SignedVersion(entry.version, each.organisation, bytes.fromhex(each.signature))
            for entry in self._entries[after:]
            for each in entry.signatures
        ]

    def _keep(self, entry: TrustEntry) -> None:
        self._entries.append(entry)
        self._derived = None
        self._store.add_trust(entry.version, encode_json(replace(entry, signatures=())))
        for each in entry.signatures:
            self._store.add_trust_signature(entry.version, each.organisation, bytes.fromhex(each.signature))

    def _advance(self) -> None:
        """Let every further version count that its quorum has signed."""
        grown = False
        while len(self.trust.entries) < len(self._entries):
            entry = self._entries[len(self.trust.entries)]
            if not self.trust.latest.approved_by([each.organisation for each in entry.signatures]):
                break
            self.trust = self.trust.extend([entry])
            grown = True
        if grown:
            self._on_change(self.trust)


def _with_signatures(entry: TrustEntry, signatures: list[tuple[str, bytes]]) -> TrustEntry:
    listed = tuple(TrustSignature(organisation=name, signature=raw.hex()) for name, raw in sorted(signatures))
    return replace(entry, signatures=listed)
