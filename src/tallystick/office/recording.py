"""Recording on the ledger: submit one operation, wait until it is in this node's own copy, and read what it caused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tallystick.ledger import Gathering, Ledger
from tallystick.machine import Message, State
from tallystick.views import Recorded

_EVENTS_AT_A_TIME = 500


class Done(NamedTuple):
    """An operation on the ledger and the events that it caused."""

    recorded: Recorded
    events: tuple[dict[str, Any], ...]

    def event(self, kind: str) -> dict[str, Any] | None:
        """Return the event of a type, or None."""
        return next((event for event in self.events if event["type"] == kind), None)

    def new_id(self, kind: str, field: str) -> str:
        """Return a field of the event that names the record which the operation made."""
        event = self.event(kind)
        assert event is not None  # noqa: S101 - an accepted operation of that type always causes it
        return str(event[field])


class Recorder:
    """The ledger as the parts of the office use it."""

    def __init__(self, ledger: Ledger, clock_ms: Callable[[], int]) -> None:
        self.ledger = ledger
        self._gathering = Gathering(ledger)
        self.organisation = ledger.organisation
        self.clock_ms = clock_ms

    def state(self) -> State:
        """Return the records as of the last block of this node's copy."""
        return self.ledger.state()

    def now(self) -> int:
        """Return the time that deadlines are judged by: this node's clock or the last block's, whichever is later.

        A clock that is behind never makes an ended agreement look alive, and a copy that is behind neither.
        """
        return max(self.clock_ms(), self.ledger.head()[3])

    async def record(self, message: Message, *, role: str = "service") -> Done:
        """Submit one operation, together with others of the same moment (`ledger.gathering`).

        Raises:
            RejectedError: it was rejected; nothing changed.
            NodeError: it could not be submitted, or the answer was lost.
        """
        place = await self._gathering.record(message, role=role)
        recorded = Recorded(
            transaction=place.transaction.hex(), index=place.position, height=place.height, leaf=place.leaf
        )
        return Done(recorded, self._events_of(place.leaf, place.height))

    def _events_of(self, leaf: int, height: int) -> tuple[dict[str, Any], ...]:
        found: list[dict[str, Any]] = []
        events = self.ledger.events_from(height, _EVENTS_AT_A_TIME)
        while events:
            found += [event.body for event in events if event.leaf == leaf]
            if events[-1].leaf > leaf:
                break
            events = self.ledger.events(events[-1].sequence, _EVENTS_AT_A_TIME)
        return tuple(found)
