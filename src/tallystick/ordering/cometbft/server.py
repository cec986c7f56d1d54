"""The socket between the engine and the ledger: ABCI 2.0, messages behind their length, answered in their order.

Rules:

- The engine opens four connections (consensus, mempool, query, snapshot). Each has a queue and a worker of its own, and
  what goes wrong on one does not touch the others.
- The engine sends many requests before it reads an answer. Checks of transactions that lie together in the queue are
  handed over together, so that their signatures are checked as one batch.
- A request that fails is answered with an exception, which makes the engine stop; the log has the whole story.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import structlog
from google.protobuf.message import DecodeError, Message

from tallystick.errors import NodeError, PeerError
from tallystick.ordering.cometbft.generated import abci_pb2 as abci

log = structlog.get_logger("engine")
MAX_MESSAGE_BYTES = 100 << 20
MAX_BATCH = 1_024
# Above this many waiting requests of one connection, nothing more is read from it until half of them are answered.
MAX_WAITING = 4_096
_LENGTH_BYTES = 5
_FLUSHED = abci.Response(flush=abci.ResponseFlush())


class Application(Protocol):
    """What answers the engine; each method is named after its request."""

    async def info(self, request: abci.RequestInfo) -> abci.ResponseInfo:
        """Tell where the ledger is."""

    async def init_chain(self, request: abci.RequestInitChain) -> abci.ResponseInitChain:
        """Begin."""

    async def query(self, request: abci.RequestQuery) -> abci.ResponseQuery:
        """Answer a question about what is committed."""

    async def check_transactions(self, requests: Sequence[abci.RequestCheckTx]) -> list[abci.ResponseCheckTx]:
        """Admit transactions to the mempool, or not."""

    async def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        """Choose what goes into a block."""

    async def process_proposal(self, request: abci.RequestProcessProposal) -> abci.ResponseProcessProposal:
        """Judge another's choice."""

    async def finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        """Execute a decided block."""

    async def commit(self, request: abci.RequestCommit) -> abci.ResponseCommit:
        """Put the executed block on disk."""

    async def extend_vote(self, request: abci.RequestExtendVote) -> abci.ResponseExtendVote:
        """Add to a vote."""

    async def verify_vote_extension(self, request: abci.RequestVerifyVoteExtension) -> abci.ResponseVerifyVoteExtension:
        """Judge what another added to its vote."""

    async def list_snapshots(self, request: abci.RequestListSnapshots) -> abci.ResponseListSnapshots:
        """Tell which snapshots there are."""

    async def offer_snapshot(self, request: abci.RequestOfferSnapshot) -> abci.ResponseOfferSnapshot:
        """Take a snapshot that somebody has, or not."""

    async def load_snapshot_chunk(self, request: abci.RequestLoadSnapshotChunk) -> abci.ResponseLoadSnapshotChunk:
        """Give one piece of a snapshot."""

    async def apply_snapshot_chunk(self, request: abci.RequestApplySnapshotChunk) -> abci.ResponseApplySnapshotChunk:
        """Take one piece of a snapshot."""


def frame(message: Message) -> bytes:
    """Return a message behind its length, as the engine reads it."""
    data = message.SerializeToString()
    size = len(data)
    head = bytearray()
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + data


def take_frame(buffer: bytearray, offset: int) -> tuple[bytes, int] | None:
    """Return the next message of a buffer and where it ends, or None where it is not whole yet.

    Raises:
        PeerError: it is longer than any message is.
    """
    size = shift = 0
    for position in range(offset, min(offset + _LENGTH_BYTES, len(buffer))):
        byte = buffer[position]
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            if size > MAX_MESSAGE_BYTES:
                break
            end = position + 1 + size
            return (bytes(memoryview(buffer)[position + 1 : end]), end) if end <= len(buffer) else None
        shift += 7
    else:
        if len(buffer) - offset < _LENGTH_BYTES:
            return None
    raise PeerError(
        "the engine sent a message longer than 100 MiB, or no message at all",
        remedy="Use the engine that `tally engine install` builds.",
    )


