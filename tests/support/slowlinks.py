"""Slow and lossy links between nodes on one machine, without any help of the kernel.

A proxy holds back what it passes on: each piece for the time that the link takes, and one in twenty for a round trip
more, as TCP does with a segment that was lost and sent again; what comes behind it on the same connection waits as well,
for TCP keeps the order. So programs see what they would see over `netem delay 300ms loss 5%`, which few kernels of test
machines have: late bytes in bursts, never missing ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from types import TracebackType

SEGMENT_BYTES = 1_448
# So much is on its way at most, as a receiver's window has it.
_WINDOW_PIECES = 256


class SlowLinks:
    """Proxies on loopback, in a thread of their own from `with` to its end."""

    def __init__(self, *, delay_s: float, loss: float, seed: int) -> None:
        """Prepare.

        Args:
            delay_s: one way.
            loss: share of the segments that are lost, 0 to 1.
            seed: of the choice which.
        """
        self._delay_s = delay_s
        self._loss = loss
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self.lost = 0
        self.passed = 0

    def add(self, target: str, listen: str = "127.0.0.1:0") -> str:
        """Lead to an address over a slow link; return where to connect instead.

        Args:
            target: `host:port`.
            listen: `host:port` of the proxy; by default any port that is free.
        """
        return asyncio.run_coroutine_threadsafe(self._add(target, listen), self._loop).result(10)

    def heal(self) -> None:
        """Let everything pass at once from now on."""
        self._delay_s = self._loss = 0.0

    async def _add(self, target: str, listen: str) -> str:
        host, _, port = listen.rpartition(":")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._join(reader, writer, target)

        server = await asyncio.start_server(serve, host, int(port))
        self._servers.append(server)
        return f"{host}:{server.sockets[0].getsockname()[1]}"

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str) -> None:
        host, _, port = target.rpartition(":")
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        pumps = [asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))]
        self._tasks.update(pumps)
        await asyncio.wait(pumps)
        self._tasks.difference_update(pumps)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, late; an end too."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_WINDOW_PIECES)
        sending = asyncio.create_task(self._send(pieces, writer))
        due = 0.0
        try:
            while True:
                try:
                    data = await reader.read(16 * SEGMENT_BYTES)
                except OSError:
                    data = b""
                due = max(due, self._loop.time() + self._delay_s + self._held_back_s(len(data)))
                await pieces.put((due, data))
                if not data:
                    break
            await sending
        finally:
            sending.cancel()

    def _held_back_s(self, size: int) -> float:
        segments = -(-size // SEGMENT_BYTES)
        lost = sum(self._chance.random() < self._loss for _ in range(segments))
        self.passed += segments
        self.lost += lost
        return lost * 2 * self._delay_s

    async def _send(self, pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = await pieces.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        writer.close()

    def __enter__(self) -> SlowLinks:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
