"""Evidence: fingerprints of files, by which whoever holds a file can show that it existed, unchanged, at a time.

Its specification is the README beside this file.
"""

from tallystick.machine import Module
from tallystick.modules.evidence.invariants import INVARIANTS
from tallystick.modules.evidence.ops import record_evidence, supersede_evidence
from tallystick.modules.evidence.records import EVIDENCE, SUPERSESSIONS
from tallystick.modules.evidence.rejections import REJECTIONS

MODULE = Module(
    name="evidence",
    collections=(EVIDENCE, SUPERSESSIONS),
    operations=(record_evidence.OPERATION, supersede_evidence.OPERATION),
    rejections=REJECTIONS,
    events=(record_evidence.EvidenceRecorded, supersede_evidence.EvidenceSuperseded),
    invariants=INVARIANTS,
)

__all__ = ["MODULE"]
