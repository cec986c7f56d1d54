"""The consumer's side of deliveries: fetching what was agreed, and saying on the ledger what arrived.

Rules:

- The provider's word is not taken: the key package it hands out must be the one recorded on the ledger, under this
  agreement, for the fingerprint that is on record; what arrives is verified chunk by chunk against that.
- `record_delivery_received` follows the atomic rename, never precedes it. Each step is in `office.db` before the next, so
  that a fetch that a crash or an outage ended goes on where it was: opening, fetching, arrived, received.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import msgspec

from tallystick.codec import sha256
from tallystick.dataplane import KeyPackage, open_package, verify_fingerprint
from tallystick.dataplane.refusals import FingerprintError, PackageError, TargetExistsError
from tallystick.errors import AccessError, IntegrityError, NodeError, PeerError, RejectedError, UsageError
from tallystick.modules.agreements.queries import agreement_state, agreements_of, find_agreement
from tallystick.modules.agreements.records import Agreement
from tallystick.modules.deliveries.ops import RecordDeliveryReceived
from tallystick.modules.deliveries.queries import find_delivery
from tallystick.modules.deliveries.records import Delivery
from tallystick.office.database import OfficeDatabase, TransferRow
from tallystick.office.keyring import OwnKeys
from tallystick.office.ports import Arrival, OpenedDelivery, Peers, Progress
from tallystick.office.recording import Recorder
from tallystick.office.refusals import DeliveryMismatchError, NotInForceError, not_found
from tallystick.views import FetchedDelivery, Recorded

WAIT_FOR_RECORD_S = 60.0
_POLL_S = 0.05
_NOTE_BYTES = 64 << 20
_CLOCK_SLACK_MS = 5_000
_UNFINISHED = ("opening", "fetching", "arrived")


class _Order(NamedTuple):
    """A delivery that was opened and is what the ledger says."""

    opened: OpenedDelivery
    recorded: Delivery
    package: KeyPackage


class Fetching:
    """Fetches deliveries for this organisation."""

    def __init__(self, recorder: Recorder, database: OfficeDatabase, keys: OwnKeys, peers: Peers, inbox: Path) -> None:
        self._recorder = recorder
        self._database = database
        self._keys = keys
        self._peers = peers
        self._inbox = inbox
        self._me = recorder.organisation
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def fetch(
        self, agreement_or_dataset: str, to: Path | None = None, progress: Progress | None = None
    ) -> FetchedDelivery:
        """Fetch the data of an agreement.

        Args:
            agreement_or_dataset: id of an agreement, or the name of a dataset that there is one about.
            to: folder that the file or folder appears in; by default one of its own under the node's `inbox/`.
            progress: told of bytes.

        Raises:
            NotInForceError: there is no agreement in force.
            RejectedError: the ledger refuses what is recorded.
            NodeError: it could not be fetched, or was not what was agreed.
        """
        identifier, agreement = self._agreement(agreement_or_dataset)
        async with self._locks[identifier]:
            row = self._row_for(identifier, agreement, to)
            return await self._run(row, progress)

    async def resume_all(self) -> list[FetchedDelivery | NodeError | RejectedError]:
        """Finish what a crash or an outage left; called when the node starts.

        Returns:
            for each unfinished fetch what became of it.
        """
        done: list[FetchedDelivery | NodeError | RejectedError] = []
        for row in self._database.rows(TransferRow, direction="in"):
            if row.state in _UNFINISHED:
                async with self._locks[row.agreement]:
                    try:
                        done.append(await self._run(row, None))
                    except (NodeError, RejectedError) as error:
                        done.append(error)
        return done

    async def _run(self, row: TransferRow, progress: Progress | None) -> FetchedDelivery:
        """Take a fetch from where it is to its end."""
        try:
            if row.state != "arrived":
                order = await self._open(row)
                row = self._put(
                    row,
                    state="fetching",
                    delivery=order.opened.delivery,
                    version=order.recorded.version,
                    bytes_total=order.package.size,
                    files=order.package.files,
                    salt=order.package.salt,
                )
                arrival = await self._arrive(row, order, progress)
                row = self._put(
                    row, state="arrived", path=str(arrival.path), root=arrival.root.hex(), bytes_done=arrival.size
                )
            return await self._record(row)
        except (RejectedError, NodeError) as error:
            # What may work later stays unfinished; a refusal and data that is wrong would only fail again.
            over = isinstance(error, (RejectedError, IntegrityError, AccessError, UsageError))
            current = self._database.find(TransferRow, id=row.id) or row
            self._put(current, state="failed" if over else current.state, error=error.message)
            raise

    async def _open(self, row: TransferRow) -> _Order:
        """Open the delivery and hold what the provider says against the ledger."""
        opened = await self._peers.open_delivery(row.organisation, row.agreement)
        recorded = await self._recorded(opened.delivery)
        expected = (row.agreement, row.organisation, self._me, sha256(opened.package).hex())
        if (recorded.agreement, recorded.provider, recorded.consumer, recorded.package) != expected:
            raise DeliveryMismatchError(
                f"{row.organisation} hands out another delivery than {opened.delivery} on the ledger",
                remedy="Nothing was fetched. Tell the provider's data officer, or dispute the delivery.",
            )
        package = self._open_package(opened.package, recorded)
        if (package.fingerprint, package.size, package.chunks) != (
            recorded.fingerprint,
            recorded.bytes,
            recorded.chunks,
        ):
            raise FingerprintError(
                "the key package is for other data than the ledger says",
                remedy="Nothing was fetched. Tell the provider's data officer, or dispute the delivery.",
            )
        return _Order(opened, recorded, package)

    async def _recorded(self, delivery: str) -> Delivery:
        """Return a delivery from this node's own copy, waiting until it is there."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_FOR_RECORD_S
        while (found := find_delivery(self._recorder.state(), delivery)) is None:
            if loop.time() >= deadline:
                raise PeerError(
                    f"the delivery {delivery} has not reached this node's copy of the ledger",
                    remedy="See `tally node status`; fetch again once the copy has caught up.",
                )
            await asyncio.sleep(_POLL_S)
        return found

    def _open_package(self, sealed: bytes, recorded: Delivery) -> KeyPackage:
        """Open a key package with whichever of this organisation's encryption keys it is sealed to."""
        for secret in self._keys.encryption_secrets():
            try:
                return open_package(sealed, secret, delivery=recorded.nonce, agreement=recorded.agreement)
            except PackageError:
                continue
        raise PackageError(
            "the key package does not open with any encryption key that this node holds",
            remedy="Restore the key that is registered, or rotate it and fetch again.",
        )

    async def _arrive(self, row: TransferRow, order: _Order, progress: Progress | None) -> Arrival:
        """Fetch the content, or find it where an earlier attempt has put it."""
        target = Path(row.path)
        await asyncio.to_thread(target.mkdir, 0o700, parents=True, exist_ok=True)
        written = 0

        def tell(done: int, total: int) -> None:
            nonlocal written
            if done - written >= _NOTE_BYTES:
                written = done
                self._put(row, bytes_done=done)
            if progress is not None:
                progress(done, total)

        try:
            arrival = await self._peers.fetch(row.organisation, order.opened, order.package, target, tell)
        except TargetExistsError:
            # A crash between the rename and the next line of this office leaves the data under its final name.
            found = await asyncio.to_thread(_find_arrived, target, order.package, row.created)
            if found is None:
                raise
            arrival = found
        if arrival.root.hex() != order.recorded.fingerprint:
            await self._recorder.record(RecordDeliveryReceived(delivery=row.delivery, root=arrival.root.hex()))
            raise FingerprintError(
                f"what arrived under {row.delivery} is not what is on the ledger",
                remedy=f"It was recorded as mismatched. Dispute it: tally delivery dispute {row.delivery}",
            )
        return arrival

    async def _record(self, row: TransferRow) -> FetchedDelivery:
        """Say on the ledger what arrived; once, however often it is tried."""
        delivery = find_delivery(self._recorder.state(), row.delivery)
        recorded: Recorded | None = None
        if delivery is None or delivery.state == "sent":
            done = await self._recorder.record(RecordDeliveryReceived(delivery=row.delivery, root=row.root))
            recorded = done.recorded
        self._put(row, state="received", error="")
        return FetchedDelivery(
            delivery=row.delivery,
            agreement=row.agreement,
            dataset=row.dataset,
            version=row.version,
            path=row.path,
            files=row.files,
            bytes=row.bytes_total,
            root=row.root,
            recorded=recorded,
        )

    def _agreement(self, name: str) -> tuple[str, Agreement]:
        """Return the agreement of an id, or the latest in force about a dataset."""
        state, now = self._recorder.state(), self._recorder.now()
        if "/" in name:
            mine = [
                (key, each)
                for key, each in agreements_of(state, self._me)
                if (each.dataset, each.consumer) == (name, self._me) and agreement_state(each, now) == "in_force"
            ]
            if not mine:
                raise NotInForceError(
                    f"there is no agreement in force about {name}",
                    remedy=f"Ask for it: tally request send {name} --purpose …",
                )
            return max(mine, key=lambda item: (item[1].agreed_at, item[0]))
        found = find_agreement(state, name)
        if found is None:
            raise not_found("agreement", name, "tally agreement list")
        if found.consumer != self._me:
            raise UsageError(f"{self._me} is not the consumer of {name}", remedy="Name an agreement of your own.")
        current = agreement_state(found, now)
        if current != "in_force":
            raise NotInForceError(
                f"the agreement {name} is {current.replace('_', ' ')}",
                remedy=f"Ask for the dataset again: tally request send {found.dataset} --purpose …",
            )
        return name, found

    def _row_for(self, identifier: str, agreement: Agreement, to: Path | None) -> TransferRow:
        """Return the row of an unfinished fetch of this agreement into this place, or a new one."""
        now = self._recorder.clock_ms()
        wanted = None if to is None else str(to.absolute())
        for row in reversed(self._database.rows(TransferRow, direction="in", agreement=identifier)):
            if row.state in _UNFINISHED and (wanted in (None, row.path) or row.state == "arrived"):
                return row
        name = secrets.token_hex(8)
        place = wanted or str((self._inbox / agreement.dataset.replace("/", "-") / name).absolute())
        row = TransferRow(
            id=name,
            direction="in",
            organisation=agreement.provider,
            agreement=identifier,
            dataset=agreement.dataset,
            version=agreement.version or 0,
            state="opening",
            path=place,
            created=now,
            changed=now,
        )
        self._database.put(row)
        return row

    def _put(self, row: TransferRow, **changes: str | int) -> TransferRow:
        changed = msgspec.structs.replace(row, changed=self._recorder.clock_ms(), **changes)
        self._database.put(changed)
        return changed


def _find_arrived(folder: Path, package: KeyPackage, since_ms: int) -> Arrival | None:
    """Return what an earlier attempt has put into a folder: whatever is new there and has exactly the fingerprint."""
    for path in sorted(folder.iterdir()):
        status = path.lstat()
        if path.suffix == ".part" or path.is_symlink() or status.st_mtime_ns // 1_000_000 < since_ms - _CLOCK_SLACK_MS:
            continue
        if path.is_file() and (package.files != 1 or status.st_size != package.size):
            continue
        try:
            verify_fingerprint(path, bytes.fromhex(package.fingerprint), bytes.fromhex(package.salt))
        except NodeError:
            continue
        return Arrival(path, bytes.fromhex(package.fingerprint), package.files, package.size)
    return None
