"""rename_organisation: an organisation changes the name that people see; its id stays for ever.

Contract: the name is one line of 1 to 120 characters without control characters.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.codec import MalformedError
from tallystick.codec.cards import NAME_LENGTH, check_display_name
from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.membership import get_own
from tallystick.modules.organisations.records import ORGANISATIONS
from tallystick.modules.organisations.rejections import BAD_DISPLAY_NAME, NOTHING_CHANGES


class RenameOrganisation(Message, kw_only=True, tag="rename_organisation"):
    """Change one's own display name.

    Attributes:
        name: the new one.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LENGTH)]


class OrganisationRenamed(Event, kw_only=True, tag="organisation_renamed"):
    """An organisation is called otherwise."""

    organisation: str
    name: str


def validate(msg: RenameOrganisation) -> None:
    """Check that the name can be shown."""
    try:
        check_display_name(msg.name)
    except MalformedError:
        raise BAD_DISPLAY_NAME() from None


def apply(state: State, ctx: Context, msg: RenameOrganisation) -> list[Event]:
    """Put the new name in place of the old."""
    # READ
    organisation = get_own(state, ctx)
    # CHECK
    if organisation.name == msg.name:
        raise NOTHING_CHANGES()
    # WRITE
    state.put(ORGANISATIONS, ctx.organisation, msgspec.structs.replace(organisation, name=msg.name))
    # EVENTS
    return [OrganisationRenamed(organisation=ctx.organisation, name=msg.name)]


OPERATION = Operation(RenameOrganisation, "registration", validate, apply, "change one's own display name")
