"""The business areas of a zone, a room each. A room's README is its specification.

Rules of this room:

- A module writes to its own collections only, and reads another module through the Protocol in its own `ports.py`.
- One operation, one file; every `apply` reads, checks, writes, and returns events, in this order.
- Everything here is a function of the state and the `Context`: no clock, chance, float, or order that nothing defines.
"""

from functools import lru_cache

from tallystick.machine import Rulebook
from tallystick.modules import agreements, catalogue, deliveries, evidence, organisations
from tallystick.modules.organisations.genesis import Genesis, decode_genesis, genesis_writes, make_genesis

__all__ = ["Genesis", "decode_genesis", "genesis_writes", "make_genesis", "rulebook"]


@lru_cache(maxsize=1)
def rulebook() -> Rulebook:
    """Return all modules of the house, with registered keys as the authority on who may sign."""
    modules = (organisations.MODULE, catalogue.MODULE, agreements.MODULE, deliveries.MODULE, evidence.MODULE)
    return Rulebook(modules, organisations.AUTHORITY)
