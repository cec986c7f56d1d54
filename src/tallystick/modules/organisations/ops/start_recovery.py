"""start_recovery: the offline recovery key announces new keys for its organisation.

Contract: signed by the recovery key, which is good for nothing else; no other recovery waits; the new keys were never
registered and each signed for this organisation and zone; among them are a security key and exactly one system key.
Nothing changes yet: a security key may cancel within the waiting period, a parameter of the zone.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.machine import Context, Event, Message, Operation, Record, State
from tallystick.modules.organisations.membership import check_free, get_own
from tallystick.modules.organisations.possession import check_key, check_possession, check_proof_form, check_roles
from tallystick.modules.organisations.records import (
    MAX_KEYS,
    ORGANISATIONS,
    RECOVERIES,
    RECOVERY_ROLE,
    Hash,
    RecoveredKey,
    Recovery,
    Roles,
    Signature,
)
from tallystick.modules.organisations.rejections import BAD_KEY, BAD_ROLES, RECOVERY_WAITS


class NewKey(Record, kw_only=True):
    """A key to install.

    Attributes:
        key: Ed25519 public key, hex.
        roles: sorted.
        proof: signature of `possession_message(..., recovery=True)` by that key, hex.
    """

    key: Hash
    roles: Roles
    proof: Signature


class NewRecoveryKey(Record, kw_only=True):
    """The next recovery key, with its proof as in `NewKey`."""

    key: Hash
    proof: Signature


class StartRecovery(Message, kw_only=True, tag="start_recovery"):
    """Announce a replacement of all keys.

    Attributes:
        keys: what will be installed, sorted by key.
        recovery: the next recovery key; left out, this one stays.
    """

    keys: Annotated[tuple[NewKey, ...], msgspec.Meta(min_length=1, max_length=MAX_KEYS)]
    recovery: NewRecoveryKey | None = None


class RecoveryStarted(Event, kw_only=True, tag="recovery_started"):
    """New keys were announced; from `ready_at` (ms) they can be installed."""

    organisation: str
    recovery: str
    ready_at: int


def validate(msg: StartRecovery) -> None:
    """Check forms and order, and that the new keys can carry an organisation."""
    for new in msg.keys:
        check_key(new.key)
        check_roles(new.roles)
        check_proof_form(new.proof)
    keys = [new.key for new in msg.keys]
    if msg.recovery is not None:
        check_key(msg.recovery.key, "recovery")
        check_proof_form(msg.recovery.proof)
        if msg.recovery.key in keys:
            raise BAD_KEY(field="recovery")
    if keys != sorted(dict.fromkeys(keys)):
        raise BAD_KEY(field="keys")
    roles = [role for new in msg.keys for role in new.roles]
    if "security" not in roles or roles.count("system") != 1:
        raise BAD_ROLES()


def apply(state: State, ctx: Context, msg: StartRecovery) -> list[Event]:
    """Record the recovery and when it may be finished."""
    # READ
    organisation = get_own(state, ctx)
    # CHECK
    if organisation.recovering is not None:
        raise RECOVERY_WAITS(recovery=organisation.recovering)
    proofs = [(new.key, new.proof) for new in msg.keys]
    if msg.recovery is not None:
        proofs.append((msg.recovery.key, msg.recovery.proof))
    check_free(state, [key for key, _ in proofs])
    for key, proof in proofs:
        check_possession(ctx.chain, ctx.organisation, key, proof, recovery=True)
    # WRITE
    identifier = ctx.new_id(state, RECOVERIES, "rec")
    recovery = Recovery(
        organisation=ctx.organisation,
        keys=tuple(RecoveredKey(key=new.key, roles=new.roles) for new in msg.keys),
        recovery=None if msg.recovery is None else msg.recovery.key,
        started_at=ctx.time,
        ready_at=ctx.time + ctx.parameters.recovery_wait_ms,
        status="waiting",
    )
    state.put(RECOVERIES, identifier, recovery)
    state.put(ORGANISATIONS, ctx.organisation, msgspec.structs.replace(organisation, recovering=identifier))
    # EVENTS
    return [RecoveryStarted(organisation=ctx.organisation, recovery=identifier, ready_at=recovery.ready_at)]


OPERATION = Operation(StartRecovery, RECOVERY_ROLE, validate, apply, "announce new keys, by the recovery key")
