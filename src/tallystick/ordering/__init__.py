"""Who decides the order of transactions: the embedded engine (`solo`), and copies that follow it (`replica`).

Rules of this room:

- What waits is bounded for each organisation, and organisations take turns (`intake`, `fairness`), in front of every
  engine alike.
- Nothing is acknowledged before it is on disk.
- A block is signed only after it was executed, and executed only against the last block on disk.
- A replica takes nothing on trust: every signature, header and root is recomputed before a block is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.lazy import lazy_names

if TYPE_CHECKING:
    from tallystick.ordering.intake import Submitted
    from tallystick.ordering.replica import Replica, ReplicaError
    from tallystick.ordering.solo import Solo
    from tallystick.ordering.verifier import InlineVerifier, SignatureVerifier, VerifierProcess
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "tallystick.ordering.intake": ("Submitted",),
            "tallystick.ordering.replica": ("Replica", "ReplicaError"),
            "tallystick.ordering.solo": ("Solo",),
            "tallystick.ordering.verifier": ("InlineVerifier", "SignatureVerifier", "VerifierProcess"),
        },
    )

__all__ = ["InlineVerifier", "Replica", "ReplicaError", "SignatureVerifier", "Solo", "Submitted", "VerifierProcess"]
