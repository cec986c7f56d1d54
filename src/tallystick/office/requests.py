"""Requests: asking for a dataset, and deciding what others ask.

The purpose, comments and reasons are for the other party alone: the ledger has their commitment, `notes` has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tallystick.errors import RejectedError, UsageError
from tallystick.machine import Message
from tallystick.modules.agreements.ops import (
    ApproveRequest,
    CancelRequest,
    CounterRequest,
    RejectRequest,
    SendRequest,
)
from tallystick.modules.agreements.queries import find_request, requests_of
from tallystick.modules.agreements.records import Request
from tallystick.modules.catalogue.policy import Policy
from tallystick.modules.catalogue.queries import find_dataset
from tallystick.office.describing import request_view
from tallystick.office.notes import Notes
from tallystick.office.recording import Done, Recorder
from tallystick.office.refusals import not_found
from tallystick.office.terms import resolve_terms
from tallystick.views import Recorded, RequestView


class Saying:
    """Operations that say something to the other party alone: the values first to disk, then the commitment to the
    ledger, then the values to the party.
    """

    def __init__(self, recorder: Recorder, notes: Notes) -> None:
        self.recorder = recorder
        self.notes = notes

    def commit(self, fields: Mapping[str, str], recipient: str) -> str | None:
        """Return the commitment to what is said, or None where nothing is."""
        said = {name: text for name, text in fields.items() if text}
        return self.notes.commit(said, recipient) if said else None

    async def record(self, message: Message, commitment: str | None, subject: str, field: str = "") -> Done:
        """Submit an operation, and send what was said with it once it is on the ledger.

        Args:
            message: holds the commitment.
            commitment: to what was said, or None.
            subject: collection and key of the record; ends in `/` where `field` of the first event has the key.
            field: see `subject`.

        Raises:
            RejectedError: it was rejected; what was said is forgotten.
            NodeError: the answer was lost; what was said is kept, and sent if the operation turns out to be recorded.
        """
        try:
            done = await self.recorder.record(message)
        except RejectedError:
            if commitment is not None:
                self.notes.drop(commitment)
            raise
        if commitment is not None:
            self.notes.send(commitment, subject + (str(done.events[0][field]) if field else ""))
        return done


class Requests:
    """Requests that this organisation sent and received."""

    def __init__(self, saying: Saying) -> None:
        self._saying = saying
        self._recorder = saying.recorder
        self._me = saying.recorder.organisation

    async def send(
        self,
        dataset: str,
        purpose: str,
        *,
        version: int | None = None,
        proposal: str | Mapping[str, Any] | Policy | None = None,
        comment: str = "",
        expires: int | None = None,
    ) -> RequestView:
        """Ask for a dataset, on the terms that it is offered on or on other ones.

        Args:
            dataset: its name.
            purpose: what for; declared and signed, and shown to the provider alone.
            version: the version wanted; None is the latest at each delivery.
            proposal: other terms than those that it is offered on; see `resolve_terms`.
            comment: for the provider alone.
            expires: until when it may be decided, ms.

        Raises:
            RejectedError: the ledger refuses it.
            NodeError: there is no such dataset, or the terms cannot be used.
        """
        if not purpose.strip():
            raise UsageError("a request has a purpose", remedy="Say what the data is for: --purpose.")
        found = find_dataset(self._recorder.state(), dataset)
        if found is None:
            raise not_found("dataset", dataset, "tally dataset find")
        policy = None if proposal is None else resolve_terms(proposal, dataset)
        commitment = self._saying.commit({"purpose": purpose.strip(), "comment": comment.strip()}, found.owner)
        assert commitment is not None  # noqa: S101 - there is a purpose
        message = SendRequest(
            dataset=dataset,
            version=version,
            terms=found.terms if policy is None else None,
            proposal=policy,
            private=commitment,
            expires=expires,
        )
        done = await self._saying.record(message, commitment, "requests/", "request")
        return self._view(done.new_id("request_sent", "request"), done.recorded)

    def list(
        self, direction: Literal["", "received", "sent"] = "", state: str = "", *, waiting: bool = False
    ) -> tuple[RequestView, ...]:
        """Return one's own requests, newest first.

        Args:
            direction: only those sent, or received.
            state: only those in this state now, such as `REQUESTED`.
            waiting: only those that wait for this organisation.
        """
        records, now = self._recorder.state(), self._recorder.now()
        views = [request_view(records, key, each, self._me, now) for key, each in requests_of(records, self._me)]
        chosen = [
            view
            for view in views
            if direction in ("", view.direction)
            and state.upper() in ("", view.state)
            and (not waiting or view.turn == self._me)
        ]
        return tuple(sorted(chosen, key=lambda view: (-view.requested_at, view.id)))

    def show(self, identifier: str) -> RequestView:
        """Return a request with what was said to this organisation.

        Raises:
            NotFoundError: there is none of that id.
        """
        self._get(identifier)
        return self._view(identifier)

    async def approve(self, identifier: str) -> RequestView:
        """Accept the terms on the table; the agreement exists from then on.

        Raises:
            RejectedError: it was decided already, waits for the other side, has expired, …
            NotFoundError: there is none of that id.
        """
        request = self._get(identifier)
        done = await self._saying.record(ApproveRequest(request=identifier, terms=request.terms), None, "")
        return self._view(identifier, done.recorded)

    async def counter(
        self, identifier: str, policy: str | Mapping[str, Any] | Policy, comment: str = ""
    ) -> RequestView:
        """Put other terms on the table; it is then the other side's turn.

        Raises:
            RejectedError: the ledger refuses it.
            NodeError: there is no such request, or the terms cannot be used.
        """
        request = self._get(identifier)
        proposal = resolve_terms(policy, request.dataset)
        commitment = self._saying.commit({"comment": comment.strip()}, self._other(request))
        message = CounterRequest(request=identifier, proposal=proposal, private=commitment)
        done = await self._saying.record(message, commitment, f"requests/{identifier}")
        return self._view(identifier, done.recorded)

    async def reject(self, identifier: str, why: str = "") -> RequestView:
        """Say no; the reason is for the other party alone.

        Raises:
            RejectedError: it was decided already, …
            NotFoundError: there is none of that id.
        """
        request = self._get(identifier)
        commitment = self._saying.commit({"why": why.strip()}, self._other(request))
        message = RejectRequest(request=identifier, private=commitment)
        done = await self._saying.record(message, commitment, f"requests/{identifier}")
        return self._view(identifier, done.recorded)

    async def cancel(self, identifier: str) -> RequestView:
        """Take a request of one's own back.

        Raises:
            RejectedError: it was decided already, …
            NotFoundError: there is none of that id.
        """
        self._get(identifier)
        done = await self._saying.record(CancelRequest(request=identifier), None, "")
        return self._view(identifier, done.recorded)

    def _get(self, identifier: str) -> Request:
        found = find_request(self._recorder.state(), identifier)
        if found is None:
            raise not_found("request", identifier, "tally request list")
        return found

    def _other(self, request: Request) -> str:
        return request.consumer if self._me == request.provider else request.provider

    def _view(self, identifier: str, recorded: Recorded | None = None) -> RequestView:
        return request_view(
            self._recorder.state(),
            identifier,
            self._get(identifier),
            self._me,
            self._recorder.now(),
            private=self._saying.notes.read(f"requests/{identifier}"),
            recorded=recorded,
        )
