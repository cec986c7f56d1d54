"""What this room needs from the core and the office; declared here, wired by the node."""

from __future__ import annotations

from typing import Any, Protocol

from tallystick.codec.cards import SignedCard
from tallystick.dataplane.ports import Grant
from tallystick.office.ports import OpenedDelivery


class CoreLink(Protocol):
    """The link to the core (`ordering.link.LinkClient`)."""

    async def ask(self, kind: str, body: Any = None) -> Any:
        """Send a request and return its answer."""


class DeliveryDesk(Protocol):
    """The provider's side of deliveries."""

    async def open_for(self, consumer: str, agreement: str) -> OpenedDelivery:
        """Open a delivery, if the agreement is in force.

        Raises:
            NodeError, RejectedError: it may not have it.
        """

    async def authorise(self, consumer: str, delivery: str) -> Grant:
        """Return the grant of a delivery, if it may leave now.

        Raises:
            AccessError: it may not.
        """


class NoteDesk(Protocol):
    """Sealed notes between organisations."""

    def receive(self, sender: str, note: bytes) -> str:
        """Take a note.

        Raises:
            NodeError: it is not one for this organisation.
        """

    def waiting_for(self, organisation: str) -> list[bytes]:
        """Return the notes that wait here for an organisation."""

    def acknowledge(self, organisation: str, note: str) -> bool:
        """Forget a note that its recipient has; `note` is the SHA-256 of its bytes, hex."""


class MemberDesk(Protocol):
    """Applications to become a member."""

    def receive_application(self, card: SignedCard) -> str:
        """Keep an application; return the card's fingerprint.

        Raises:
            NodeError: too many wait already.
        """

    def application_status(self, fingerprint: str) -> str:
        """Return waiting, admitted or refused.

        Raises:
            UsageError: there is no such application.
        """


class OfficeDesk(Protocol):
    """What the office answers to other organisations' nodes."""

    @property
    def deliveries(self) -> DeliveryDesk:
        """Deliveries."""

    @property
    def notes(self) -> NoteDesk:
        """Notes."""

    @property
    def members(self) -> MemberDesk:
        """Members."""
