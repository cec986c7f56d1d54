"""finish_recovery: after the waiting period the recovery key installs the keys that it announced.

Contract: the recovery is the one that waits and its period is over. All keys that the organisation held are revoked,
the announced ones take their place, and the recovery key too where a next one was announced. Whether the
organisation is suspended does not change.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.membership import check_free, get_own
from tallystick.modules.organisations.records import KEYS, ORGANISATIONS, RECOVERIES, RECOVERY_ROLE, Key
from tallystick.modules.organisations.rejections import NO_RECOVERY, RECOVERY_NOT_READY


class FinishRecovery(Message, kw_only=True, tag="finish_recovery"):
    """Install the announced keys.

    Attributes:
        recovery: id of the recovery.
    """

    recovery: Annotated[str, msgspec.Meta(max_length=60)]


class RecoveryFinished(Event, kw_only=True, tag="recovery_finished"):
    """All keys of an organisation were replaced."""

    organisation: str
    recovery: str
    keys: tuple[str, ...]
    revoked: tuple[str, ...]


def validate(msg: FinishRecovery) -> None:
    """Accept any id; whether it waits is seen in the state."""


def apply(state: State, ctx: Context, msg: FinishRecovery) -> list[Event]:
    """Revoke every old key and register the announced ones."""
    # READ
    organisation = get_own(state, ctx)
    # CHECK
    if organisation.recovering is None or organisation.recovering != msg.recovery:
        raise NO_RECOVERY(organisation=ctx.organisation)
    recovery = state.get(RECOVERIES, msg.recovery)
    if ctx.time < recovery.ready_at:
        raise RECOVERY_NOT_READY(ready_at=recovery.ready_at)
    check_free(state, [new.key for new in recovery.keys])
    if recovery.recovery is not None:
        check_free(state, (recovery.recovery,))
    # WRITE
    revoked = organisation.keys if recovery.recovery is None else (*organisation.keys, organisation.recovery)
    for key in revoked:
        state.put(KEYS, key, msgspec.structs.replace(state.get(KEYS, key), revoked_at=ctx.time))
    installed = [(new.key, new.roles) for new in recovery.keys]
    if recovery.recovery is not None:
        installed.append((recovery.recovery, (RECOVERY_ROLE,)))
    for key, roles in installed:
        state.put(KEYS, key, Key(organisation=ctx.organisation, roles=roles, added_at=ctx.time))
    state.put(RECOVERIES, msg.recovery, msgspec.structs.replace(recovery, status="finished", ended_at=ctx.time))
    keys = tuple(new.key for new in recovery.keys)
    renewed = msgspec.structs.replace(
        organisation, keys=keys, recovery=recovery.recovery or organisation.recovery, recovering=None
    )
    state.put(ORGANISATIONS, ctx.organisation, renewed)
    # EVENTS
    return [RecoveryFinished(organisation=ctx.organisation, recovery=msg.recovery, keys=keys, revoked=revoked)]


OPERATION = Operation(FinishRecovery, RECOVERY_ROLE, validate, apply, "install the announced keys after the wait")
