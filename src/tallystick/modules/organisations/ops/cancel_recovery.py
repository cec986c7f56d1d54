"""cancel_recovery: a security key of the organisation stops a recovery that waits.

Contract: the recovery is the one that waits; it can be cancelled until it is finished, also after its waiting period.
This is the answer to a stolen recovery key; the answer to stolen security keys that cancel is suspension by the
validators, under which a recovery still runs.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.membership import get_own
from tallystick.modules.organisations.records import ORGANISATIONS, RECOVERIES
from tallystick.modules.organisations.rejections import NO_RECOVERY


class CancelRecovery(Message, kw_only=True, tag="cancel_recovery"):
    """Stop a recovery.

    Attributes:
        recovery: its id.
    """

    recovery: Annotated[str, msgspec.Meta(max_length=60)]


class RecoveryCancelled(Event, kw_only=True, tag="recovery_cancelled"):
    """A recovery was stopped; the keys stay as they are."""

    organisation: str
    recovery: str


def validate(msg: CancelRecovery) -> None:
    """Accept any id; whether it waits is seen in the state."""


def apply(state: State, ctx: Context, msg: CancelRecovery) -> list[Event]:
    """Mark the recovery cancelled."""
    # READ
    organisation = get_own(state, ctx)
    # CHECK
    if organisation.recovering is None or organisation.recovering != msg.recovery:
        raise NO_RECOVERY(organisation=ctx.organisation)
    # WRITE
    recovery = state.get(RECOVERIES, msg.recovery)
    state.put(RECOVERIES, msg.recovery, msgspec.structs.replace(recovery, status="cancelled", ended_at=ctx.time))
    state.put(ORGANISATIONS, ctx.organisation, msgspec.structs.replace(organisation, recovering=None))
    # EVENTS
    return [RecoveryCancelled(organisation=ctx.organisation, recovery=msg.recovery)]


OPERATION = Operation(CancelRecovery, "security", validate, apply, "stop a recovery that waits")
