"""The hot path: transactions that are signed already, straight from the socket to where they are ordered.

It is a plain ASGI application before all routing. What arrives within one turn of the event loop goes to the core as one
message, so that many clients with one transaction each cost little more than one client with many; every transaction is
answered on its own, and a bad one harms no other.

    application/cbor        the body is one transaction; answered 200 with its result, or with its rejection
    application/x-msgpack   the body is a list of 1 to 1,000 transactions; answered 200 with a list of results
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from tallystick.api.access import ACTING_ROLES, Gate, need_role
from tallystick.api.problems import JSON_MEDIA, HttpError, answer, describe, malformed, too_large
from tallystick.api.routing import BODY_SECONDS
from tallystick.api.services import Submit
from tallystick.errors import NodeError, RejectedError
from tallystick.ledger.ports import SubmittedRow
from tallystick.views import OutcomeView, Problem, RefusedView, SubmittedView

PATH = "/v1/transactions"
SINGLE_MEDIA = "application/cbor"
BULK_MEDIA = "application/x-msgpack"
MAX_TRANSACTION_BYTES = 1 << 20
MAX_BULK_BYTES = 16 << 20
MAX_BULK = 1_000
_SUBMIT_SECONDS = 60.0
_MOST_A_MESSAGE = 2_000
_MOST_BYTES_A_MESSAGE = 16 << 20

Result = SubmittedRow | RejectedError | NodeError


_bulk_decoder = msgspec.msgpack.Decoder(list[bytes])
_encoder = msgspec.json.Encoder()
_ACCEPTED = OutcomeView(code=0)


class Mailbox:
    """Gathers what arrives in one turn of the loop and sends it on together."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._waiting: list[tuple[bytes, asyncio.Future[Result]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, transaction: bytes) -> asyncio.Future[Result]:
        """Send a transaction on with whatever else arrives now; return what will become of it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((transaction, future))
        return future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        batch: list[tuple[bytes, asyncio.Future[Result]]] = []
        size = 0
        for item in waiting:
            if batch and (len(batch) >= _MOST_A_MESSAGE or size + len(item[0]) > _MOST_BYTES_A_MESSAGE):
                self._start(batch)
                batch, size = [], 0
            batch.append(item)
            size += len(item[0])
        self._start(batch)

    def _start(self, batch: list[tuple[bytes, asyncio.Future[Result]]]) -> None:
        task = asyncio.create_task(self._send(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, batch: list[tuple[bytes, asyncio.Future[Result]]]) -> None:
        try:
            results: Sequence[Result] = await self._submit([transaction for transaction, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # marked as seen: who asked may have gone
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)


class TransactionsDoor:
    """ASGI application for `POST /v1/transactions`; everything else goes to the application behind it."""

    def __init__(self, app: ASGIApp, *, gate: Gate, submit: Submit) -> None:
        self._app = app
        self._gate = gate
        self._mailbox = Mailbox(submit)
        self._submit = submit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._serve(scope, receive)
        except Exception as error:
            response = answer(error)
            await response(scope, receive, send)
            return
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", JSON_MEDIA.encode()),
                    (b"content-length", str(len(body)).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _serve(self, scope: Scope, receive: Receive) -> bytes:
        authorization: str | None = None
        media = ""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value.decode("latin-1")
            elif name == b"content-type":
                media = value.decode("latin-1")
        need_role(self._gate.who(authorization), ACTING_ROLES)
        if scope["method"] != "POST":
            raise HttpError(
                405,
                Problem(error="method", message="transactions are handed in by POST", remedy="Use POST."),
                Allow="POST",
            )
        media = media.partition(";")[0].strip().lower()
        if media == SINGLE_MEDIA:
            data = await _read(receive, MAX_TRANSACTION_BYTES)
            if not data:
                raise malformed("the body is empty: it is to be one transaction")
            result = await asyncio.wait_for(self._mailbox.put(data), _SUBMIT_SECONDS)
            if isinstance(result, (RejectedError, NodeError)):
                raise result
            return _encoder.encode(view(result))
        if media != BULK_MEDIA:
            raise HttpError(
                415,
                Problem(
                    error="media_type",
                    message=f"this takes {SINGLE_MEDIA} (one transaction) or {BULK_MEDIA} (a list)",
                    remedy="Say which it is in Content-Type.",
                ),
            )
        transactions = _read_bulk(await _read(receive, MAX_BULK_BYTES))
        results = await asyncio.wait_for(self._submit(transactions), _SUBMIT_SECONDS)
        return _encoder.encode([_bulk_view(result) for result in results])


def _read_bulk(data: bytes) -> list[bytes]:
    try:
        transactions = _bulk_decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise malformed("the body is not a MessagePack list of byte strings") from None
    if not 1 <= len(transactions) <= MAX_BULK:
        raise malformed(f"a list holds 1 to {MAX_BULK} transactions")
    if any(len(transaction) > MAX_TRANSACTION_BYTES for transaction in transactions):
        raise too_large(MAX_TRANSACTION_BYTES)
    return transactions


async def _read(receive: Receive, limit: int) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        data: bytes = message.get("body", b"")
        if len(data) > limit:
            raise too_large(limit)
        return data
    async with asyncio.timeout(BODY_SECONDS):
        chunks: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise malformed("the body did not arrive whole")
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks)
            message = await receive()


def view(done: SubmittedRow) -> SubmittedView:
    """Return a result as it is answered."""
    outcomes = tuple(
        _ACCEPTED
        if outcome.error is None
        else OutcomeView(
            code=outcome.error.code,
            name=outcome.error.name,
            message=outcome.error.message,
            fields=outcome.error.fields,
        )
        for outcome in done.outcomes
    )
    return SubmittedView(id=done.id.hex(), height=done.height, first_leaf=done.first_leaf, outcomes=outcomes)


def _bulk_view(result: Result) -> Any:
    if isinstance(result, (RejectedError, NodeError)):
        status, body, _ = describe(result)
        return RefusedView(status=status, refused=msgspec.to_builtins(body))
    return view(result)
