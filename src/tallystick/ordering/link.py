"""The link between a node's core and everything else on the same machine: a unix socket with small framed messages.

A frame is its length (4 bytes, big-endian) and a MessagePack array [number, kind, body]. A request's number comes back
with its answer; answers may overtake each other. Number 0 is news that nobody asked for (a block, an alarm). The socket
lies in the node's home with mode 0600: who may open it is who may read the home.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tallystick.errors import NodeError, PeerError, RejectedError
from tallystick.machine import Outcome
from tallystick.ordering.solo import Submitted

MAX_FRAME_BYTES = 64 << 20
NEWS = 0

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
    return {"message": error.message, "remedy": error.remedy}


def rebuild_error(value: dict[str, Any]) -> RejectedError | NodeError:
    """Return the error that `describe_error` described."""
    if "code" in value:
        return RejectedError(value["code"], value["name"], value["message"], **value["fields"])
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


class LinkServer:
    """The core's end: answers requests, tells news to everybody connected."""

    def __init__(self, path: Path, handlers: dict[str, Handler]) -> None:
        """Prepare a server.

        Args:
            path: of the socket; at most about 100 bytes long, a limit of the operating system.
            handlers: what answers each kind of request; raises `RejectedError` or `NodeError` to refuse.
        """
        self._path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=1 << 20)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.close()
        for task in list(self._tasks):
            task.cancel()
        self._path.unlink(missing_ok=True)

    def tell(self, kind: str, body: Any) -> None:
        """Send news to everybody connected; who does not read is cut off rather than waited for."""
        data = frame(NEWS, kind, body)
        for writer in list(self._writers):
            if writer.transport.get_write_buffer_size() > MAX_FRAME_BYTES:
                writer.close()
            else:
                writer.write(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                if size > MAX_FRAME_BYTES:
                    return
                number, kind, body = _decoder.decode(await reader.readexactly(size))
                task = asyncio.create_task(self._answer(writer, number, kind, body))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, number: int, kind: str, body: Any) -> None:
        handler = self._handlers.get(kind)
        try:
            if handler is None:
                raise PeerError(f"the core does not know {kind}", remedy="Use the same version for core and office.")
            answer = frame(number, "ok", await handler(body))
        except (RejectedError, NodeError) as error:
            answer = frame(number, "error", describe_error(error))
        with contextlib.suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()


class LinkClient:
    """The other end: sends requests, hears news. Connects anew by itself when the core was restarted."""

    def __init__(self, path: Path, on_news: Callable[[str, Any], None] | None = None) -> None:
        self._path = path
        self._on_news = on_news
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, kind: str, body: Any = None) -> Any:
        """Send a request and return its answer.

        Raises:
            RejectedError: the rules refuse it.
            PeerError: the core refuses it, is not running, or went away before it answered.
        """
        writer = self._writer or await self._connect()
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            writer.write(frame(number, kind, body))
            await writer.drain()
            return await future
        except ConnectionError:
            raise self._gone() from None
        finally:
            self._pending.pop(number, None)

    async def submit(self, transactions: Sequence[bytes]) -> list[Submitted | RejectedError | NodeError]:
        """Submit transactions; return for each what became of it, in order, when all are on disk or refused.

        Raises:
            PeerError: the core is not there; what was sent may or may not be recorded: send the same bytes again.
        """
        answers = await self.ask("submit", list(transactions))
        return [rebuild_submitted(item) if "id" in item else rebuild_error(item) for item in answers]

    async def connect(self) -> None:
        """Connect now, so that news arrives before the first request."""
        if self._writer is None:
            await self._connect()

    async def close(self) -> None:
        """Close the connection."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _connect(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is not None:
                return self._writer
            try:
                reader, writer = await asyncio.open_unix_connection(self._path, limit=1 << 20)
            except OSError:
                raise self._gone() from None
            self._writer = writer
            self._reading = asyncio.create_task(self._read(reader, writer))
            return writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                number, kind, body = _decoder.decode(await reader.readexactly(size))
                if number == NEWS:
                    if self._on_news is not None:
                        self._on_news(kind, body)
                    continue
                future = self._pending.pop(number, None)
                if future is None or future.done():
                    continue
                if kind == "ok":
                    future.set_result(body)
                else:
                    future.set_exception(rebuild_error(body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            if self._writer is writer:
                self._writer = None
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(self._gone())
            self._pending.clear()

    def _gone(self) -> PeerError:
        return PeerError(
            f"the node's core does not answer at {self._path}",
            remedy="Start it with `tally node run`, or look at its log; then send the same again.",
        )
