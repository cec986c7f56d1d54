"""Use cases that only read answer at once, those that act are awaited; routes need not know which is which."""

from __future__ import annotations

import inspect
from typing import Any


async def settle(result: Any) -> Any:
    """Return a result, waiting for it where it is still to come."""
    return await result if inspect.isawaitable(result) else result
