"""What evidence reads of other modules: whether an organisation is a member."""

from __future__ import annotations

from typing import Protocol

from tallystick.machine import State
from tallystick.modules.organisations import queries as _organisations
from tallystick.modules.organisations.records import Organisation


class Members(Protocol):
    """The members of the zone; read only."""

    def find_organisation(self, state: State, organisation: str) -> Organisation | None:
        """Return a member as it is now."""


MEMBERS: Members = _organisations
