"""The Python client: finds, asks, fetches and proves; it verifies what a node says rather than trusting it.

    import tallystick

    with tallystick.connect(home="tally-home") as zone:
        for dataset in zone.find("discharges"):
            print(dataset.name, dataset.title)
        frame = zone.table("city-hospital/discharges-2024")

What is raised:

    TallystickError
    ├── RejectedError              the rules of the zone refuse it; the same on every honest node, by number
    └── NodeError                  with a remedy
        ├── UsageError             what was asked does not make sense as asked
        │   └── NotFoundError      there is no such thing
        ├── AccessError            the key may not do this, or no agreement is in force
        ├── PeerError              the node, or another one, does not answer or not as it should
        │   └── NotWitnessedError  too few members have witnessed it yet: ask again
        ├── StorageError           a disk is full, a file cannot be written
        ├── ConfigurationError     a setting of the node
        └── IntegrityError         something is not what it claims to be
            ├── ProofError         a proof does not hold, with a `reason`
            │   ├── TrustError     the trust file, or what follows from it
            │   └── ReceiptError   a receipt, or the proof of a record
            ├── HistoryError       not the history that was seen before; may carry a fork proof
            ├── ViewError          an answer differs from the ledger, in the field that is named
            └── FingerprintError   data is not what its owner put on the ledger

Parts: `opening` connects; `session` holds trust, history and records; `zone` is the surface, made of `offering`,
`agreeing`, `fetching`, `members` and `following`; `checking` holds views against records; `data` and `receipts` handle what
a caller takes away; `connection` is HTTP, `trouble` the errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.lazy import lazy_names

if TYPE_CHECKING:
    from tallystick.dataplane.refusals import FingerprintError
    from tallystick.errors import (
        AccessError,
        ConfigurationError,
        IntegrityError,
        NodeError,
        PeerError,
        RejectedError,
        StorageError,
        TallystickError,
        UsageError,
    )
    from tallystick.proofs import (
        ProofError,
        ReceiptError,
        TrustError,
        TrustFile,
        VerifiedReceipt,
        VerifiedRecord,
    )
    from tallystick.sdk.connection import Progress
    from tallystick.sdk.data import Fetched
    from tallystick.sdk.history import History
    from tallystick.sdk.offering import FoundDatasets
    from tallystick.sdk.opening import connect
    from tallystick.sdk.receipts import Receipt, verify_receipt
    from tallystick.sdk.trouble import HistoryError, NotFoundError, NotWitnessedError, ViewError
    from tallystick.sdk.zone import Zone
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "tallystick.dataplane.refusals": ("FingerprintError",),
            "tallystick.errors": (
                "AccessError",
                "ConfigurationError",
                "IntegrityError",
                "NodeError",
                "PeerError",
                "RejectedError",
                "StorageError",
                "TallystickError",
                "UsageError",
            ),
            "tallystick.proofs": (
                "ProofError",
                "ReceiptError",
                "TrustError",
                "TrustFile",
                "VerifiedReceipt",
                "VerifiedRecord",
            ),
            "tallystick.sdk.connection": ("Progress",),
            "tallystick.sdk.data": ("Fetched",),
            "tallystick.sdk.history": ("History",),
            "tallystick.sdk.offering": ("FoundDatasets",),
            "tallystick.sdk.opening": ("connect",),
            "tallystick.sdk.receipts": ("Receipt", "verify_receipt"),
            "tallystick.sdk.trouble": ("HistoryError", "NotFoundError", "NotWitnessedError", "ViewError"),
            "tallystick.sdk.zone": ("Zone",),
        },
    )

__all__ = [
    "AccessError",
    "ConfigurationError",
    "Fetched",
    "FingerprintError",
    "FoundDatasets",
    "History",
    "HistoryError",
    "IntegrityError",
    "NodeError",
    "NotFoundError",
    "NotWitnessedError",
    "PeerError",
    "Progress",
    "ProofError",
    "Receipt",
    "ReceiptError",
    "RejectedError",
    "StorageError",
    "TallystickError",
    "TrustError",
    "TrustFile",
    "UsageError",
    "VerifiedReceipt",
    "VerifiedRecord",
    "ViewError",
    "Zone",
    "connect",
    "verify_receipt",
]
