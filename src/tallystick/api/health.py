"""Whether this node can do its work, and if not, why.

`/healthz` says whether it lives: this process and its core answer. `/readyz` says whether it does all that a node is
there for; each reason why not is named, and nothing in it is secret, for nobody needs a key to ask.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tallystick.api.services import ApiServices
from tallystick.errors import NodeError
from tallystick.views import CoreStatus

MOST_LAG = 100
"""Blocks that a copy may be behind the zone and still be called ready."""
LEAST_FREE_BYTES = 4 << 20
"""Less free than this, and the next block or the next tile may not be written."""
CORE_IS_SILENT = "the core does not answer"
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

    async def core_answers(self) -> bool:
        """Tell whether the core says anything at all."""
        return await self._status() is not None

    async def report(self) -> HealthReport:
        """Return how this node does."""
        status = await self._status()
        if status is None:
            return HealthReport((CORE_IS_SILENT,))
        lag = self._services.lag()
        troubles = []
        if status.alarm is not None:
            troubles.append("the orderer is not trusted any more: see the node's status")
        if status.held:
            troubles.append("restored from a backup, asking the witnesses")
        if status.engine is not None and status.engine.trouble:
            troubles.append(status.engine.trouble)
        if lag > MOST_LAG:
            troubles.append(f"the copy is {lag} blocks behind")
        if self._services.disk is not None:
            free = (await self._services.disk()).free
            if free < LEAST_FREE_BYTES:
                troubles.append(f"the disk is full: {free >> 10} KiB are left")
        return HealthReport(tuple(troubles), status.height, lag)

    async def _status(self) -> CoreStatus | None:
        try:
            return await asyncio.wait_for(self._services.status(), _CORE_SECONDS)
        except (NodeError, TimeoutError):
            return None
