"""Deliveries: fetching data, as files or as a table, and what is said about them afterwards."""

from __future__ import annotations

import tempfile
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from tallystick.modules.catalogue.records import DATASET_VERSIONS, DatasetVersion, version_key
from tallystick.modules.deliveries.records import DELIVERIES, Delivery
from tallystick.sdk.checking import check_delivery
from tallystick.sdk.connection import Progress, segment
from tallystick.sdk.data import Fetched, check_recorded, copy_delivery, load_pandas, read_table
from tallystick.sdk.session import Session
from tallystick.sdk.trouble import NotFoundError, ViewError
from tallystick.views import DeliveryView, FetchedDelivery, Job


class Fetching(Session):
    """What there is of deliveries."""

    def fetch(self, what: str, to: str | PathLike[str] | None = None, *, progress: Progress | None = None) -> Fetched:
        """Fetch data under an agreement in force; the node records what it received.

        Args:
            what: id of an agreement, or a dataset that there is one on.
            to: folder here that the data is copied into, and checked there; by default it stays in the node's inbox.
            progress: told of bytes; with `to` twice, as the data goes two ways.

        Raises:
            RejectedError: the ledger refuses it.
            AccessError: there is no agreement in force.
            FingerprintError: what came is not what its owner put on the ledger.
            NodeError: it could not be fetched.
        """
        job = self._connection.post("/v1/deliveries", Job, {"what": what})
        done: FetchedDelivery = self._connection.finish(job, FetchedDelivery, progress)
        delivery, version = self._delivered(done.delivery)
        said = (done.dataset, done.version, done.agreement, done.root)
        if said != (delivery.dataset, delivery.version, delivery.agreement, delivery.fingerprint):
            raise ViewError(
                "changed_view", f"the ledger has other data under {done.delivery} than the node says", "root"
            )
        path = None if to is None else self.copy(done.delivery, to, progress=progress)
        return Fetched(
            delivery=done.delivery,
            agreement=done.agreement,
            dataset=done.dataset,
            version=done.version,
            path=Path(done.path) if path is None else path,
            here=path is not None,
            files=version.files,
            bytes=version.size,
            root=version.fingerprint,
            recorded=done.recorded,
            _open_table=partial(self._open_table, done.delivery, path),
        )

    def copy(self, delivery: str, to: str | PathLike[str], *, progress: Progress | None = None) -> Path:
        """Copy data that the node has received into a folder here, check it, and return where it is.

        Args:
            delivery: id.
            to: folder that the file or folder appears in.
            progress: told of bytes.

        Raises:
            FingerprintError: it is not what its owner put on the ledger.
            NodeError: it cannot be copied.
        """
        if self._find(DELIVERIES, delivery)[0] is None:
            raise NotFoundError(f"there is no delivery {delivery}", remedy="List them with `tally delivery list`.")
        recorded, version = self._delivered(delivery)
        return copy_delivery(self._connection, delivery, recorded, version, Path(to), progress)

    def table(self, what: str, file: str = "", *, progress: Progress | None = None, **options: Any) -> Any:
        """Fetch data and return it as a pandas DataFrame, checked; no copy is left here.

        Args:
            what: id of an agreement, or a dataset that there is one on.
            file: which one, where there are several tables.
            progress: told of bytes.
            options: for the function of pandas that reads it.

        Raises:
            UsageError: pandas is missing, or it is no table.
            NodeError: as `fetch`.
        """
        load_pandas()
        return self.fetch(what, progress=progress).table(file, **options)

    def deliveries(self, direction: str = "", agreement: str = "") -> tuple[DeliveryView, ...]:
        """Return one's own deliveries, newest first; as the node says: `delivery` has one checked.

        Args:
            direction: only `sent`, or `received`.
            agreement: only those under this agreement.
        """
        found: tuple[DeliveryView, ...] = self._connection.get(
            "/v1/deliveries", tuple[DeliveryView, ...], direction=direction, agreement=agreement
        )
        return found

    def delivery(self, id: str) -> DeliveryView:
        """Return a delivery, checked against the ledger.

        Raises:
            NotFoundError: there is none of that id; proved.
            ViewError: the node says something else than the ledger.
        """
        return self._checked_delivery(id)

    def dispute(self, id: str, why: str) -> DeliveryView:
        """Say that a delivery is not what was agreed; what is wrong goes to the other side alone.

        Raises:
            RejectedError: it was disputed before, or is not one's own.
        """
        return self._said(id, "dispute", {"why": why})

    def answer(self, id: str, what: str) -> DeliveryView:
        """Answer a dispute; the answer goes to the other side alone.

        Raises:
            RejectedError: there is no open dispute.
        """
        return self._said(id, "answer", {"what": what})

    def _said(self, id: str, verb: str, form: dict[str, Any]) -> DeliveryView:
        view = self._connection.post(f"/v1/deliveries/{segment(id)}/{verb}", DeliveryView, form)
        return msgspec.structs.replace(self._checked_delivery(id, view), recorded=view.recorded)

    def _delivered(self, id: str) -> tuple[Delivery, DatasetVersion]:
        """Return the records of a delivery and of the version that it is of, which must agree."""
        delivery = self._get(DELIVERIES, id)
        version = self._get_fixed(DATASET_VERSIONS, version_key(delivery.dataset, delivery.version))
        check_recorded(id, delivery, version)
        return delivery, version

    def _checked_delivery(self, id: str, first: DeliveryView | None = None) -> DeliveryView:
        path = f"/v1/deliveries/{segment(id)}"

        def ask() -> DeliveryView:
            view: DeliveryView = self._connection.get(path, DeliveryView)
            return view

        def check(view: DeliveryView) -> None:
            delivery, _ = self._find(DELIVERIES, id)
            if delivery is None or view.id != id:
                raise ViewError("changed_view", f"the ledger has no delivery {id} as the node shows it", "id")
            check_delivery(view, delivery, self.organisation_id)

        return self._checked(DELIVERIES, id, ask, check, first=first)

    def _open_table(self, delivery: str, here: Path | None, file: str, options: dict[str, Any]) -> Any:
        """Read a table of a delivery: from the copy here, or from one that is made for this and taken away."""
        load_pandas()
        if here is not None:
            return read_table(here, file, options)
        with tempfile.TemporaryDirectory(prefix="tally-") as folder:
            return read_table(self.copy(delivery, folder), file, options)
