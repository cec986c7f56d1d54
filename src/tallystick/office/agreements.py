"""Agreements: what was agreed, and ending it."""

from __future__ import annotations

from tallystick.modules.agreements.ops import TerminateAgreement
from tallystick.modules.agreements.queries import agreements_of, find_agreement
from tallystick.modules.agreements.records import Agreement
from tallystick.office.describing import agreement_view
from tallystick.office.refusals import not_found
from tallystick.office.requests import Saying
from tallystick.views import AgreementView, Recorded


class Agreements:
    """Agreements of this organisation."""

    def __init__(self, saying: Saying) -> None:
        self._saying = saying
        self._recorder = saying.recorder
        self._me = saying.recorder.organisation

    def list(self, state: str = "", *, dataset: str = "") -> tuple[AgreementView, ...]:
        """Return one's own agreements, newest first.

        Args:
            state: only those in this state now, such as `in_force`.
            dataset: only those about this dataset.
        """
        records, now = self._recorder.state(), self._recorder.now()
        views = [agreement_view(records, key, each, now) for key, each in agreements_of(records, self._me)]
        chosen = [view for view in views if state in ("", view.state) and dataset in ("", view.dataset)]
        return tuple(sorted(chosen, key=lambda view: (-view.agreed_at, view.id)))

    def show(self, identifier: str) -> AgreementView:
        """Return an agreement with what was said to this organisation about it.

        Raises:
            NotFoundError: there is none of that id.
        """
        return self._view(identifier)

    async def terminate(self, identifier: str, why: str = "") -> AgreementView:
        """End an agreement before its time: from then on nothing is delivered under it.

        What was delivered before is with its recipient and stays there.

        Args:
            identifier: of the agreement.
            why: for the other party alone.

        Raises:
            RejectedError: it has ended already, or this organisation is not a party.
            NotFoundError: there is none of that id.
        """
        agreement = self._get(identifier)
        other = agreement.consumer if self._me == agreement.provider else agreement.provider
        commitment = self._saying.commit({"why": why.strip()}, other)
        message = TerminateAgreement(agreement=identifier, private=commitment)
        done = await self._saying.record(message, commitment, f"agreements/{identifier}")
        return self._view(identifier, done.recorded)

    def _get(self, identifier: str) -> Agreement:
        found = find_agreement(self._recorder.state(), identifier)
        if found is None:
            raise not_found("agreement", identifier, "tally agreement list")
        return found

    def _view(self, identifier: str, recorded: Recorded | None = None) -> AgreementView:
        return agreement_view(
            self._recorder.state(),
            identifier,
            self._get(identifier),
            self._recorder.now(),
            private=self._saying.notes.read(f"agreements/{identifier}"),
            recorded=recorded,
        )
