"""The provider's side of deliveries: what may leave, to whom, and with which key.

Rules:

- An agreement is in force only if it is by this node's copy of the ledger and by its own clock, both asked when a
  delivery is opened and at every request for content after that.
- A delivery is on the ledger before its key package is handed out; its content key is on disk before that, so that a
  consumer can go on after this node was restarted.
- One delivery of a version is open for an agreement at a time: asking again gives the same one, and an answer that was
  lost costs nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from pathlib import Path

import msgspec

from tallystick.codec import sha256
from tallystick.dataplane import (
    Grant,
    Sidecar,
    SidecarShelf,
    TransferReport,
    build_package,
    new_content_key,
    seal_package,
)
from tallystick.errors import RejectedError, StorageError
from tallystick.modules.agreements.queries import agreement_state, find_agreement
from tallystick.modules.agreements.records import Agreement
from tallystick.modules.catalogue.queries import find_dataset, find_version
from tallystick.modules.catalogue.records import DatasetVersion
from tallystick.modules.deliveries.ops import RecordDeliverySent
from tallystick.modules.deliveries.queries import deliveries_under, find_delivery
from tallystick.modules.organisations.queries import find_organisation, is_active
from tallystick.office.database import OfficeDatabase, SourceRow, TransferRow
from tallystick.office.ports import OpenedDelivery
from tallystick.office.recording import Recorder
from tallystick.office.refusals import NotInForceError

DAY_MS = 86_400_000
_OPEN_ENDED_MS = 30 * DAY_MS
_NONCE_BYTES = 16


class Serving:
    """Opens deliveries of this organisation's datasets and says, again and again, whether they may go on."""

    def __init__(self, recorder: Recorder, database: OfficeDatabase, shelf: SidecarShelf) -> None:
        self._recorder = recorder
        self._database = database
        self._shelf = shelf
        self._me = recorder.organisation
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def open_for(self, consumer: str, agreement: str) -> OpenedDelivery:
        """Open a delivery for a consumer, or give it the one that is open.

        Args:
            consumer: who asks, by its TLS key.
            agreement: under which.

        Raises:
            NotInForceError: nothing may be delivered to it under that agreement now.
            RejectedError: the ledger refuses the sending.
            StorageError: the data or its sidecar is not here any more.
        """
        found = self.check_in_force(consumer, agreement)
        version = self._version(found)
        async with self._locks[agreement]:
            open_row = self._open_row(agreement, version, self._key_of(consumer))
            if open_row is not None:
                return OpenedDelivery(open_row.delivery, open_row.package)
            return await self._open(consumer, agreement, found, version)

    async def authorise(self, consumer: str, delivery: str) -> Grant:
        """Return what a consumer may fetch now.

        Args:
            consumer: who asks, by its TLS key.
            delivery: the id on the wire (the recorded nonce), or the one on the ledger.

        Raises:
            NotInForceError: it may not, or not any more.
            StorageError: the data or its sidecar is not here any more.
        """
        row = self._database.find(TransferRow, id=delivery, direction="out")
        row = row or self._database.find(TransferRow, delivery=delivery, direction="out")
        if row is None or row.organisation != consumer or not row.delivery:
            raise NotInForceError(
                f"there is no delivery {delivery} for {consumer}", remedy="Open one by its agreement."
            )
        self.check_in_force(consumer, row.agreement)
        recorded = find_delivery(self._recorder.state(), row.delivery)
        if recorded is None or recorded.state == "failed":
            raise NotInForceError(f"the delivery {row.delivery} was given up", remedy="Open a new one.")
        if recorded.state != "sent":
            raise NotInForceError(
                f"the delivery {row.delivery} was {recorded.state} already", remedy="Fetch again for a new one."
            )
        root = bytes.fromhex(recorded.fingerprint)
        sidecar = await asyncio.to_thread(self._shelf.get, root)
        return Grant(
            delivery=row.id,
            agreement=row.agreement,
            organisation=consumer,
            source=self._source(recorded.fingerprint),
            sidecar=sidecar,
            content_key=row.content_key,
            package=row.package,
        )

    def transfer_ended(self, report: TransferReport) -> None:
        """Take note of how a request for content ended; for the server of the data plane."""
        row = self._database.find(TransferRow, id=report.delivery, direction="out")
        if row is not None:
            sent = max(row.bytes_done, report.first_byte + report.sent_bytes)
            now = self._recorder.clock_ms()
            self._database.put(msgspec.structs.replace(row, bytes_done=sent, error=report.reason, changed=now))

    def check_in_force(self, consumer: str, agreement: str) -> Agreement:
        """Return an agreement under which this organisation may deliver to a consumer now.

        Raises:
            NotInForceError: it may not; says why.
        """
        state = self._recorder.state()
        found = find_agreement(state, agreement)
        if found is None or found.provider != self._me or found.consumer != consumer:
            raise NotInForceError(
                f"there is no agreement {agreement} between {self._me} and {consumer}",
                remedy="Ask for the dataset first: `tally request send`.",
            )
        now = agreement_state(found, self._recorder.now())
        if now != "in_force":
            raise NotInForceError(
                f"the agreement {agreement} is {now.replace('_', ' ')}",
                remedy="Wait until it begins." if now == "pending" else "Ask for the dataset again.",
            )
        if not is_active(state, consumer):
            raise NotInForceError(f"{consumer} is suspended", remedy="Ask the zone's validators.")
        return found

    async def _open(self, consumer: str, agreement: str, found: Agreement, version: DatasetVersion) -> OpenedDelivery:
        """Make a key package, record the sending, and hand it out."""
        self._source(version.fingerprint)
        sidecar: Sidecar = await asyncio.to_thread(self._shelf.get, bytes.fromhex(version.fingerprint))
        now = self._recorder.now()
        key = self._key_of(consumer)
        nonce, content_key = secrets.token_hex(_NONCE_BYTES), new_content_key()
        package = build_package(
            sidecar,
            delivery=nonce,
            agreement=agreement,
            content_key=content_key,
            expires_ms=found.ends if found.ends is not None else now + _OPEN_ENDED_MS,
        )
        row = TransferRow(
            id=nonce,
            direction="out",
            organisation=consumer,
            agreement=agreement,
            dataset=found.dataset,
            version=version.version,
            state="opening",
            path=str(self._source(version.fingerprint)),
            root=version.fingerprint,
            files=version.files,
            bytes_total=sidecar.layout().cipher_size,
            content_key=content_key,
            package=seal_package(package, bytes.fromhex(key)),
            recipient_key=key,
            created=now,
            changed=now,
        )
        # On disk before it is on the ledger: a recorded sending can always be served.
        self._database.put(row)
        message = RecordDeliverySent(
            agreement=agreement,
            version=version.version,
            fingerprint=version.fingerprint,
            package=sha256(row.package).hex(),
            nonce=nonce,
            bytes=version.size,
            chunks=version.chunks,
        )
        try:
            done = await self._recorder.record(message)
        except RejectedError:
            self._database.remove(TransferRow, id=nonce)
            raise
        delivery = done.new_id("delivery_sent", "delivery")
        self._database.put(msgspec.structs.replace(row, delivery=delivery, state="sent"))
        return OpenedDelivery(delivery, row.package)

    def _open_row(self, agreement: str, version: DatasetVersion, key: str) -> TransferRow | None:
        """Return the delivery of a version that is open under an agreement and sealed to a key."""
        rows = self._database.rows(TransferRow, direction="out", agreement=agreement)
        if any(row.state == "opening" for row in rows):
            rows = self._adopt(agreement, rows)
        state = self._recorder.state()
        for row in reversed(rows):
            if (row.state, row.version, row.recipient_key) == ("sent", version.version, key):
                recorded = find_delivery(state, row.delivery)
                if recorded is not None and recorded.state == "sent":
                    return row
        return None

    def _adopt(self, agreement: str, rows: list[TransferRow]) -> list[TransferRow]:
        """Find on the ledger the sendings whose answer was lost, by the nonce that only this node chose."""
        recorded = {each.nonce: key for key, each in deliveries_under(self._recorder.state(), agreement)}
        adopted = []
        for row in rows:
            if row.state == "opening" and row.id in recorded:
                row = msgspec.structs.replace(row, delivery=recorded[row.id], state="sent")
                self._database.put(row)
            adopted.append(row)
        return adopted

    def _version(self, agreement: Agreement) -> DatasetVersion:
        state = self._recorder.state()
        dataset = find_dataset(state, agreement.dataset)
        assert dataset is not None  # noqa: S101 - an invariant: an agreement is about a dataset
        version = find_version(state, dataset.name, agreement.version or dataset.version)
        assert version is not None  # noqa: S101 - an invariant of the catalogue
        return version

    def _key_of(self, consumer: str) -> str:
        found = find_organisation(self._recorder.state(), consumer)
        assert found is not None  # noqa: S101 - a party to an agreement is a member
        return found.encryption

    def _source(self, fingerprint: str) -> Path:
        row = self._database.find(SourceRow, fingerprint=fingerprint)
        if row is None:
            raise StorageError(
                "the provider's node does not know where this version of the data is",
                remedy="Its data officer offers the data again as a new version, or restores office.db.",
            )
        return Path(row.path)
