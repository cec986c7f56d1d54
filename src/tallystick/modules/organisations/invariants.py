"""What is always true of a zone and its members; run by property tests and by `tally ledger check`."""

from __future__ import annotations

from tallystick.machine import State
from tallystick.modules.organisations.queries import find_handover, get_zone, ordering, seatings
from tallystick.modules.organisations.records import (
    CANDIDATES,
    CONSENSUS_KEYS,
    ENGINES,
    KEY_ROLES,
    KEYS,
    MAX_KEYS,
    MOTIONS,
    ORGANISATIONS,
    RECOVERIES,
    RECOVERY_ROLE,
    ZONE,
    Key,
    Organisation,
)


def zone_is_one(state: State) -> list[str]:
    """There is one zone; its orderer is a member, active and a validator; its validators are members."""
    keys = [key for key, _ in state.scan(ZONE)]
    if keys != ["zone"]:
        return ["zone: there is not exactly one record"]
    zone = get_zone(state)
    broken: list[str] = []
    if list(zone.validators) != sorted(dict.fromkeys(zone.validators)) or not set(ordering(zone)) <= set(
        zone.validators
    ):
        broken.append("zone/zone: its validators are not sorted, or who orders is none")
    for validator in zone.validators:
        if not state.has(ORGANISATIONS, validator):
            broken.append(f"zone/zone: the validator {validator} is no member")
    for orderer in ordering(zone):
        found = state.find(ORGANISATIONS, orderer)
        if found is None or found.status != "active":
            broken.append(f"zone/zone: {orderer}, which orders, is not an active member")
    return broken


def members_hold_their_keys(state: State) -> list[str]:
    """Every member has a security key, one system key and a recovery key, and lists exactly its active keys."""
    active: dict[str, list[tuple[str, Key]]] = {}
    broken: list[str] = []
    for key, record in state.scan(KEYS):
        broken += [f"keys/{key}: {fault}" for fault in _key_faults(state, record)]
        if record.revoked_at is None:
            active.setdefault(record.organisation, []).append((key, record))
    for identifier, organisation in state.scan(ORGANISATIONS):
        faults = _member_faults(organisation, active.get(identifier, []))
        if organisation.organisation != identifier:
            faults.append("its key is not its id")
        broken += [f"organisations/{identifier}: {fault}" for fault in faults]
    return broken


def _key_faults(state: State, record: Key) -> list[str]:
    faults: list[str] = []
    if not state.has(ORGANISATIONS, record.organisation):
        faults.append("its organisation is no member")
    if record.revoked_at is not None and record.revoked_at < record.added_at:
        faults.append("it was revoked before it was added")
    known = all(role in KEY_ROLES for role in record.roles) or record.roles == (RECOVERY_ROLE,)
    if not record.roles or not known or list(record.roles) != sorted(dict.fromkeys(record.roles)):
        faults.append("its roles are not in order")
    return faults


def _member_faults(organisation: Organisation, active: list[tuple[str, Key]]) -> list[str]:
    faults: list[str] = []
    working = [key for key, record in active if record.roles != (RECOVERY_ROLE,)]
    recovery = [key for key, record in active if record.roles == (RECOVERY_ROLE,)]
    roles = [role for _, record in active for role in record.roles]
    if list(organisation.keys) != working:
        faults.append("it does not list exactly its active keys")
    if recovery != [organisation.recovery]:
        faults.append("its recovery key is not the one on record")
    if "security" not in roles:
        faults.append("it has no security key")
    if roles.count("system") != 1:
        faults.append("it has not exactly one system key")
    if len(working) > MAX_KEYS:
        faults.append("it has too many keys")
    if (organisation.status == "suspended") != (organisation.suspended_at is not None):
        faults.append("its status and its time of suspension disagree")
    return faults


def votes_are_in_order(state: State) -> list[str]:
    """Only members voted, each once a round, not on themselves; what carried did so at a time.

    Who voted was a validator then, which the record alone does not tell once the validators have changed.
    """
    broken: list[str] = []
    for key, candidate in state.scan(CANDIDATES):
        carried = candidate.status == "admitted"
        faults = _vote_faults(state, candidate.votes, carried, candidate.admitted_at)
        if carried and not state.has(ORGANISATIONS, candidate.organisation):
            faults.append("it was admitted, but is no member")
        broken += [f"candidates/{key}: {fault}" for fault in faults]
    for key, motion in state.scan(MOTIONS):
        faults = _vote_faults(state, motion.votes, motion.status == "carried", motion.carried_at)
        if motion.organisation in motion.votes:
            faults.append("its votes are not of others")
        broken += [f"motions/{key}: {fault}" for fault in faults]
    return broken


