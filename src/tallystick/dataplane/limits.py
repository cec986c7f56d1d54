"""How much a node sends at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a node sends at a time.

    Attributes:
        transfers: answers with content at a time.
        transfers_per_peer: of them for one peer's key.
        recheck_s: how often a running transfer is authorised again, in seconds.
        stall_s: after how long a peer that takes nothing is cut off, in seconds.
        workers: threads that read, hash and encrypt.
        ahead: batches of about 1 MiB that are prepared before the peer takes them.
    """

    transfers: int = 16
    transfers_per_peer: int = 4
    recheck_s: float = 5.0
    stall_s: float = 60.0
    workers: int = 2
    ahead: int = 2
