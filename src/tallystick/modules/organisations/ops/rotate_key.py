"""rotate_key: an organisation replaces a key of its own by a new one with the same roles, in one step.

Contract: the old key is active, the new one was never registered and its holder signed for this organisation and zone.
There is no moment without a key in these roles; the change holds from the next transaction on.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.membership import check_free, get_held, get_own
from tallystick.modules.organisations.possession import check_key, check_possession, check_proof_form
from tallystick.modules.organisations.records import KEYS, ORGANISATIONS, Hash, Key, Signature


class RotateKey(Message, kw_only=True, tag="rotate_key"):
    """Replace a key.

    Attributes:
        old: public key that is revoked, hex.
        new: public key that takes over its roles, hex.
        proof: signature of `possession_message` by the new key, hex.
    """

    old: Hash
    new: Hash
    proof: Signature


class KeyRotated(Event, kw_only=True, tag="key_rotated"):
    """A new key took over the roles of an old one."""

    organisation: str
    old: str
    new: str
    roles: tuple[str, ...]


def validate(msg: RotateKey) -> None:
    """Check the forms of keys and proof."""
    check_key(msg.old, "old")
    check_key(msg.new, "new")
    check_proof_form(msg.proof)


def apply(state: State, ctx: Context, msg: RotateKey) -> list[Event]:
    """Revoke the old key and register the new one in its roles."""
    # READ
    organisation = get_own(state, ctx)
    # CHECK
    old = get_held(state, organisation, msg.old)
    check_free(state, (msg.new,))
    check_possession(ctx.chain, ctx.organisation, msg.new, msg.proof)
    # WRITE
    state.put(KEYS, msg.old, msgspec.structs.replace(old, revoked_at=ctx.time))
    state.put(KEYS, msg.new, Key(organisation=ctx.organisation, roles=old.roles, added_at=ctx.time))
    keys = tuple(sorted(msg.new if key == msg.old else key for key in organisation.keys))
    state.put(ORGANISATIONS, ctx.organisation, msgspec.structs.replace(organisation, keys=keys))
    # EVENTS
    return [KeyRotated(organisation=ctx.organisation, old=msg.old, new=msg.new, roles=old.roles)]


OPERATION = Operation(RotateKey, "security", validate, apply, "replace a key of one's own in one step")
