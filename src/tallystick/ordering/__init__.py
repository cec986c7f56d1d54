"""Who decides the order of transactions: the embedded engine (`solo`), and copies that follow it (`replica`).

Rules of this room:

- Nothing is acknowledged before it is on disk.
- A block is signed only after it was executed, and executed only against the last block on disk.
- A replica takes nothing on trust: every signature, header and root is recomputed before a block is kept.
"""

from tallystick.ordering.replica import Replica, ReplicaError
from tallystick.ordering.solo import Solo, Submitted
from tallystick.ordering.verifier import InlineVerifier, SignatureVerifier, VerifierProcess

__all__ = ["InlineVerifier", "Replica", "ReplicaError", "SignatureVerifier", "Solo", "Submitted", "VerifierProcess"]
