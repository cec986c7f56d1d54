"""The faults that the suite knows, and the record that a run of it leaves: the source of docs/reference/faults.md.

A scene of `tests/fault` that is to have a row calls `record_fault` with what it counted, before it asserts that nothing
was lost: a bad run is to be seen in the table, not only in a log.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

RECORD_VARIABLE = "TALLY_FAULT_RECORD"

# Name of a fault -> what a reader of the table is told that was done, in the order of the table.
FAULTS = {
    "kill-embedded": "`kill -9` of supervisor, core, office or all of a node, two nodes, embedded engine, under load",
    "kill-application": "`kill -9` of a validator's core, which is the engine's application, under load",
    "kill-engine": "`kill -9` of a validator's engine, under load",
    "kill-both": "`kill -9` of a validator's core and engine at once, under load",
    "one-down": "one validator of four down: commits go on",
    "two-down": "two of four down: commits stop, reads go on; seconds from the third's start to the first commit",
    "far-behind": "a validator that was away for many blocks returns; seconds until it has what the others had",
    "partition": "two and two cut from each other; seconds from the healing to the first commit",
    "pause": "a validator frozen (`SIGSTOP`) and let go on, while concurrent histories are recorded and judged",
    "registers": "kills, and a validator away, while concurrent histories are recorded and judged",
    "bad-proposal": "a validator proposes what no block may hold: malformed, badly signed, beyond the caps, another history",
    "wrong-hash": "a validator comes to another app hash, and signs it: the others go on without it, and name it",
    "wrong-header": "a validator votes as the others do, and signs another header of the zone: refused, and named",
    "double-vote": "one consensus key at two engines: the double vote is evidence in a block, kept and shown",
    "bad-network": "300 ms each way and one packet in twenty lost between four validators; operations meanwhile",
    "forged-block": "a node serves a replica forged, replayed or cut blocks and heads: refused, another source taken",
    "forged-snapshot": "a node serves a newcomer altered or forged snapshots: refused, another source taken",
    "lost-source": "a newcomer's source goes away in the middle of a snapshot: what it gave is kept, another source taken",
    "kill-newcomer": "`kill -9` of a newcomer while it begins from a snapshot and fetches older blocks",
    "forged-proof": "a node serves a client forged proofs: refused by name",
}


def record_fault(name: str, *, tried: int, lost: int, forked: int, recovery_s: Iterable[float] = ()) -> None:
    """Add a line to the record that `TALLY_FAULT_RECORD` names; without it do nothing.

    Args:
        name: of the fault, one of `FAULTS`; several lines of one fault are added up.
        tried: how many times it was brought about.
        lost: how many acknowledged operations a copy lacks, or has elsewhere than it was told.
        forked: how many heights have different headers on two copies.
        recovery_s: seconds until it went on, for each time that this was measured.

    Raises:
        KeyError: the suite knows no such fault.
    """
    if name not in FAULTS:
        raise KeyError(f"no fault {name!r}: name it in FAULTS of tests/support/faults.py")
    path = os.environ.get(RECORD_VARIABLE)
    if path:
        line = {"fault": name, "tried": tried, "lost": lost, "forked": forked, "recovery_s": list(recovery_s)}
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
