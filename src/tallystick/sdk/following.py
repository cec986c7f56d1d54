"""The ledger itself: its history, its events, transactions that are signed already, and evidence of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from tallystick.errors import NodeError, QueueFullError, RejectedError
from tallystick.modules.evidence.records import EVIDENCE
from tallystick.sdk.checking import check_evidence
from tallystick.sdk.connection import Progress, segment
from tallystick.sdk.session import Session
from tallystick.sdk.trouble import job_refusal, not_understood
from tallystick.views import Events, EventView, EvidenceView, Job, OperationView, SubmittedView

MAX_BULK = 1_000
MAX_BULK_BYTES = (16 << 20) - (1 << 16)
BULK_MEDIA = "application/x-msgpack"
_EVENTS_AT_A_TIME = 1_000
_WAIT_SECONDS = 20

Submitted = SubmittedView | RejectedError | NodeError


class _Answer(msgspec.Struct, frozen=True):
    """One result of a list, of either form."""

    id: str = ""
    height: int = 0
    first_leaf: int = 0
    outcomes: tuple[Any, ...] = ()
    status: int = 0
    refused: dict[str, Any] | None = None


class Following(Session):
    """What there is of the ledger itself."""

    def operations(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        type: str | None = None,
        organisation: str | None = None,
    ) -> tuple[OperationView, ...]:
        """Return the history, newest first; as the node says: `receipt` proves an operation.

        Args:
            before: only those before this place in the history.
            limit: how many, at most 1,000.
            type: only of this type, such as `offer_dataset`.
            organisation: only those that it asked for.
        """
        found: tuple[OperationView, ...] = self._connection.get(
            "/v1/operations",
            tuple[OperationView, ...],
            before=before,
            limit=limit,
            type=type,
            organisation=organisation,
        )
        return found

    def operation(self, transaction: str, index: int = 0) -> OperationView:
        """Return one operation with what was asked for; as the node says: `receipt` proves it.

        Raises:
            NotFoundError: the history of the node's copy has none there.
        """
        found: OperationView = self._connection.get(f"/v1/operations/{segment(transaction)}/{index}", OperationView)
        return found

    def events(self, after: int = 0, *, from_height: int | None = None, follow: bool = False) -> Iterator[EventView]:
        """Yield what happened, oldest first; as the node says: a receipt of the operation behind `leaf` proves it.

        Args:
            after: only events behind this number; give the last `sequence` to go on from there.
            from_height: from this block on, instead.
            follow: go on waiting for more, without end.
        """
        query: dict[str, Any] = {"after": after} if from_height is None else {"from_height": from_height}
        while True:
            wait = min(_WAIT_SECONDS, max(1, int(self._connection.timeout_s / 2))) if follow else None
            found: Events = self._connection.get("/v1/events", Events, limit=_EVENTS_AT_A_TIME, wait=wait, **query)
            yield from found.events
            if not found.events and not follow:
                return
            query = {"after": found.next}

    def submit(self, transactions: Sequence[bytes]) -> list[Submitted]:
        """Hand in transactions that are signed already; return what became of each, in order.

        They are sent in lists of at most 1,000 and 16 MiB. Where an answer was lost every transaction of that list has
        the error; the ledger takes a transaction once only, so that it is safe to hand it in again.

        A transaction for which the organisation's queue has no room is handed in again after the time that the node
        asks for, as long as all these pauses together are within this client's timeout; then it has a `QueueFullError`,
        which says when to come again.

        Args:
            transactions: their bytes.
        """
        results: list[Submitted] = []
        for batch in _batches(transactions):
            results += self._submit_list(batch)
        waited = 0
        while True:
            full = [(at, result) for at, result in enumerate(results) if isinstance(result, QueueFullError)]
            pause = max((result.retry_after_s for _, result in full), default=0)
            waited += pause
            if not full or waited > self._connection.timeout_s:
                return results
            self._connection.sleep(pause)
            places = iter([at for at, _ in full])
            for batch in _batches([transactions[at] for at, _ in full]):
                for result in self._submit_list(batch):
                    results[next(places)] = result

    def _submit_list(self, batch: list[bytes]) -> list[Submitted]:
        try:
            answers: list[_Answer] = self._connection.send(
                "/v1/transactions", list[_Answer], msgspec.msgpack.encode(batch), BULK_MEDIA
            )
        except (NodeError, RejectedError) as error:
            return [error] * len(batch)
        if len(answers) != len(batch):
            return [not_understood("it has not as many results as there were transactions")] * len(batch)
        return [_result(answer) for answer in answers]

    def record_evidence(
        self,
        paths: Sequence[str | PathLike[str]],
        out: str | PathLike[str] | None = None,
        *,
        progress: Progress | None = None,
    ) -> EvidenceView:
        """Record that the organisation had certain files; the node writes a proof for each.

        Args:
            paths: files and folders on the node's machine.
            out: folder for the proofs there.
            progress: told of bytes, where the node counts them.

        Raises:
            RejectedError: the ledger refuses it.
            NodeError: a file cannot be read.
            ViewError: the node says something else than the ledger.
        """
        form: dict[str, Any] = {"paths": [str(Path(path).absolute()) for path in paths]}
        if out is not None:
            form["out"] = str(Path(out).absolute())
        job = self._connection.post("/v1/evidence", Job, form)
        view: EvidenceView = self._connection.finish(job, EvidenceView, progress)
        check_evidence(view, self._get(EVIDENCE, view.id))
        return view

    def evidence(self) -> tuple[EvidenceView, ...]:
        """Return the evidence that this organisation recorded, newest first; as the node says."""
        found: tuple[EvidenceView, ...] = self._connection.get("/v1/evidence", tuple[EvidenceView, ...])
        return found


def _batches(transactions: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for transaction in transactions:
        # Five bytes at most say how long a byte string is.
        if batch and (len(batch) == MAX_BULK or size + len(transaction) + 5 > MAX_BULK_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(transaction)
        size += len(transaction) + 5
    if batch:
        yield batch


def _result(answer: _Answer) -> Submitted:
    if answer.refused is not None:
        return job_refusal(answer.status, answer.refused)
    return msgspec.convert(msgspec.to_builtins(answer), SubmittedView)
