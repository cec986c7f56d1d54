"""Putting members and keys into the state: what admission, genesis and recovery have in common."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.codec.cards import Card
from tallystick.machine import Context, State
from tallystick.modules.organisations.records import (
    KEYS,
    MAX_KEYS,
    ORGANISATIONS,
    RECOVERY_ROLE,
    Key,
    Organisation,
)
from tallystick.modules.organisations.rejections import KEY_TAKEN, NOT_HELD, TOO_MANY_KEYS


def get_own(state: State, ctx: Context) -> Organisation:
    """Return the signer's own record; it exists, for the machine asked for its key's rights."""
    return state.get(ORGANISATIONS, ctx.organisation)


def roles_by_key(card: Card) -> dict[str, tuple[str, ...]]:
    """Return the keys of a card in order, each with its sorted roles."""
    roles: dict[str, tuple[str, ...]] = {}
    for entry in card.keys:
        roles[entry.key] = (*roles.get(entry.key, ()), entry.role)
    return {key: tuple(sorted(roles[key])) for key in sorted(roles)}


def check_free(state: State, keys: Iterable[str]) -> None:
    """Check that keys were never registered.

    Raises:
        RejectedError: `key_taken`, naming the first that was.
    """
    for key in keys:
        if state.has(KEYS, key):
            raise KEY_TAKEN(key=key)


def check_room(organisation: Organisation) -> None:
    """Check that an organisation may hold one more key.

    Raises:
        RejectedError: `too_many_keys`.
    """
    if len(organisation.keys) >= MAX_KEYS:
        raise TOO_MANY_KEYS(organisation=organisation.organisation, limit=MAX_KEYS)


def get_held(state: State, organisation: Organisation, key: str) -> Key:
    """Return an active key of an organisation; recovery keys are not among them.

    Raises:
        RejectedError: `not_held`.
    """
    if key not in organisation.keys:
        raise NOT_HELD(key=key, organisation=organisation.organisation)
    return state.get(KEYS, key)


def put_member(state: State, card: Card, time: int, height: int) -> None:
    """Write a new member with its keys, all checked to be free.

    Args:
        state: where to.
        card: in good form.
        time: of admission, ms.
        height: of admission; 0 for the genesis.
    """
    keys = roles_by_key(card)
    member = Organisation(
        organisation=card.organisation,
        name=card.name,
        status="active",
        keys=tuple(keys),
        recovery=card.recovery,
        encryption=card.encryption,
        tls_pins=card.tls_pins,
        address=card.address,
        admitted_at=time,
        admitted_height=height,
    )
    state.put(ORGANISATIONS, card.organisation, member)
    for key, roles in keys.items():
        state.put(KEYS, key, Key(organisation=card.organisation, roles=roles, added_at=time))
    state.put(KEYS, card.recovery, Key(organisation=card.organisation, roles=(RECOVERY_ROLE,), added_at=time))