class AbciServer:
    """Listens for the engine.

    Attributes:
        path: of the socket.
    """

    def __init__(self, path: Path, application: Application) -> None:
        """Prepare a server.

        Args:
            path: of the socket; at most about 100 bytes long, a limit of the operating system.
            application: answers.
        """
        self.path = path
        self._application = application
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def start(self) -> None:
        """Listen; only this user may connect."""
        self.path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(self._connect, str(self.path))
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Close every connection, letting what is being answered come to its end."""
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*(connection.end() for connection in list(self._connections)))
        self.path.unlink(missing_ok=True)

    def _connect(self) -> _Connection:
        connection = _Connection(self._application, self._connections)
        return connection


class _Connection(asyncio.Protocol):
    """One of the engine's connections."""

    def __init__(self, application: Application, open_connections: set[_Connection]) -> None:
        self._application = application
        self._open = open_connections
        self._buffer = bytearray()
        self._waiting: deque[abci.Request] = deque()
        self._arrived = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._worker: asyncio.Task[None] | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to answer."""
        # uvloop's transports are not registered as this type, though they are of its shape.
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)
        self._worker = asyncio.get_running_loop().create_task(self._answer())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop answering, but not in the middle of a request: a block is committed whole or not begun."""
        self._open.discard(self)
        self._transport = None
        self._arrived.set()

    def data_received(self, data: bytes) -> None:
        """Queue every whole request."""
        buffer = self._buffer
        buffer += data
        offset = 0
        try:
            while (taken := take_frame(buffer, offset)) is not None:
                raw, offset = taken
                self._waiting.append(abci.Request.FromString(raw))
        except (PeerError, DecodeError) as error:
            log.error("engine_message_refused", reason=str(error))
            self._waiting.clear()
            self._close()
            return
        del buffer[:offset]
        if len(self._waiting) > MAX_WAITING and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True
        if self._waiting:
            self._arrived.set()

    async def end(self) -> None:
        """Close, and wait until the request being answered is done."""
        self._close()
        if self._worker is not None:
            await asyncio.wait([self._worker])

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._arrived.set()

    async def _answer(self) -> None:
        """Answer what waits, in its order, until the connection is gone."""
        while self._transport is not None:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting and self._transport is not None:
                answers = await self._take()
                # The engine asks for a flush behind nearly all that it asks; each write of its own would wake it once more.
                while self._waiting and self._waiting[0].WhichOneof("value") == "flush":
                    self._waiting.popleft()
                    answers.append(_FLUSHED)
                if self._transport is not None:
                    self._transport.write(b"".join([frame(answer) for answer in answers]))
                if self._paused and len(self._waiting) < MAX_WAITING // 2 and self._transport is not None:
                    self._paused = False
                    self._transport.resume_reading()

    async def _take(self) -> list[abci.Response]:
        """Answer the next request, or as many checks of transactions as lie together."""
        waiting = self._waiting
        kind = waiting[0].WhichOneof("value")
        if kind != "check_tx":
            return [await self._one(kind, waiting.popleft())]
        batch: list[abci.RequestCheckTx] = []
        while waiting and len(batch) < MAX_BATCH and waiting[0].WhichOneof("value") == "check_tx":
            batch.append(waiting.popleft().check_tx)
        try:
            answers = await self._application.check_transactions(batch)
        except Exception as error:  # the edge of the process: the engine must hear of it, not wait for ever
            return [_exception("check_tx", error)] * len(batch)
        return [abci.Response(check_tx=answer) for answer in answers]

    async def _one(self, kind: str | None, request: abci.Request) -> abci.Response:
        if kind == "flush":
            return _FLUSHED
        if kind == "echo":
            return abci.Response(echo=abci.ResponseEcho(message=request.echo.message))
        if kind is None:
            return abci.Response(exception=abci.ResponseException(error="not a request of ABCI 2.0"))
        try:
            answer: Any = await getattr(self._application, kind)(getattr(request, kind))
        except Exception as error:  # the edge of the process: the engine must hear of it, not wait for ever
            return _exception(kind, error)
        return abci.Response(**{kind: answer})


def _exception(kind: str, error: Exception) -> abci.Response:
    """Log what went wrong and return what the engine is told."""
    if isinstance(error, NodeError):
        log.error("engine_request_failed", request=kind, message=error.message, remedy=error.remedy)
        return abci.Response(exception=abci.ResponseException(error=f"{error.message}. {error.remedy}"))
    log.error("engine_request_failed", request=kind, kind=type(error).__name__, exc_info=error)
    return abci.Response(exception=abci.ResponseException(error=f"{kind} failed: see the log of the node's core"))
