"""The routes, a file for each group of nouns; every handler calls one use case and returns what it says."""

from tallystick.api.routes import (
    agreements,
    datasets,
    deliveries,
    events,
    evidence,
    keys,
    members,
    records,
    requests,
    zone,
)
from tallystick.api.routing import Route

ALL: tuple[Route, ...] = tuple(
    route
    for module in (zone, members, datasets, requests, agreements, deliveries, evidence, records, events, keys)
    for route in module.routes.found
)
TAGS: dict[str, str] = {
    module.routes.tag: (module.__doc__ or "").strip()
    for module in (zone, members, datasets, requests, agreements, deliveries, evidence, records, events, keys)
}

__all__ = ["ALL", "TAGS"]
