"""set_tls_pins: an organisation says which TLS keys its node may show.

Contract: peers trust only these from then on; an empty list means that nobody can connect, not that anything will do.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.codec import MalformedError
from tallystick.codec.cards import MAX_PINS, check_pins
from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.membership import get_own
from tallystick.modules.organisations.records import ORGANISATIONS, Hash
from tallystick.modules.organisations.rejections import BAD_PINS, NOTHING_CHANGES


class SetTlsPins(Message, kw_only=True, tag="set_tls_pins"):
    """Replace the TLS key pins.

    Attributes:
        pins: SHA-256 of SubjectPublicKeyInfo, hex, sorted; at most 8.
    """

    pins: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=MAX_PINS)]


class TlsPinsSet(Event, kw_only=True, tag="tls_pins_set"):
    """An organisation has other TLS key pins."""

    organisation: str
    pins: tuple[str, ...]


def validate(msg: SetTlsPins) -> None:
    """Check that the pins are sorted hashes."""
    try:
        check_pins(msg.pins)
    except MalformedError:
        raise BAD_PINS() from None


def apply(state: State, ctx: Context, msg: SetTlsPins) -> list[Event]:
    """Put the new pins in place of the old."""
    # READ
    organisation = get_own(state, ctx)
    # CHECK
    if organisation.tls_pins == msg.pins:
        raise NOTHING_CHANGES()
    # WRITE
    state.put(ORGANISATIONS, ctx.organisation, msgspec.structs.replace(organisation, tls_pins=msg.pins))
    # EVENTS
    return [TlsPinsSet(organisation=ctx.organisation, pins=msg.pins)]


OPERATION = Operation(SetTlsPins, "system", validate, apply, "say which TLS keys one's node may show")
