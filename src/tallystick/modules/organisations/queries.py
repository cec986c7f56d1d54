"""Reading the zone and its members. `find_x` returns None where there is nothing; `get_x` raises."""

from __future__ import annotations

from typing import NamedTuple

from tallystick.machine import State
from tallystick.modules.organisations.engines import seating_key
from tallystick.modules.organisations.records import (
    CANDIDATES,
    ENGINES,
    HANDOVERS,
    KEYS,
    ORGANISATIONS,
    RECOVERIES,
    SEATINGS,
    ZONE,
    ZONE_KEY,
    Candidate,
    Engine,
    Handover,
    Key,
    Organisation,
    Recovery,
    Seating,
    Zone,
)


class Member(NamedTuple):
    """An active organisation and its system key, hex: what the trust file names."""

    organisation: str
    key: str


def get_zone(state: State) -> Zone:
    """Return the zone's own record.

    Raises:
        KeyError: the state has no genesis.
    """
    return state.get(ZONE, ZONE_KEY)


def find_organisation(state: State, organisation: str) -> Organisation | None:
    """Return a member as it is now."""
    return state.find(ORGANISATIONS, organisation)


def is_active(state: State, organisation: str) -> bool:
    """Tell whether there is such a member and it is not suspended."""
    found = state.find(ORGANISATIONS, organisation)
    return found is not None and found.status == "active"


def find_key(state: State, key: str) -> Key | None:
    """Return what is registered of a public key (hex), revoked or not."""
    return state.find(KEYS, key)


def keys_of(state: State, organisation: str, role: str | None = None) -> list[tuple[str, Key]]:
    """Return the active keys of an organisation, by hex, its recovery key not among them.

    Args:
        state: what to read.
        organisation: its id; one that is not there has no keys.
        role: only keys that hold it.
    """
    found = state.find(ORGANISATIONS, organisation)
    keys = [] if found is None else [(key, state.get(KEYS, key)) for key in found.keys]
    return [(key, record) for key, record in keys if role is None or role in record.roles]


def system_key(state: State, organisation: str) -> str:
    """Return the one key with which an organisation signs headers and checkpoints, hex.

    Raises:
        KeyError: there is no such organisation.
    """
    for key, _ in keys_of(state, organisation, "system"):
        return key
    raise KeyError(organisation)


def members(state: State) -> list[Member]:
    """Return the active organisations with their system keys, by id."""
    return [
        Member(organisation, system_key(state, organisation))
        for organisation, record in state.scan(ORGANISATIONS)
        if record.status == "active"
    ]


def validators(state: State) -> list[Member]:
    """Return the organisations that order, with their system keys, by id; one in a zone on the embedded engine."""
    zone = get_zone(state)
    return [Member(organisation, system_key(state, organisation)) for organisation in ordering(zone)]


def ordering(zone: Zone) -> tuple[str, ...]:
    """Return the ids of those who order, sorted."""
    return (zone.orderer,) if zone.orderer else zone.validators


def open_candidates(state: State, now_ms: int) -> list[tuple[str, Candidate]]:
    """Return the cards being voted on, by fingerprint; those whose round has closed are left out."""
    return [
        (fingerprint, candidate)
        for fingerprint, candidate in state.scan(CANDIDATES)
        if candidate.status == "open" and now_ms <= candidate.closes_at
    ]


def find_recovery(state: State, organisation: str) -> tuple[str, Recovery] | None:
    """Return the id and record of the recovery that waits, if one does."""
    found = state.find(ORGANISATIONS, organisation)
    if found is None or found.recovering is None:
        return None
    return found.recovering, state.get(RECOVERIES, found.recovering)


def engines(state: State) -> list[Engine]:
    """Return the distributed engines that members have announced, by organisation."""
    return [engine for _, engine in state.scan(ENGINES)]


def find_engine(state: State, organisation: str) -> Engine | None:
    """Return the engine that an organisation has announced."""
    return state.find(ENGINES, organisation)


def seatings(state: State) -> list[tuple[int, Seating]]:
    """Return who ordered together, each with the height of the block after which they did, oldest first."""
    return [(int(key), seating) for key, seating in state.scan(SEATINGS)]


def find_seating(state: State, height: int) -> Seating | None:
    """Return who orders together from the block after a height on, if this block changed it."""
    return state.find(SEATINGS, seating_key(height))


def find_handover(state: State) -> Handover | None:
    """Return the passing of the order to all validators: asked for, or done."""
    return state.find(HANDOVERS, ZONE_KEY)


def handed_over_at(state: State) -> int | None:
    """Return the block in which the order was handed over to all validators; None where that did not happen."""
    handover = find_handover(state)
    return None if handover is None else handover.height
