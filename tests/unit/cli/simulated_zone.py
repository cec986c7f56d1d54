"""A simulated zone: what the commands talk to, with the client's own names, views and errors, and rules of its own.

It keeps datasets, requests, agreements, deliveries and keys in memory and records an operation for each change, so that
what a command prints is what a node of that state would have it print. It proves nothing: the client does that.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from msgspec.structs import replace

from tallystick import views
from tallystick.errors import AccessError, RejectedError, UsageError
from tests.unit.cli.simulated_members import HASH, HOSPITAL, NOW, UNIVERSITY, SimulatedMembers

__all__ = ["HASH", "HOSPITAL", "NOW", "UNIVERSITY", "SimulatedZone"]

T = TypeVar("T")
SUMMARY = ("The owner decides each request.", "May use (duration at most P90D).")


class SimulatedZone(SimulatedMembers):
    """The zone as the node of one organisation shows it."""

    def __init__(self, me: str = HOSPITAL) -> None:
        super().__init__(me)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.datasets: dict[str, views.DatasetView] = {}
        self.asks: dict[str, views.RequestView] = {}
        self.agreed: dict[str, views.AgreementView] = {}
        self.sent: dict[str, views.DeliveryView] = {}
        self.proved: list[views.EvidenceView] = []

    # --- datasets ----------------------------------------------------------------------------------------------------

    def offer(
        self,
        path: Any,
        *,
        name: str,
        title: str,
        field: str,
        description: str = "",
        keywords: Any = (),
        licence: str = "",
        source_name: str = "",
        terms: Any = None,
        progress: Any = None,
    ) -> views.DatasetView:
        self.asked.append(("offer", {"path": path, "terms": terms, "field": field}))
        full = name if "/" in name else f"{self.organisation}/{name}"
        recorded = self._record("offer_dataset", "dataset_offered", dataset=full)
        version = views.VersionView(
            version=1,
            fingerprint=HASH,
            size=Path(path).stat().st_size,
            files=1,
            media_type="text/csv",
            rows=2,
            columns=(("id", "integer"), ("name", "string")),
            published_at=NOW,
        )
        made = views.DatasetView(
            name=full,
            owner=str(self.organisation),
            title=title,
            description=description,
            field=field,
            keywords=tuple(keywords),
            licence=licence,
            source=source_name,
            status="offered",
            approval="manual",
            terms=HASH,
            terms_summary=SUMMARY,
            policy={},
            latest=version,
            offered_at=NOW,
            changed_at=NOW,
            mine=True,
        )
        self.datasets[full] = made
        return replace(made, recorded=recorded)

    def revise(self, name: str, *, progress: Any = None, **changes: Any) -> views.DatasetView:
        self.asked.append(("revise", changes))
        recorded = self._record("revise_dataset", "dataset_revised", dataset=name)
        return replace(self.dataset(name), recorded=recorded)

    def withdraw(self, name: str) -> views.DatasetView:
        self.datasets[name] = replace(self.dataset(name), status="withdrawn", withdrawn_at=NOW)
        recorded = self._record("withdraw_dataset", "dataset_withdrawn", dataset=name)
        return replace(self.datasets[name], recorded=recorded)

    def dataset(self, name: str) -> views.DatasetView:
        return _known(self.datasets, name, "dataset", "tally dataset find")

    def find(
        self,
        words: str = "",
        *,
        field: str | None = None,
        owner: str = "",
        keyword: str = "",
        withdrawn: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> views.Found:
        found = [
            each
            for each in self.datasets.values()
            if all(word in f"{each.name} {each.title}" for word in words.split())
            and owner in ("", each.owner)
            and (withdrawn or each.status == "offered")
        ]
        facets = {"field": {"health": len(found)}}
        return views.Found(datasets=tuple(found[offset : offset + limit]), total=len(found), facets=facets)

    def preview(self, name: str, rows: int = 20) -> views.Preview:
        return views.Preview(
            dataset=name,
            version=1,
            origin="own",
            file="d.csv",
            columns=(("id", "integer"), ("name", "string")),
            rows=(("1", "\u674e\u96f7"), ("2", "Ana\x1b[2J"))[:rows],
            total_rows=2,
        )

    # --- requests and agreements -------------------------------------------------------------------------------------

    def request(
        self, dataset: str, purpose: str, *, version: int | None = None, proposal: Any = None, comment: str = ""
    ) -> views.RequestView:
        self.asked.append(("request", {"version": version, "proposal": proposal, "comment": comment}))
        id = f"req-{len(self.asks):04d}"
        provider = dataset.partition("/")[0]
        recorded = self._record("send_request", "request_sent", request=id)
        said = views.PrivateValues(
            about="sent", author=str(self.organisation), commitment=HASH, status="own", fields={"purpose": purpose}
        )
        self.asks[id] = views.RequestView(
            id=id,
            direction="sent",
            dataset=dataset,
            version=version,
            provider=provider,
            consumer=str(self.organisation),
            state="REQUESTED",
            decision="",
            decided_by="",
            turn=provider,
            terms=HASH,
            terms_summary=SUMMARY,
            policy={},
            requested_at=NOW,
            changed_at=NOW,
            expires=NOW,
            agreement="",
            private=(said,),
        )
        return replace(self.asks[id], recorded=recorded)

    def requests(self, direction: str = "", state: str = "", waiting: bool = False) -> tuple[views.RequestView, ...]:
        return tuple(
            each
            for each in self.asks.values()
            if direction in ("", each.direction)
            and state in ("", each.state)
            and (not waiting or each.turn == self.organisation)
        )

    def show_request(self, id: str) -> views.RequestView:
        return _known(self.asks, id, "request", "tally request list")

    def approve(self, id: str) -> views.RequestView:
        agreement = f"agr-{len(self.agreed):04d}"
        done = self._decide(id, "approve_request", "approved", agreement=agreement)
        self.agreed[agreement] = views.AgreementView(
            id=agreement,
            request=id,
            dataset=done.dataset,
            version=done.version,
            provider=done.provider,
            consumer=done.consumer,
            state="in_force",
            terms=HASH,
            terms_summary=SUMMARY,
            policy={},
            agreed_at=NOW,
            begins=NOW,
            ends=None,
            terminated_at=None,
            terminated_by="",
        )
        return done

    def counter(self, id: str, policy: Any, comment: str = "") -> views.RequestView:
        self.asked.append(("counter", {"policy": policy, "comment": comment}))
        return replace(self.show_request(id), recorded=self._record("counter_request", "request_countered", request=id))

    def reject(self, id: str, why: str) -> views.RequestView:
        return self._decide(id, "reject_request", "rejected")

    def cancel(self, id: str) -> views.RequestView:
        return self._decide(id, "cancel_request", "cancelled")

    def _decide(self, id: str, type: str, decision: str, agreement: str = "") -> views.RequestView:
        found = self.show_request(id)
        if found.decision:
            self._record(type, "", outcome=3_014, request=id)
            raise RejectedError(3_014, "request_already_decided", f"the request {id} is decided already")
        recorded = self._record(type, f"request_{decision}", request=id)
        self.asks[id] = replace(found, decision=decision, decided_by="x", turn="", agreement=agreement)
        return replace(self.asks[id], recorded=recorded)

    def agreements(self, state: str = "", dataset: str = "") -> tuple[views.AgreementView, ...]:
        return tuple(
            each for each in self.agreed.values() if state in ("", each.state) and dataset in ("", each.dataset)
        )

    def agreement(self, id: str) -> views.AgreementView:
        return _known(self.agreed, id, "agreement", "tally agreement list")

    def terminate(self, id: str, why: str) -> views.AgreementView:
        ended = replace(self.agreement(id), state="terminated", terminated_at=NOW, terminated_by=str(self.organisation))
        self.agreed[id] = ended
        return replace(ended, recorded=self._record("terminate_agreement", "agreement_terminated", agreement=id))

    # --- deliveries and evidence -------------------------------------------------------------------------------------

    def fetch(self, what: str, to: Any = None, *, progress: Any = None) -> Any:
        agreement = next((each for each in self.agreed.values() if what in (each.id, each.dataset)), None)
        if agreement is None or agreement.state != "in_force":
            raise AccessError(f"there is no agreement in force on {what}", remedy="Ask for it: tally request send")
        id = f"dlv-{len(self.sent):04d}"
        recorded = self._record("record_delivery_received", "delivery_received", delivery=id)
        self.sent[id] = views.DeliveryView(
            id=id,
            direction="received",
            agreement=agreement.id,
            dataset=agreement.dataset,
            version=1,
            provider=agreement.provider,
            consumer=agreement.consumer,
            state="received",
            fingerprint=HASH,
            root=HASH,
            bytes=2_048,
            sent_at=NOW,
            received_at=NOW,
            failed_at=None,
            dispute="",
            path="/inbox/d.csv",
        )
        path = Path("/inbox/d.csv") if to is None else Path(to) / "d.csv"
        facts = {"delivery": id, "dataset": agreement.dataset, "version": 1, "files": 1, "bytes": 2_048, "root": HASH}
        shown = {**facts, "path": str(path), "recorded": recorded}
        return SimpleNamespace(**facts, path=path, recorded=recorded, to_json=lambda: shown)

    def deliveries(self, direction: str = "", agreement: str = "") -> tuple[views.DeliveryView, ...]:
        return tuple(
            each
            for each in self.sent.values()
            if direction in ("", each.direction) and agreement in ("", each.agreement)
        )

    def delivery(self, id: str) -> views.DeliveryView:
        return _known(self.sent, id, "delivery", "tally delivery list")

    def dispute(self, id: str, why: str) -> views.DeliveryView:
        self.sent[id] = replace(self.delivery(id), dispute="open")
        return replace(self.sent[id], recorded=self._record("dispute_delivery", "delivery_disputed", delivery=id))

    def answer(self, id: str, what: str) -> views.DeliveryView:
        self.sent[id] = replace(self.delivery(id), dispute="answered")
        return replace(self.sent[id], recorded=self._record("answer_dispute", "dispute_answered", delivery=id))

    def record_evidence(self, paths: Any, out: Any = None, *, progress: Any = None) -> views.EvidenceView:
        self.asked.append(("record_evidence", {"paths": tuple(paths), "out": out}))
        id = f"ev-{len(self.proved):08d}"
        recorded = self._record("record_evidence", "evidence_recorded", evidence=id)
        made = views.EvidenceView(
            id=id,
            organisation=str(self.organisation),
            root=HASH,
            count=len(paths),
            recorded_at=NOW,
            names=tuple(Path(path).name for path in paths),
            proofs=tuple(f"{out or '/outbox'}/{Path(path).name}.proof.json" for path in paths),
            witnessed=True,
        )
        self.proved.append(made)
        return replace(made, recorded=recorded)

    def evidence(self) -> tuple[views.EvidenceView, ...]:
        return tuple(self.proved)


def _known(things: dict[str, T], id: str, what: str, command: str) -> T:
    if id not in things:
        raise UsageError(f"there is no {what} {id}", remedy=f"List them with `{command}`.")
    return things[id]
