"""What a node hangs on its side of the engine to see how it does; nothing that is decided depends on any of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from tallystick.ordering.cometbft.blocks import Misbehaviour
from tallystick.ordering.meter import Meter, NoMeter

log = structlog.get_logger("engine")


def _log_misbehaviour(found: Sequence[Misbehaviour], height: int, time: int) -> None:
    del height, time
    for item in found:
        log.warning("validator_misbehaved", **item._asdict())


def _keep_all(height: int, time: int) -> int:
    del height, time
    return 0


@dataclass(frozen=True)
class Oversight:
    """How a node looks after its engine.

    Attributes:
        meter: takes measurements.
        misbehaved: told what a block says of validators, before the block is committed, with its height and time; what it
            raises stops the commit.
        retain: gives the lowest height that the engine must keep after a block of a height and time, 0 for all
            (`retention`).
    """

    meter: Meter = field(default_factory=NoMeter)
    misbehaved: Callable[[Sequence[Misbehaviour], int, int], None] = _log_misbehaviour
    retain: Callable[[int, int], int] = _keep_all
