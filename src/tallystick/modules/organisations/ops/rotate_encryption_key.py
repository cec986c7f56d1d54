"""rotate_encryption_key: an organisation replaces the X25519 key that others seal content keys to.

Contract: deliveries sealed from then on use the new key; the organisation keeps the old one for what was sealed before.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.membership import get_own
from tallystick.modules.organisations.possession import check_key
from tallystick.modules.organisations.records import ORGANISATIONS, Hash
from tallystick.modules.organisations.rejections import NOTHING_CHANGES


class RotateEncryptionKey(Message, kw_only=True, tag="rotate_encryption_key"):
    """Replace the encryption key.

    Attributes:
        encryption: X25519 public key, hex.
    """

    encryption: Hash


class EncryptionKeyRotated(Event, kw_only=True, tag="encryption_key_rotated"):
    """An organisation has another encryption key."""

    organisation: str
    encryption: str


def validate(msg: RotateEncryptionKey) -> None:
    """Check the form of the key."""
    check_key(msg.encryption, "encryption")


def apply(state: State, ctx: Context, msg: RotateEncryptionKey) -> list[Event]:
    """Put the new key in place of the old."""
    # READ
    organisation = get_own(state, ctx)
    # CHECK
    if organisation.encryption == msg.encryption:
        raise NOTHING_CHANGES()
    # WRITE
    state.put(ORGANISATIONS, ctx.organisation, msgspec.structs.replace(organisation, encryption=msg.encryption))
    # EVENTS
    return [EncryptionKeyRotated(organisation=ctx.organisation, encryption=msg.encryption)]


OPERATION = Operation(RotateEncryptionKey, "system", validate, apply, "replace the key that content keys are sealed to")