def _vote_faults(state: State, votes: tuple[str, ...], carried: bool, at: int | None) -> list[str]:
    faults: list[str] = []
    if (
        not votes
        or len(votes) != len(dict.fromkeys(votes))
        or not all(state.has(ORGANISATIONS, vote) for vote in votes)
    ):
        faults.append("its votes are not of members, each once")
    if carried != (at is not None):
        faults.append("its status and its end disagree")
    return faults


def engines_hold_their_keys(state: State) -> list[str]:
    """Who orders together has an engine; each engine has the one key of its organisation that is not retired."""
    broken: list[str] = []
    zone = get_zone(state)
    if not zone.orderer:
        broken += [
            f"engines/{name}: there is none, though it orders"
            for name in zone.validators
            if not state.has(ENGINES, name)
        ]
    live = {key: record for key, record in state.scan(CONSENSUS_KEYS) if record.retired_at is None}
    engines = dict(state.scan(ENGINES))
    for name, engine in engines.items():
        key = live.pop(engine.consensus, None)
        if engine.organisation != name or key is None or key.organisation != name:
            broken.append(f"engines/{name}: its consensus key is not on record as its own")
        if not state.has(ORGANISATIONS, name):
            broken.append(f"engines/{name}: its organisation is no member")
    broken += [f"consensus_keys/{key}: it is not retired, but no engine has it" for key in live]
    if len({engine.node for engine in engines.values()}) != len(engines):
        broken.append("engines: two have the same node id")
    return broken


def handover_holds(state: State) -> list[str]:
    """The order was handed over exactly when nobody orders alone any more, by all that have a seat."""
    handover = find_handover(state)
    if handover is None:
        return []
    names = tuple(seat.organisation for seat in handover.seats)
    done = handover.status == "done"
    broken: list[str] = []
    if done and (set(handover.votes) != set(names) or get_zone(state).orderer):
        broken.append("handovers/zone: it is done, but not agreed to by all, or one orders alone")
    if done != (handover.height is not None) or done != (handover.done_at is not None):
        broken.append("handovers/zone: its status and its end disagree")
    if len(set(handover.votes)) != len(handover.votes) or not set(handover.votes) <= set(names):
        broken.append("handovers/zone: its votes are not of those with a seat, each once")
    return broken


def pointers_hold(state: State) -> list[str]:
    """A member points at the recovery that waits and at the motion that is open, and each at most one."""
    waiting = {key: recovery for key, recovery in state.scan(RECOVERIES) if recovery.status == "waiting"}
    broken: list[str] = []
    for identifier, organisation in state.scan(ORGANISATIONS):
        own = [key for key, recovery in waiting.items() if recovery.organisation == identifier]
        if own != ([] if organisation.recovering is None else [organisation.recovering]):
            broken.append(f"organisations/{identifier}: it does not point at the recovery that waits")
        motion = None if organisation.motion is None else state.find(MOTIONS, organisation.motion)
        expected = "suspend" if organisation.status == "active" else "reinstate"
        broken += _seat_motion_faults(state, identifier, organisation)
        if organisation.motion is not None and (
            motion is None or motion.status != "open" or motion.organisation != identifier
        ):
            broken.append(f"organisations/{identifier}: it does not point at an open motion")
        elif motion is not None and motion.question != expected:
            broken.append(f"organisations/{identifier}: the motion asks for what is so already")
    for key, recovery in state.scan(RECOVERIES):
        if (recovery.status == "waiting") != (recovery.ended_at is None):
            broken.append(f"recoveries/{key}: its status and its end disagree")
    return broken


def seats_are_taken(state: State) -> list[str]:
    """The last seating is of those who order together, with the keys of their engines; there is none before."""
    zone = get_zone(state)
    listed = seatings(state)
    if zone.orderer:
        return ["seatings: there are some, but one organisation orders alone"] if listed else []
    now = [(name, engine.consensus) for name in zone.validators if (engine := state.find(ENGINES, name)) is not None]
    if not listed or [(seat.organisation, seat.consensus) for seat in listed[-1][1].seats] != now:
        return ["seatings: the last is not of those who order"]
    return []


def _seat_motion_faults(state: State, identifier: str, organisation: Organisation) -> list[str]:
    if organisation.seat_motion is None:
        return []
    motion = state.find(MOTIONS, organisation.seat_motion)
    expected = "demote" if identifier in get_zone(state).validators else "promote"
    if motion is None or (motion.status, motion.organisation, motion.question) != ("open", identifier, expected):
        return [f"organisations/{identifier}: it does not point at an open motion on its place"]
    return []


INVARIANTS = (
    zone_is_one,
    members_hold_their_keys,
    votes_are_in_order,
    pointers_hold,
    engines_hold_their_keys,
    handover_holds,
    seats_are_taken,
)
