"""What is always true of evidence; run by property tests and by `tally ledger check`."""

from __future__ import annotations

from tallystick.machine import State
from tallystick.modules.evidence.ports import MEMBERS
from tallystick.modules.evidence.records import EVIDENCE, SUPERSESSIONS


def evidence_is_of_members(state: State) -> list[str]:
    """Evidence is of at least one file and of a member of the zone."""
    broken: list[str] = []
    for key, evidence in state.scan(EVIDENCE):
        if MEMBERS.find_organisation(state, evidence.organisation) is None:
            broken.append(f"evidence/{key}: its organisation is no member")
        if evidence.count < 1:
            broken.append(f"evidence/{key}: it is of no file")
    return broken


def replacements_hold_together(state: State) -> list[str]:
    """Replaced and replacing evidence are of one organisation, and following replacements comes to an end."""
    following = {key: record.by for key, record in state.scan(SUPERSESSIONS)}
    ends: dict[str, bool] = {}
    broken: list[str] = []
    for key, record in state.scan(SUPERSESSIONS):
        pair = (state.find(EVIDENCE, key), state.find(EVIDENCE, record.by))
        if any(evidence is None or evidence.organisation != record.organisation for evidence in pair):
            broken.append(f"supersessions/{key}: the two are not evidence of one organisation")
        if not _comes_to_an_end(key, following, ends):
            broken.append(f"supersessions/{key}: replacements go round in a circle")
    return broken


def _comes_to_an_end(key: str, following: dict[str, str], ends: dict[str, bool]) -> bool:
    """Follow replacements, each step once for all calls together; `ends` keeps what is known."""
    walked: list[str] = []
    while key in following and key not in ends:
        ends[key] = False
        walked.append(key)
        key = following[key]
    good = ends.get(key, True)
    for step in walked:
        ends[step] = good
    return good


INVARIANTS = (evidence_is_of_members, replacements_hold_together)
