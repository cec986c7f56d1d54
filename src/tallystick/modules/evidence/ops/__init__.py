"""One operation a file; here the messages by which they are asked for."""

from tallystick.modules.evidence.ops.record_evidence import RecordEvidence
from tallystick.modules.evidence.ops.supersede_evidence import SupersedeEvidence

__all__ = [
    "RecordEvidence",
    "SupersedeEvidence",
]
