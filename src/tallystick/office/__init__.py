"""What an organisation's people and programs do: use cases over the ledger and the data plane, plus `office.db`.

Rules of this room:

- Nothing that must stay with its owner or the parties goes to the ledger; what does is a salted commitment.
- What comes from another organisation's node is a claim until it was held against this node's own copy of the ledger.
- What a crash must not lose is in `office.db` before the step that needs it.
- Every refusal is a `RejectedError` of the ledger or a `NodeError` with a remedy; every answer is a frozen struct.
"""

from tallystick.modules.catalogue.records import Field as FieldOfWork
from tallystick.office.database import OfficeDatabase
from tallystick.office.envelopes import note_id
from tallystick.office.evidence_proofs import VerifiedEvidence, verify_evidence
from tallystick.office.keyring import OwnKeys
from tallystick.office.office import Office, OfficePaths
from tallystick.office.ports import Arrival, OpenedDelivery, Peers
from tallystick.office.users import Users
from tallystick.views import Principal

__all__ = [
    "Arrival",
    "FieldOfWork",
    "Office",
    "OfficeDatabase",
    "OfficePaths",
    "OpenedDelivery",
    "OwnKeys",
    "Peers",
    "Principal",
    "Users",
    "VerifiedEvidence",
    "note_id",
    "verify_evidence",
]
