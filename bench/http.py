"""Over HTTP: the real office and core, one submitting process with many connections.

The client is a few lines over a socket, so that what is measured is the node: a general client library would take more
of the two cores than the node does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bench.figures import beside_v, rate_figure
from bench.nodes import RunningNode

CONNECTIONS = 128
BULK = 100
BULK_CONNECTIONS = 16
SINGLE_GOAL, BULK_GOAL = 0.12, 0.35
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Connection(asyncio.Protocol):
    """A connection that is kept, with one request under way."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail who waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the office closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Give the answer to who waits once it is whole."""
        self._received += data
        end = self._received.find(_END)
        if end < 0 or self._answer is None:
            return
        at = self._received.lower().index(_LENGTH, 0, end + 2) + len(_LENGTH)
        length = int(self._received[at : self._received.index(b"\r\n", at)])
        if len(self._received) < end + len(_END) + length:
            return
        head, body, self._received = self._received[:end], self._received[end + len(_END) :], b""
        if head.startswith(b"HTTP/1.1 200 "):
            self._answer.set_result(body)
        else:
            self._answer.set_exception(ConnectionError(body.decode()))

    async def post(self, head: bytes, body: bytes) -> bytes:
        """Send a request and return the body of its answer.

        Raises:
            ConnectionError: it was not answered by 200.
        """
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))
        return await self._answer

    def close(self) -> None:
        """Close."""
        self._transport.close()


async def post_all(url: str, key: str, media: str, bodies: Sequence[bytes], connections: int) -> float:
    """Post every body once over a number of connections; return the seconds until all are answered."""
    host, _, port = urlsplit(url).netloc.rpartition(":")
    head = (
        f"POST /v1/transactions HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: {media}\r\n"
    ).encode()
    queue = list(reversed(bodies))
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Connection, host, int(port)))[1] for _ in range(connections)]

    async def work(connection: Connection) -> None:
        while queue:
            answer = await connection.post(head, queue.pop())
            assert b'"refused"' not in answer, answer

    started = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in opened))
    seconds = time.perf_counter() - started
    for connection in opened:
        connection.close()
    return seconds


async def run(folder: Path, *, short: bool) -> None:
    """Measure one transaction a request, and 100 a request."""
    count, rounds = (1_000, 1) if short else (10_000, 3)
    node = RunningNode(folder)
    try:
        await node.ready()
        url, key = await node.start_office()
        ones, bulks = [], []
        for _ in range(rounds):
            transactions = await node.sign(count, 1)

            async def one(bodies: list[bytes] = transactions) -> float:
                return count / await post_all(url, key, "application/cbor", bodies, CONNECTIONS)

            ones.append(await beside_v(one))
            transactions = await node.sign(2 * count, 1)
            packed = [msgspec.msgpack.encode(transactions[at : at + BULK]) for at in range(0, len(transactions), BULK)]

            async def many(bodies: list[bytes] = packed) -> float:
                return 2 * count / await post_all(url, key, "application/x-msgpack", bodies, BULK_CONNECTIONS)

            bulks.append(await beside_v(many))
        rate_figure("http_single", ones, "transactions/s", goal=SINGLE_GOAL, connections=CONNECTIONS)
        rate_figure("http_bulk", bulks, "transactions/s", goal=BULK_GOAL, connections=BULK_CONNECTIONS, bulk=BULK)
    finally:
        await node.stop()
