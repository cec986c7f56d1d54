"""Requests and the agreements that come of them."""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.modules.agreements.records import AGREEMENTS, REQUESTS
from tallystick.sdk.checking import check_agreement, check_request, times_of
from tallystick.sdk.connection import segment
from tallystick.sdk.offering import Terms
from tallystick.sdk.session import Session
from tallystick.sdk.trouble import ViewError
from tallystick.views import AgreementView, RequestView


class Agreeing(Session):
    """What there is of requests and agreements."""

    def request(
        self,
        dataset: str,
        purpose: str,
        *,
        version: int | None = None,
        proposal: Terms | None = None,
        comment: str = "",
    ) -> RequestView:
        """Ask for a dataset, on the terms that it is offered on or on other ones.

        Args:
            dataset: its name.
            purpose: what for; signed, and shown to its owner alone.
            version: the version wanted; by default the latest at each delivery.
            proposal: other terms: name of a preset, or an ODRL policy.
            comment: for the owner alone.

        Raises:
            RejectedError: the ledger refuses it.
        """
        form = {
            "dataset": dataset,
            "purpose": purpose,
            "version": version,
            "proposal": msgspec.to_builtins(proposal),
            "comment": comment,
        }
        return self._done("/v1/requests", form)

    def requests(self, direction: str = "", state: str = "", waiting: bool = False) -> tuple[RequestView, ...]:
        """Return one's own requests, newest first; as the node says: `show_request` has one checked.

        Args:
            direction: only `sent`, or `received`.
            state: only those in this state now, such as `REQUESTED`.
            waiting: only those that wait for this organisation.
        """
        found: tuple[RequestView, ...] = self._connection.get(
            "/v1/requests", tuple[RequestView, ...], direction=direction, state=state, waiting=waiting
        )
        return found

    def show_request(self, id: str) -> RequestView:
        """Return a request with what was said to this organisation, checked against the ledger.

        Raises:
            NotFoundError: there is none of that id; proved.
            ViewError: the node says something else than the ledger.
        """
        return self._checked_request(id)

    def approve(self, id: str) -> RequestView:
        """Approve the terms on the table; `agreement` of the answer is the id of what came of it.

        Raises:
            RejectedError: it was decided already, waits for the other side, has expired, …
        """
        return self._done(f"/v1/requests/{segment(id)}/approve")

    def counter(self, id: str, policy: Terms, comment: str = "") -> RequestView:
        """Put other terms to the other side; the comment is for it alone.

        Raises:
            RejectedError: the ledger refuses it.
        """
        form = {"policy": msgspec.to_builtins(policy), "comment": comment}
        return self._done(f"/v1/requests/{segment(id)}/counter", form)

    def reject(self, id: str, why: str) -> RequestView:
        """Say no; the reason is for the other side alone.

        Raises:
            RejectedError: it was decided already, …
        """
        return self._done(f"/v1/requests/{segment(id)}/reject", {"why": why})

    def cancel(self, id: str) -> RequestView:
        """Take an own request back.

        Raises:
            RejectedError: it was decided already, …
        """
        return self._done(f"/v1/requests/{segment(id)}/cancel")

    def agreements(self, state: str = "", dataset: str = "") -> tuple[AgreementView, ...]:
        """Return one's own agreements, newest first; as the node says: `agreement` has one checked.

        Args:
            state: only those in this state now, such as `in_force`.
            dataset: only those about this dataset.
        """
        found: tuple[AgreementView, ...] = self._connection.get(
            "/v1/agreements", tuple[AgreementView, ...], state=state, dataset=dataset
        )
        return found

    def agreement(self, id: str) -> AgreementView:
        """Return an agreement, checked against the ledger.

        Raises:
            NotFoundError: there is none of that id; proved.
            ViewError: the node says something else than the ledger.
        """
        return self._checked_agreement(id)

    def terminate(self, id: str, why: str) -> AgreementView:
        """End an agreement: nothing more is delivered under it; copies that were made remain.

        Raises:
            RejectedError: it has ended already.
        """
        view = self._connection.post(f"/v1/agreements/{segment(id)}/terminate", AgreementView, {"why": why})
        checked = self._checked_agreement(id, view)
        return msgspec.structs.replace(checked, recorded=view.recorded)

    def _done(self, path: str, form: dict[str, Any] | None = None) -> RequestView:
        """Do something about a request and return what it is then, checked."""
        view: RequestView = self._connection.post(path, RequestView, form)
        return msgspec.structs.replace(self._checked_request(view.id, view), recorded=view.recorded)

    def _checked_request(self, id: str, first: RequestView | None = None) -> RequestView:
        path = f"/v1/requests/{segment(id)}"

        def ask() -> RequestView:
            view: RequestView = self._connection.get(path, RequestView)
            return view

        def check(view: RequestView) -> None:
            request, time = self._find(REQUESTS, id)
            if request is None or view.id != id:
                raise ViewError("changed_view", f"the ledger has no request {id} as the node shows it", "id")
            check_request(view, request, self.organisation_id, times_of(time, self.clock_ms()))

        return self._checked(REQUESTS, id, ask, check, first=first)

    def _checked_agreement(self, id: str, first: AgreementView | None = None) -> AgreementView:
        path = f"/v1/agreements/{segment(id)}"

        def ask() -> AgreementView:
            view: AgreementView = self._connection.get(path, AgreementView)
            return view

        def check(view: AgreementView) -> None:
            agreement, time = self._find(AGREEMENTS, id)
            if agreement is None or view.id != id:
                raise ViewError("changed_view", f"the ledger has no agreement {id} as the node shows it", "id")
            check_agreement(view, agreement, times_of(time, self.clock_ms()))

        return self._checked(AGREEMENTS, id, ask, check, first=first)
