"""The office of one organisation: all that its people and programs do, in one object made of small parts.

    datasets, requests, agreements, deliveries, evidence    the main job
    members, own                                            the zone, and one's own entries in it
    notes, users                                            party-only values; API keys

The node gives it a ledger, keys, folders and peers, and wires its outer ends: the API calls the parts, the peer server
calls `deliveries.open_for`, `deliveries.authorise`, `notes.receive`, `notes.waiting_for` and `members.receive_application`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tallystick.dataplane import SidecarShelf
from tallystick.errors import NodeError, RejectedError, StorageError
from tallystick.keys import KeySource
from tallystick.ledger import Ledger
from tallystick.office.agreements import Agreements
from tallystick.office.database import OfficeDatabase
from tallystick.office.datasets import Datasets
from tallystick.office.deliveries import Deliveries
from tallystick.office.evidence import Evidence
from tallystick.office.fetching import Fetching
from tallystick.office.keyring import OwnKeys
from tallystick.office.members import Members
from tallystick.office.notes import Notes
from tallystick.office.own_keys import OwnEntries
from tallystick.office.ports import Peers
from tallystick.office.recording import Recorder
from tallystick.office.requests import Requests, Saying
from tallystick.office.serving import Serving
from tallystick.office.users import Users
from tallystick.views import FetchedDelivery


class OfficePaths(NamedTuple):
    """Where the office keeps things.

    Attributes:
        database: `office.db`.
        inbox: where deliveries arrive.
        outbox: sidecars of what is offered, and proofs of evidence; secrets of this organisation.
    """

    database: Path
    inbox: Path
    outbox: Path


class Office:
    """One organisation's office."""

    def __init__(
        self, ledger: Ledger, keys: KeySource, paths: OfficePaths, peers: Peers, clock_ms: Callable[[], int]
    ) -> None:
        """Open the office.

        Args:
            ledger: the door to this node's copy; its `signer` is best `OwnKeys.signer`.
            keys: this organisation's private keys.
            paths: where things are kept.
            peers: the other organisations' nodes.
            clock_ms: UTC time, ms.

        Raises:
            StorageError: a folder or `office.db` cannot be used.
        """
        self.organisation = ledger.organisation
        self.ledger = ledger
        try:
            for folder in (paths.inbox, paths.outbox):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            shelf = SidecarShelf(paths.outbox / "sidecars")
        except OSError as error:
            raise StorageError(
                f"{error.filename} cannot be used: {error.strerror}", remedy="Check its owner and permissions."
            ) from None
        self._database = OfficeDatabase(paths.database)
        self.keys = OwnKeys(keys, self.organisation, ledger.state)
        recorder = Recorder(ledger, clock_ms)
        self.notes = Notes(recorder, self._database, self.keys, peers)
        saying = Saying(recorder, self.notes)
        self.users = Users(self._database, clock_ms)
        self.datasets = Datasets(recorder, self._database, shelf)
        self.requests = Requests(saying)
        self.agreements = Agreements(saying)
        fetching = Fetching(recorder, self._database, self.keys, peers, paths.inbox)
        serving = Serving(recorder, self._database, shelf)
        self.deliveries = Deliveries(saying, self._database, fetching, serving)
        self.evidence = Evidence(recorder, self._database, paths.outbox / "evidence")
        self.members = Members(recorder, self._database, self.keys)
        self.own = OwnEntries(recorder, self.keys)

    async def resume(self) -> list[FetchedDelivery | NodeError | RejectedError]:
        """Take up what a crash or an outage left: notes, proofs, and fetches; called once when the node has started.

        Returns:
            what became of each unfinished fetch.
        """
        self.notes.resume()
        await self.evidence.resume()
        return await self.deliveries.resume_all()

    async def close(self) -> None:
        """Stop what runs in the background and close `office.db`."""
        await self.notes.close()
        await asyncio.to_thread(self._database.close)
