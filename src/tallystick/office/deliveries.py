"""Deliveries, both ways: fetching, serving, and what is said about them afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from tallystick.dataplane import Grant, TransferReport
from tallystick.errors import NodeError, RejectedError, UsageError
from tallystick.modules.deliveries.ops import AnswerDispute, DisputeDelivery, RecordDeliveryFailed
from tallystick.modules.deliveries.queries import find_delivery
from tallystick.modules.deliveries.records import DELIVERIES, Delivery
from tallystick.office.database import OfficeDatabase, TransferRow
from tallystick.office.describing import delivery_view
from tallystick.office.fetching import Fetching
from tallystick.office.ports import OpenedDelivery, Progress
from tallystick.office.refusals import NotFoundError, not_found
from tallystick.office.requests import Saying
from tallystick.office.serving import Serving
from tallystick.views import DeliveryView, FetchedDelivery, Recorded

_ARRIVED = ("arrived", "received")


class ReceivedData(NamedTuple):
    """Data that arrived.

    Attributes:
        path: the file or folder.
        kind: file or folder.
        name: as it was offered, which the fingerprint covers.
        salt: of the fingerprint, hex.
    """

    path: Path
    kind: Literal["file", "folder"]
    name: str
    salt: str


class Deliveries:
    """Deliveries that this organisation sends and receives."""

    def __init__(self, saying: Saying, database: OfficeDatabase, fetching: Fetching, serving: Serving) -> None:
        self._saying = saying
        self._recorder = saying.recorder
        self._database = database
        self._fetching = fetching
        self._serving = serving
        self._me = saying.recorder.organisation

    # --- receiving ---------------------------------------------------------------------------------------------------

    async def fetch(
        self, agreement_or_dataset: str, to: Path | None = None, progress: Progress | None = None
    ) -> FetchedDelivery:
        """Fetch the data of an agreement; see `Fetching.fetch`."""
        return await self._fetching.fetch(agreement_or_dataset, to, progress)

    async def resume_all(self) -> list[FetchedDelivery | NodeError | RejectedError]:
        """Finish what a crash or an outage left; see `Fetching.resume_all`."""
        return await self._fetching.resume_all()

    def contents(self, identifier: str) -> ReceivedData:
        """Return where the data of a delivery is that arrived here.

        Raises:
            NotFoundError: there is no such delivery, or its data is not here (any more).
        """
        self._get(identifier)
        rows = self._database.rows(TransferRow, direction="in", delivery=identifier)
        found = next((row for row in reversed(rows) if row.state in _ARRIVED and Path(row.path).exists()), None)
        if found is None:
            raise NotFoundError(
                f"the data of {identifier} is not on this machine",
                remedy="Fetch it under its agreement: `tally delivery fetch`; it may also have been moved away.",
            )
        path = Path(found.path)
        return ReceivedData(path, "folder" if path.is_dir() else "file", path.name, found.salt)

    async def dispute(self, identifier: str, why: str = "") -> DeliveryView:
        """Say that something is wrong with a delivery; what, is for the provider alone.

        Raises:
            RejectedError: it was disputed before, or this organisation is not its consumer.
            NotFoundError: there is none of that id.
        """
        delivery = self._get(identifier)
        commitment = self._saying.commit({"why": why.strip()}, delivery.provider)
        message = DisputeDelivery(delivery=identifier, private=commitment)
        done = await self._saying.record(message, commitment, f"deliveries/{identifier}")
        return self._view(identifier, done.recorded)

    # --- sending -----------------------------------------------------------------------------------------------------

    async def open_for(self, consumer: str, agreement: str) -> OpenedDelivery:
        """Open a delivery for a consumer; called by the node's peer server. See `Serving.open_for`."""
        return await self._serving.open_for(consumer, agreement)

    async def authorise(self, consumer: str, delivery: str) -> Grant:
        """Return what a consumer may fetch now; called by the node's peer server. See `Serving.authorise`."""
        return await self._serving.authorise(consumer, delivery)

    def transfer_ended(self, report: TransferReport) -> None:
        """Take note of how a request for content ended; a `TransferObserver` of the data plane."""
        self._serving.transfer_ended(report)

    async def answer(self, identifier: str, text: str) -> DeliveryView:
        """Answer a dispute; the answer is for the consumer alone.

        Raises:
            RejectedError: there is no open dispute, or this organisation is not the provider.
            NodeError: there is none of that id, or no answer was given.
        """
        delivery = self._get(identifier)
        if not text.strip():
            raise UsageError("an answer says something", remedy="Give the answer as text.")
        commitment = self._saying.commit({"answer": text.strip()}, delivery.consumer)
        assert commitment is not None  # noqa: S101 - there is a text
        message = AnswerDispute(delivery=identifier, private=commitment)
        done = await self._saying.record(message, commitment, f"deliveries/{identifier}")
        return self._view(identifier, done.recorded)

    # --- both --------------------------------------------------------------------------------------------------------

    async def give_up(self, identifier: str, why: str = "") -> DeliveryView:
        """Give up a delivery that never finished; the reason is for the other party alone.

        Raises:
            RejectedError: it is over already, or this organisation is not a party.
            NotFoundError: there is none of that id.
        """
        delivery = self._get(identifier)
        other = delivery.consumer if self._me == delivery.provider else delivery.provider
        commitment = self._saying.commit({"why": why.strip()}, other)
        message = RecordDeliveryFailed(delivery=identifier, private=commitment)
        done = await self._saying.record(message, commitment, f"deliveries/{identifier}")
        return self._view(identifier, done.recorded)

    def list(self, direction: Literal["", "received", "sent"] = "", *, agreement: str = "") -> tuple[DeliveryView, ...]:
        """Return one's own deliveries, newest first.

        Args:
            direction: only those sent, or received.
            agreement: only those under this agreement.
        """
        views = [
            delivery_view(key, each, self._me, self._transfer(key))
            for key, each in self._recorder.state().scan(DELIVERIES)
            if self._me in (each.provider, each.consumer) and agreement in ("", each.agreement)
        ]
        chosen = [view for view in views if direction in ("", view.direction)]
        return tuple(sorted(chosen, key=lambda view: (-view.sent_at, view.id)))

    def show(self, identifier: str) -> DeliveryView:
        """Return a delivery with what was said to this organisation about it.

        Raises:
            NotFoundError: there is none of that id.
        """
        return self._view(identifier)

    def _get(self, identifier: str) -> Delivery:
        found = find_delivery(self._recorder.state(), identifier)
        if found is None:
            raise not_found("delivery", identifier, "tally delivery list")
        return found

    def _transfer(self, identifier: str) -> TransferRow | None:
        rows = self._database.rows(TransferRow, delivery=identifier)
        return rows[-1] if rows else None

    def _view(self, identifier: str, recorded: Recorded | None = None) -> DeliveryView:
        return delivery_view(
            identifier,
            self._get(identifier),
            self._me,
            self._transfer(identifier),
            private=self._saying.notes.read(f"deliveries/{identifier}"),
            recorded=recorded,
        )
