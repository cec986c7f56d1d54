"""Reading evidence. `find_x` returns None where there is nothing."""

from __future__ import annotations

from tallystick.machine import State
from tallystick.modules.evidence.records import EVIDENCE, SUPERSESSIONS, Evidence


def find_evidence(state: State, evidence: str) -> Evidence | None:
    """Return evidence by its id."""
    return state.find(EVIDENCE, evidence)


def superseded_by(state: State, evidence: str) -> str | None:
    """Return the id of the evidence that replaced this one directly, if any."""
    found = state.find(SUPERSESSIONS, evidence)
    return None if found is None else found.by


def latest(state: State, evidence: str) -> str:
    """Return the id at the end of the chain of replacements: this one, if it was never superseded."""
    following = superseded_by(state, evidence)
    while following is not None:
        evidence, following = following, superseded_by(state, following)
    return evidence
