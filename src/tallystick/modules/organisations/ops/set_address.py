"""set_address: an organisation says where its node listens.

Contract: `host:port`, or empty where nothing can connect to it; that it can be reached is not checked.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.codec import MalformedError
from tallystick.codec.cards import check_address
from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.membership import get_own
from tallystick.modules.organisations.records import ORGANISATIONS
from tallystick.modules.organisations.rejections import BAD_ADDRESS, NOTHING_CHANGES


class SetAddress(Message, kw_only=True, tag="set_address"):
    """Replace the address.

    Attributes:
        address: `host:port`, or empty.
    """

    address: Annotated[str, msgspec.Meta(max_length=260)]


class AddressSet(Event, kw_only=True, tag="address_set"):
    """An organisation's node listens elsewhere."""

    organisation: str
    address: str


def validate(msg: SetAddress) -> None:
    """Check the form of the address."""
    try:
        check_address(msg.address)
    except MalformedError:
        raise BAD_ADDRESS() from None


def apply(state: State, ctx: Context, msg: SetAddress) -> list[Event]:
    """Put the new address in place of the old."""
    # READ
    organisation = get_own(state, ctx)
    # CHECK
    if organisation.address == msg.address:
        raise NOTHING_CHANGES()
    # WRITE
    state.put(ORGANISATIONS, ctx.organisation, msgspec.structs.replace(organisation, address=msg.address))
    # EVENTS
    return [AddressSet(organisation=ctx.organisation, address=msg.address)]


OPERATION = Operation(SetAddress, "system", validate, apply, "say where one's node listens")
