"""The `system` key that a node signs with: always the one that is registered, also while it is being replaced.

A key store may hold a system key that is not registered yet, or no longer. What a node signs with another than the
registered one counts for nobody. So the core tells, at its start and after every block that changes keys, which it is.
"""

from __future__ import annotations

import structlog

from tallystick.keys import KeySource, SignatureSuite, Signer

log = structlog.get_logger("core")


class SystemKey:
    """A `Signer` that changes its key when the registered one changes."""

    def __init__(self, keys: KeySource) -> None:
        """Begin with the newest key of the role, until the ledger tells which is registered.

        Raises:
            AccessError: there is none.
        """
        self._keys = keys
        self._signer: Signer = keys.signer("system")

    @property
    def public_key(self) -> bytes:
        """Of the key in use."""
        return self._signer.public_key

    @property
    def suite(self) -> SignatureSuite:
        """Of the key in use."""
        return self._signer.suite

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message` by the key in use."""
        return self._signer.sign(message)

    def use(self, registered: str) -> None:
        """Sign with the registered key from now on, if this node holds it.

        Args:
            registered: public key, hex.
        """
        if registered == self.public_key.hex():
            return
        held = next((info for info in self._keys.list() if info.public == registered and not info.offline), None)
        if held is None:
            log.error("system_key_not_held", registered=registered, remedy="Restore keys/ from a backup.")
            return
        self._signer = self._keys.signer(held.id)
        log.info("system_key_in_use", key=registered)
