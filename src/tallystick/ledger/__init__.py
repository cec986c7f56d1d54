"""Submit, query, prove, export receipts: the one door to the machine, the store and ordering.

Rules of this room:

- It knows the store and ordering only as the Protocols in `ports.py`.
- What it hands out can be checked by whoever receives it; what it is handed by others it checks itself.
- A fork proof, once found, is kept and never explained away.
"""

from tallystick.ledger.door import Ledger, LedgerEvent, NotYetWitnessedError
from tallystick.ledger.gathering import Gathering, Placed
from tallystick.ledger.ports import Ordering, Store
from tallystick.ledger.trustkeeper import SignedVersion, TrustKeeper
from tallystick.ledger.witness import ForkError, SizedCosignature, Witness

__all__ = [
    "ForkError",
    "Gathering",
    "Ledger",
    "LedgerEvent",
    "NotYetWitnessedError",
    "Ordering",
    "Placed",
    "SignedVersion",
    "SizedCosignature",
    "Store",
    "TrustKeeper",
    "Witness",
]
