"""The link between a node's core and everything else on the same machine: a unix socket with small framed messages.

A frame is its length (4 bytes, big-endian) and a MessagePack array [number, kind, body]. A request's number comes back
with its answer; answers may overtake each other. Number 0 is news that nobody asked for (a block, an alarm). The socket
lies in the node's home with mode 0600: who may open it is who may read the home.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog

from tallystick.errors import NodeError, PeerError, QueueFullError, RejectedError
from tallystick.machine import Outcome
from tallystick.ordering.intake import Submitted

log = structlog.get_logger("core")
MAX_FRAME_BYTES = 64 << 20
NEWS = 0
_SEND_BYTES = 1 << 20  # the system gives as much of it as it may

Handler = Callable[[Any], Awaitable[Any]]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, str, Any])


def frame(number: int, kind: str, body: Any) -> bytes:
    """Return the bytes of one message."""
    data = _encoder.encode((number, kind, body))
    return len(data).to_bytes(4, "big") + data


def describe_error(error: RejectedError | NodeError) -> dict[str, Any]:
    """Return an error as it travels over the link."""
    if isinstance(error, RejectedError):
        return {"code": error.code, "name": error.name, "message": error.message, "fields": error.fields}
    if isinstance(error, QueueFullError):
        return {"message": error.message, "remedy": error.remedy, "retry_after_s": error.retry_after_s}
    return {"message": error.message, "remedy": error.remedy}


def rebuild_error(value: dict[str, Any]) -> RejectedError | NodeError:
    """Return the error that `describe_error` described."""
    if "code" in value:
        return RejectedError(value["code"], value["name"], value["message"], **value["fields"])
    if "retry_after_s" in value:
        return QueueFullError(value["message"], remedy=value["remedy"], retry_after_s=int(value["retry_after_s"]))
    return PeerError(value["message"], remedy=value["remedy"])


def describe_submitted(done: Submitted) -> dict[str, Any]:
    """Return the result of a transaction as it travels over the link; accepted operations are a bare 0."""
    outcomes = [0 if outcome.error is None else describe_error(outcome.error) for outcome in done.outcomes]
    return {"id": done.id, "height": done.height, "first_leaf": done.first_leaf, "outcomes": outcomes}


def rebuild_submitted(value: dict[str, Any]) -> Submitted:
    """Return what `describe_submitted` described."""
    outcomes = []
    for item in value["outcomes"]:
        error = None if item == 0 else rebuild_error(item)
        outcomes.append(Outcome(error.code if isinstance(error, RejectedError) else 0, error))  # type: ignore[arg-type]
    return Submitted(value["id"], value["height"], value["first_leaf"], tuple(outcomes))


class _Frames(asyncio.Protocol):
    """Cuts a stream into frames, and gathers what is written in one turn of the loop into one send."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        # uvloop's transports are not registered as this type, though they are of its shape.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand on every whole frame."""
        buffer = self._buffer
        buffer += data
        offset, end = 0, len(buffer)
        while end - offset >= 4:
            size = int.from_bytes(buffer[offset : offset + 4], "big")
            if size > MAX_FRAME_BYTES:
                self.close()
                return
            if end - offset - 4 < size:
                break
            start = offset + 4
            offset = start + size
            try:
                number, kind, body = _decoder.decode(memoryview(buffer)[start:offset])
            except msgspec.MsgspecError:
                self.close()
                return
            self.frame_received(number, kind, body)
        del buffer[:offset]

    def frame_received(self, number: int, kind: str, body: Any) -> None:
        """Take one frame."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Send a frame with whatever else is sent in this turn of the loop."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(out))

    def close(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.close()


class _Served(_Frames):
    """The core's end of one connection."""

    def __init__(self, server: LinkServer) -> None:
        super().__init__()
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join those who hear news."""
        super().connection_made(transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave them."""
        self._server.connections.discard(self)

    def frame_received(self, number: int, kind: str, body: Any) -> None:
        """Answer a request, at once or when its answer is there."""
        self._server.answer(self, number, kind, body)


