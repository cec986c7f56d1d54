"""This organisation's keys as the ledger knows them.

A key store may hold a key that is not registered yet (a rotation under way) or no longer (a rotation just done). Only
what is registered may sign, so signing goes by the ledger: the newest key here that is registered for the role.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tallystick.codec import MalformedError
from tallystick.dataplane.refusals import PackageError
from tallystick.errors import AccessError
from tallystick.keys import ENCRYPTION, KeyInfo, KeySource, Signer
from tallystick.machine import State
from tallystick.modules.organisations.queries import find_organisation, keys_of

__all__ = ["KeyWriter", "OwnKeys"]


class KeyWriter(KeySource, Protocol):
    """A key source that new keys can be made in: an unlocked key store."""

    def create(self, role: str) -> KeyInfo:
        """Make a key for a role."""

    def retire(self, name: str) -> KeyInfo:
        """Mark a key as no longer used for anything new."""


class OwnKeys:
    """The keys of this node's organisation."""

    def __init__(self, keys: KeySource, organisation: str, state: Callable[[], State]) -> None:
        """Prepare.

        Args:
            keys: where the private keys are.
            organisation: whose they are.
            state: gives the records of this node's copy.
        """
        self.source = keys
        self._organisation = organisation
        self._state = state

    def registered(self, role: str) -> list[str]:
        """Return the active public keys of a role, hex."""
        return [key for key, _ in keys_of(self._state(), self._organisation, role)]

    def signer(self, role: str) -> Signer:
        """Return the newest key held here that is registered for a role.

        Raises:
            AccessError: there is none.
        """
        registered = self.registered(role)
        held = [info for info in self.source.list() if info.public in registered and not info.offline]
        if not held:
            raise AccessError(
                f"this node holds no key that is registered for {self._organisation} with the role {role}",
                remedy="Restore it from a backup, or register one: `tally key create`.",
            )
        return self.source.signer(held[-1].id)

    def held_in(self, role: str) -> list[KeyInfo]:
        """Return the keys held here that were made for a role and are not retired, oldest first."""
        return [info for info in self.source.list() if info.role == role and not info.retired]

    @property
    def encryption_key(self) -> str:
        """The registered X25519 key of this organisation, hex; "" where it is not a member."""
        found = find_organisation(self._state(), self._organisation)
        return "" if found is None else found.encryption

    def encryption_secrets(self) -> list[bytes]:
        """Return the private encryption keys held here, the registered one first, retired ones last."""
        infos = [info for info in self.source.list() if info.role == ENCRYPTION]
        infos.sort(key=lambda info: (info.public != self.encryption_key, -info.created))
        return [self.source.encryption_private(bytes.fromhex(i.public)).private_bytes_raw() for i in infos]

    def encryption_secret(self, public: str) -> bytes:
        """Return the private key of an X25519 key of this organisation, also when it is retired.

        Raises:
            PackageError: it is not held here.
        """
        try:
            return self.source.encryption_private(bytes.fromhex(public)).private_bytes_raw()
        except (AccessError, MalformedError, ValueError):
            raise PackageError(
                "a message is sealed to an encryption key that this node does not hold",
                remedy="Restore the key from a backup, or ask the sender to send it again.",
            ) from None
