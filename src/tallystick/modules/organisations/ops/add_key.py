"""add_key: an organisation registers a further key of its own.

Contract: the key was never registered by anybody, its holder signed for this organisation and zone, and it is not a
second system key. It is good from the next transaction on.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.membership import check_free, check_room, get_own
from tallystick.modules.organisations.possession import check_key, check_possession, check_proof_form, check_roles
from tallystick.modules.organisations.records import KEYS, ORGANISATIONS, Hash, Key, Roles, Signature
from tallystick.modules.organisations.rejections import ONE_SYSTEM_KEY


class AddKey(Message, kw_only=True, tag="add_key"):
    """Register a key.

    Attributes:
        key: Ed25519 public key, hex.
        roles: sorted.
        proof: signature of `possession_message` by the new key, hex.
    """

    key: Hash
    roles: Roles
    proof: Signature


class KeyAdded(Event, kw_only=True, tag="key_added"):
    """A key was registered."""

    organisation: str
    key: str
    roles: tuple[str, ...]


def validate(msg: AddKey) -> None:
    """Check the forms of key, roles and proof."""
    check_key(msg.key)
    check_roles(msg.roles)
    check_proof_form(msg.proof)


def apply(state: State, ctx: Context, msg: AddKey) -> list[Event]:
    """Register the key and list it with its organisation."""
    # READ
    organisation = get_own(state, ctx)
    # CHECK
    check_free(state, (msg.key,))
    check_room(organisation)
    if "system" in msg.roles:
        raise ONE_SYSTEM_KEY(organisation=ctx.organisation)
    check_possession(ctx.chain, ctx.organisation, msg.key, msg.proof)
    # WRITE
    state.put(KEYS, msg.key, Key(organisation=ctx.organisation, roles=msg.roles, added_at=ctx.time))
    keys = tuple(sorted((*organisation.keys, msg.key)))
    state.put(ORGANISATIONS, ctx.organisation, msgspec.structs.replace(organisation, keys=keys))
    # EVENTS
    return [KeyAdded(organisation=ctx.organisation, key=msg.key, roles=msg.roles)]


OPERATION = Operation(AddKey, "security", validate, apply, "register a further key of one's own")
