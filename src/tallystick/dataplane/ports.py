"""What the data plane asks of the node. It knows no ledger: whether something may leave is the node's to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tallystick.dataplane.sidecars import Sidecar

PREFIX = "/dataplane/v1/deliveries"
"""Where a provider's node answers requests for deliveries."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a peer may fetch, and what is needed to send it.

    Attributes:
        delivery: its id on the wire, which the stream and the key package are bound to. It must be known before the
            sending is recorded, so it is the recorded `nonce`, not the id that the ledger gives afterwards.
        agreement: id of the agreement in force.
        organisation: whom it goes to.
        source: the file or folder.
        sidecar: of the version that is delivered.
        content_key: AES-256 key, fresh for this delivery and version.
        package: the sealed key package.
    """

    delivery: str
    agreement: str
    organisation: str
    source: Path
    sidecar: Sidecar
    content_key: bytes = field(repr=False)
    package: bytes = field(repr=False)


class AccessPolicy(Protocol):
    """Says who may fetch what; asked at every request, and again and again while a long one runs."""

    async def authorise(self, peer_pin: str, delivery_id: str) -> Grant:
        """Return the grant of a delivery, if it may leave now.

        Args:
            peer_pin: SHA-256 of the public key that the peer has just proved to hold, hex.
            delivery_id: what it asks for.

        Raises:
            AccessError: the key is registered by nobody, the delivery is not that organisation's or does not exist, or
                its agreement is not in force by this node's copy of the ledger and its clock. The message is shown to
                the peer.
        """
        ...


class PeerDirectory(Protocol):
    """Knows the registered TLS key pins."""

    def find_organisation(self, peer_pin: str) -> str | None:
        """Return the organisation that has registered a pin, or None."""
        ...


@dataclass(frozen=True, slots=True)
class TransferReport:
    """How one request for content ended.

    Attributes:
        delivery: its id.
        organisation: who asked.
        peer_pin: with which key.
        first_byte: of the encrypted stream, where the answer began.
        sent_bytes: handed to the connection.
        asked_bytes: what was to be sent.
        reason: stable name of what ended it early; "" when it was sent in full.
    """

    delivery: str
    organisation: str
    peer_pin: str
    first_byte: int
    sent_bytes: int
    asked_bytes: int
    reason: str


class TransferObserver(Protocol):
    """Is told how transfers end, so that the node can show and record them."""

    def transfer_ended(self, report: TransferReport) -> None:
        """Take note; must not block."""
        ...