class LinkServer:
    """The core's end: answers requests, tells news to everybody connected.

    Attributes:
        connections: everybody connected.
    """

    def __init__(
        self,
        path: Path,
        handlers: dict[str, Handler],
        *,
        submit: Callable[[bytes, str], asyncio.Future[Submitted]] | None = None,
    ) -> None:
        """Prepare a server.

        Args:
            path: of the socket; at most about 100 bytes long, a limit of the operating system.
            handlers: what answers each kind of request; raises `RejectedError` or `NodeError` to refuse.
            submit: takes one transaction of a `submit` or `relay` request, and which member's node handed it in, or
                nothing for this one; raises like a handler. It is apart from the handlers because thousands arrive a
                second and each may do without a task of its own.
        """
        self._path = path
        self._handlers = handlers
        self._submit = submit
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: set[_Served] = set()

    async def start(self) -> None:
        """Listen."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: _Served(self), str(self._path))
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()
        for task in list(self._tasks):
            task.cancel()
        self._path.unlink(missing_ok=True)

    def tell(self, kind: str, body: Any) -> None:
        """Send news to everybody connected; who does not read is cut off rather than waited for."""
        data = frame(NEWS, kind, body)
        for connection in list(self.connections):
            transport = connection.transport
            if transport is not None and transport.get_write_buffer_size() > MAX_FRAME_BYTES:
                connection.close()
            else:
                connection.send(data)

    def answer(self, connection: _Served, number: int, kind: str, body: Any) -> None:
        """Answer one request of a connection."""
        if kind == "submit" and self._submit is not None and isinstance(body, list):
            self._answer_submit(connection, number, body, "")
            return
        if kind == "relay" and self._submit is not None and isinstance(body, list) and len(body) == 2:
            source, transactions = body
            self._answer_submit(connection, number, transactions, source)
            return
        task = asyncio.get_running_loop().create_task(self._answer(connection, number, kind, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _answer_submit(self, connection: _Served, number: int, transactions: list[Any], source: str) -> None:
        """Submit all transactions of a request; answer when the last of them is on disk or refused."""
        answers: list[Any] = [None] * len(transactions)
        left = len(transactions)

        def settle(position: int, value: dict[str, Any]) -> None:
            nonlocal left
            answers[position] = value
            left -= 1
            if not left:
                connection.send(frame(number, "ok", answers))

        if not transactions:
            connection.send(frame(number, "ok", []))
        for position, raw in enumerate(transactions):
            try:
                future = self._submit(raw if isinstance(raw, bytes) else b"", source)  # type: ignore[misc]
            except (RejectedError, NodeError) as error:
                settle(position, describe_error(error))
            else:
                future.add_done_callback(partial(self._settle, settle, position))

    @staticmethod
    def _settle(
        settle: Callable[[int, dict[str, Any]], None], position: int, future: asyncio.Future[Submitted]
    ) -> None:
        if future.cancelled():
            settle(position, {"message": "the core is stopping", "remedy": "Send the same again when it is back."})
            return
        error = future.exception()
        if isinstance(error, (RejectedError, NodeError)):
            settle(position, describe_error(error))
        else:
            settle(position, describe_submitted(future.result()))

    async def _answer(self, connection: _Served, number: int, kind: str, body: Any) -> None:
        handler = self._handlers.get(kind)
        try:
            if handler is None:
                raise PeerError(f"the core does not know {kind}", remedy="Use the same version for core and office.")
            answer = frame(number, "ok", await handler(body))
        except (RejectedError, NodeError) as error:
            answer = frame(number, "error", describe_error(error))
        except Exception as error:  # the edge of the process: whoever asked must not wait for ever
            log.error("request_failed", request=kind, kind=type(error).__name__, exc_info=error)
            unforeseen = PeerError(f"the core could not answer {kind}", remedy="Look at the log of the node's core.")
            answer = frame(number, "error", describe_error(unforeseen))
        connection.send(answer)


class _Asking(_Frames):
    """The other end of one connection."""

    def __init__(self, client: LinkClient) -> None:
        super().__init__()
        self._client = client
        self.pending: dict[int, asyncio.Future[Any]] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits; the client connects anew with its next request."""
        self._client.lost(self)

    def frame_received(self, number: int, kind: str, body: Any) -> None:
        """Take an answer or news."""
        if number == NEWS:
            self._client.hear(kind, body)
            return
        future = self.pending.pop(number, None)
        if future is None or future.done():
            return
        if kind == "ok":
            future.set_result(body)
        else:
            future.set_exception(rebuild_error(body))


class LinkClient:
    """The other end: sends requests, hears news. Connects anew by itself when the core was restarted."""

    def __init__(self, path: Path, on_news: Callable[[str, Any], None] | None = None) -> None:
        self._path = path
        self._on_news = on_news
        self._numbers = itertools.count(1)
        self._connection: _Asking | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, kind: str, body: Any = None) -> Any:
        """Send a request and return its answer.

        Raises:
            RejectedError: the rules refuse it.
            PeerError: the core refuses it, is not running, or went away before it answered.
        """
        connection = self._connection or await self._connect()
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        connection.pending[number] = future
        try:
            connection.send(frame(number, kind, body))
            return await future
        finally:
            connection.pending.pop(number, None)

    async def submit(self, transactions: Sequence[bytes]) -> list[Submitted | RejectedError | NodeError]:
        """Submit transactions; return for each what became of it, in order, when all are on disk or refused.

        Raises:
            PeerError: the core is not there; what was sent may or may not be recorded: send the same bytes again.
        """
        answers = await self.ask("submit", list(transactions))
        return [rebuild_submitted(item) if "id" in item else rebuild_error(item) for item in answers]

    async def connect(self) -> None:
        """Connect now, so that news arrives before the first request."""
        if self._connection is None:
            await self._connect()

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def hear(self, kind: str, body: Any) -> None:
        """Pass news on."""
        if self._on_news is not None:
            self._on_news(kind, body)

    def lost(self, connection: _Asking) -> None:
        """Fail what waits on a connection that is gone."""
        if self._connection is connection:
            self._connection = None
        waiting, connection.pending = connection.pending, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(self._gone())

    async def _connect(self) -> _Asking:
        async with self._connecting:
            if self._connection is not None:
                return self._connection
            try:
                connection = await self._open()
            except OSError:
                raise self._gone() from None
            self._connection = connection
            return connection

    async def _open(self) -> _Asking:
        loop = asyncio.get_running_loop()
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The core does not read while it makes a block: what fits in here is there for the next one.
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            link.setblocking(False)
            await loop.sock_connect(link, str(self._path))
            _, connection = await loop.create_unix_connection(lambda: _Asking(self), sock=link)
        except BaseException:
            link.close()
            raise
        return connection

    def _gone(self) -> PeerError:
        return PeerError(
            f"the node's core does not answer at {self._path}",
            remedy="Start it with `tally node run`, or look at its log; then send the same again.",
        )
