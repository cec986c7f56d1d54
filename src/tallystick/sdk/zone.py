"""A zone, as one organisation's node shows it and this client checks it: everything that can be asked in one place."""

from __future__ import annotations

from types import TracebackType

from tallystick.sdk.agreeing import Agreeing
from tallystick.sdk.fetching import Fetching
from tallystick.sdk.following import Following
from tallystick.sdk.members import Members
from tallystick.sdk.offering import Offering
from tallystick.views import Standing, Status


class Zone(Offering, Agreeing, Fetching, Members, Following):
    """A connection to a node, from `tallystick.connect`; a context manager.

    One thing that is asked for by name or id is held against the ledger; lists are what the node says.

        offering   find, dataset, offer, revise, withdraw, preview
        agreeing   request, requests, show_request, approve, counter, reject, cancel, agreements, agreement, terminate
        fetching   fetch, table, copy, deliveries, delivery, dispute, answer
        members    organisations, organisation, applications, admit, suspend, reinstate, keys and API keys
        following  operations, operation, events, submit, evidence
        session    record, receipt, trust, history
    """

    def status(self) -> Status:
        """Return how the node does; what it says of itself is not proved."""
        status: Status = self._connection.get("/v1/status", Status)
        return status

    def standing(self) -> Standing:
        """Return how the node stands among the others, as it says."""
        standing: Standing = self._connection.get("/v1/standing", Standing)
        return standing

    def __enter__(self) -> Zone:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Zone {self.chain} by {self.organisation_id} at {self._connection.url}>"
