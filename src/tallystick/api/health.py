"""Whether this node can do its work, and if not, why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tallystick.api.services import ApiServices
from tallystick.errors import NodeError

MOST_LAG = 100
"""Blocks that a copy may be behind the zone and still be called ready."""
_CORE_SECONDS = 3.0


@dataclass(frozen=True)
class HealthReport:
    """What `/readyz` says: ready, or the troubles in plain words."""

    troubles: tuple[str, ...]
    height: int = 0
    lag: int = 0

    @property
    def ready(self) -> bool:
        """Whether there is no trouble."""
        return not self.troubles

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        status = "ready" if self.ready else "not ready"
        return {"status": status, "troubles": list(self.troubles), "height": self.height, "lag": self.lag}


class Health:
    """Asks the parts of this node how they do."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    async def report(self) -> HealthReport:
        """Return how this node does; says nothing that is secret, for nobody needs a key to ask."""
        try:
            status = await asyncio.wait_for(self._services.status(), _CORE_SECONDS)
        except (NodeError, TimeoutError):
            return HealthReport(("the core does not answer",))
        lag = self._services.lag()
        troubles = []
        if status.alarm is not None:
            troubles.append("the orderer is not trusted any more: see the node's status")
        if status.held:
            troubles.append("restored from a backup, asking the witnesses")
        if lag > MOST_LAG:
            troubles.append(f"the copy is {lag} blocks behind")
        return HealthReport(tuple(troubles), status.height, lag)
