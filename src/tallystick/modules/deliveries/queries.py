"""Reading deliveries."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.machine import State
from tallystick.modules.deliveries.records import DELIVERIES, Delivery


def find_delivery(state: State, delivery: str) -> Delivery | None:
    """Return a delivery."""
    return state.find(DELIVERIES, delivery)


def deliveries_under(state: State, agreement: str) -> Iterator[tuple[str, Delivery]]:
    """Yield (id, delivery) of the deliveries under an agreement, in order of id."""
    for key, delivery in state.scan(DELIVERIES):
        if delivery.agreement == agreement:
            yield key, delivery
