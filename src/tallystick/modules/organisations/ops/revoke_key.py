"""revoke_key: an organisation declares a key of its own no longer good.

Contract: the key is active, and neither the last security key nor the system key (those are rotated). It is refused
from the next transaction on, and can never be registered again.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.membership import get_held, get_own
from tallystick.modules.organisations.possession import check_key
from tallystick.modules.organisations.queries import keys_of
from tallystick.modules.organisations.records import KEYS, ORGANISATIONS, Hash
from tallystick.modules.organisations.rejections import LAST_SECURITY_KEY, ONE_SYSTEM_KEY


class RevokeKey(Message, kw_only=True, tag="revoke_key"):
    """Revoke a key.

    Attributes:
        key: public key, hex.
    """

    key: Hash


class KeyRevoked(Event, kw_only=True, tag="key_revoked"):
    """A key is no longer good."""

    organisation: str
    key: str


def validate(msg: RevokeKey) -> None:
    """Check the form of the key."""
    check_key(msg.key)


def apply(state: State, ctx: Context, msg: RevokeKey) -> list[Event]:
    """Mark the key revoked and take it off its organisation's list."""
    # READ
    organisation = get_own(state, ctx)
    # CHECK
    record = get_held(state, organisation, msg.key)
    if "system" in record.roles:
        raise ONE_SYSTEM_KEY(organisation=ctx.organisation)
    if "security" in record.roles and len(keys_of(state, ctx.organisation, "security")) == 1:
        raise LAST_SECURITY_KEY(organisation=ctx.organisation)
    # WRITE
    state.put(KEYS, msg.key, msgspec.structs.replace(record, revoked_at=ctx.time))
    keys = tuple(key for key in organisation.keys if key != msg.key)
    state.put(ORGANISATIONS, ctx.organisation, msgspec.structs.replace(organisation, keys=keys))
    # EVENTS
    return [KeyRevoked(organisation=ctx.organisation, key=msg.key)]


OPERATION = Operation(RevokeKey, "security", validate, apply, "declare a key of one's own no longer good")
