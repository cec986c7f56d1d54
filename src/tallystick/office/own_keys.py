"""This organisation's own entries on the ledger: its keys, its address, its TLS pins.

Rule: a new key is in the key store before it is registered, and the old one is retired after. A crash in between leaves a
key that the next attempt uses; signing goes by what is registered (`keyring`), so nothing is ever signed by it too soon.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tallystick.codec.cards import ROLES
from tallystick.errors import UsageError
from tallystick.keys import ENCRYPTION, KeyInfo, Signer
from tallystick.modules.organisations.ops import (
    AddKey,
    RenameOrganisation,
    RevokeKey,
    RotateEncryptionKey,
    RotateKey,
    SetAddress,
    SetEngine,
    SetTlsPins,
)
from tallystick.modules.organisations.possession import possession_message
from tallystick.modules.organisations.queries import find_key
from tallystick.office.keyring import KeyWriter, OwnKeys
from tallystick.office.recording import Recorder
from tallystick.views import OwnKeyChange, Recorded


class OwnEntries:
    """What this organisation may change about itself."""

    def __init__(self, recorder: Recorder, keys: OwnKeys) -> None:
        self._recorder = recorder
        self._keys = keys
        self._me = recorder.organisation

    async def add_key(self, role: str) -> OwnKeyChange:
        """Make and register a further key of a role.

        Raises:
            RejectedError: the ledger refuses it.
            UsageError: no such role, or keys cannot be made here.
        """
        self._check_role(role)
        made = self._unregistered(role) or self._writer().create(role)
        message = AddKey(key=made.public, roles=(role,), proof=self._proof(made))
        done = await self._recorder.record(message, role="security")
        return OwnKeyChange(role=role, key=made.public, recorded=done.recorded)

    async def rotate_key(self, role: str, key: str | None = None) -> OwnKeyChange:
        """Replace the key of a role by a new one.

        Args:
            role: of the key.
            key: which one, hex, where there are several; by default the newest that this node holds.

        Raises:
            RejectedError: the ledger refuses it.
            UsageError: the role's key is not rotated this way, has no such key, or keys cannot be made here.
            AccessError: this node holds no registered key of the role.
        """
        self._check_role(role)
        if key is not None and key not in self._keys.registered(role):
            raise UsageError(
                f"{self._me} has no registered key {key} of the role {role}",
                remedy="List them with `tally organisation show`.",
            )
        old = key or self._keys.signer(role).public_key.hex()
        made = self._unregistered(role) or self._writer().create(role)
        message = RotateKey(old=old, new=made.public, proof=self._proof(made))
        done = await self._recorder.record(message, role="security")
        self._retire(old)
        return OwnKeyChange(role=role, key=made.public, replaces=old, recorded=done.recorded)

    async def revoke_key(self, key: str) -> OwnKeyChange:
        """Revoke a key, given in hex: nothing that it signs counts from then on.

        Raises:
            RejectedError: the ledger refuses it.
        """
        found = find_key(self._recorder.state(), key)
        done = await self._recorder.record(RevokeKey(key=key), role="security")
        self._retire(key)
        role = "" if found is None else ",".join(found.roles)
        return OwnKeyChange(role=role, key=key, recorded=done.recorded)

    async def rotate_encryption_key(self) -> OwnKeyChange:
        """Replace the key that data is sealed to; the old one is kept, to open what was sealed to it.

        Raises:
            RejectedError: the ledger refuses it.
            UsageError: keys cannot be made here.
        """
        old = self._keys.encryption_key
        spare = [info for info in self._keys.held_in(ENCRYPTION) if info.public != old]
        made = spare[-1] if spare else self._writer().create(ENCRYPTION)
        done = await self._recorder.record(RotateEncryptionKey(encryption=made.public), role="system")
        self._retire(old)
        return OwnKeyChange(role=ENCRYPTION, key=made.public, replaces=old, recorded=done.recorded)

    async def set_address(self, address: str) -> Recorded:
        """Say where this organisation's node listens: `host:port`, or "" where nothing can connect to it.

        Raises:
            RejectedError: the ledger refuses it.
        """
        return (await self._recorder.record(SetAddress(address=address), role="system")).recorded

    async def set_engine(self, *, consensus: str, node: str, address: str, proof: str) -> Recorded:
        """Say which distributed engine this organisation runs.

        Args:
            consensus: Ed25519 key that it votes with, hex.
            node: its node id, hex.
            address: `host:port` where it listens to other engines.
            proof: the consensus key's signature that it is meant for this organisation and zone, hex.

        Raises:
            RejectedError: the ledger refuses it.
        """
        message = SetEngine(consensus=consensus, node=node, address=address, proof=proof)
        return (await self._recorder.record(message, role="system")).recorded

    async def set_tls_pins(self, pins: Sequence[str]) -> Recorded:
        """Say which TLS keys this organisation's node may show.

        Raises:
            RejectedError: the ledger refuses it.
        """
        message = SetTlsPins(pins=tuple(sorted(set(pins))))
        return (await self._recorder.record(message, role="system")).recorded

    async def rename(self, name: str) -> Recorded:
        """Change the display name of this organisation.

        Raises:
            RejectedError: the ledger refuses it.
        """
        return (await self._recorder.record(RenameOrganisation(name=name), role="registration")).recorded

    def _check_role(self, role: str) -> None:
        if role == "system":
            raise UsageError(
                "the system key signs headers and checkpoints and is not changed while the node runs",
                remedy="Follow docs/howto/keys.md: it is replaced together with all others, by the recovery key.",
            )
        if role not in ROLES:
            raise UsageError(f"there is no role {role!r}", remedy=f"Use one of: {', '.join(ROLES)}.")

    def _unregistered(self, role: str) -> KeyInfo | None:
        """Return a key of a role that an earlier attempt made and did not get to register."""
        state = self._recorder.state()
        fresh = [info for info in self._keys.held_in(role) if find_key(state, info.public) is None]
        return fresh[-1] if fresh else None

    def _proof(self, made: KeyInfo) -> str:
        signer: Signer = self._keys.source.signer(made.id)
        message = possession_message(self._recorder.ledger.store.chain, self._me, made.public)
        return signer.sign(message).hex()

    def _writer(self) -> KeyWriter:
        source = self._keys.source
        if not hasattr(source, "create"):
            raise UsageError("keys cannot be made here", remedy="Use the node's key store.")
        return cast(KeyWriter, source)

    def _retire(self, public: str) -> None:
        """Retire the key of this node that was replaced, if it is here."""
        for info in self._keys.source.list():
            if info.public == public and not info.retired:
                self._writer().retire(info.id)
