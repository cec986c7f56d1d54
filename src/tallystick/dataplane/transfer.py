"""One answer with content: batches are prepared in worker threads a little ahead of what the peer takes.

What ends it early, and what the peer then finds: access is withdrawn (connection cut; the next request is refused with
the reason), a file has changed (409 if nothing was sent yet, else cut, and 409 on the next request), the peer takes
nothing for too long (cut).
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Executor

from aiohttp import web

from tallystick.dataplane.limits import Limits
from tallystick.dataplane.ports import AccessPolicy, Grant, TransferReport
from tallystick.dataplane.ranges import ByteRange
from tallystick.dataplane.refusals import SourceChangedError, refusal_name
from tallystick.dataplane.sending import Sender
from tallystick.errors import NodeError


class Transfer:
    """Sends one range of one delivery.

    Attributes:
        refusal: set if the source was found changed before anything was sent; nothing was sent then.
    """

    def __init__(
        self,
        policy: AccessPolicy,
        limits: Limits,
        pool: Executor,
        request: web.Request,
        response: web.StreamResponse,
        pin: str,
        grant: Grant,
        sender: Sender,
        span: ByteRange,
    ) -> None:
        self._policy, self._limits, self._pool = policy, limits, pool
        self._request, self._response = request, response
        self._pin, self._grant, self._sender, self._span = pin, grant, sender, span
        self._sent = 0
        self._runs = sender.batches(span.start, span.end)
        self._jobs: deque[tuple[int, asyncio.Future[bytearray]]] = deque()
        self._authorised_at = asyncio.get_running_loop().time()
        self.refusal: SourceChangedError | None = None

    async def run(self) -> TransferReport:
        """Send, and tell how it ended."""
        reason = "stopped"
        try:
            self._prepare_ahead()
            batch = await self._next_batch()
            await self._response.prepare(self._request)
            while batch is not None:
                self._prepare_ahead()
                await self._recheck()
                async with asyncio.timeout(self._limits.stall_s):
                    await self._response.write(batch)
                self._sent += len(batch)
                batch = await self._next_batch()
            reason = ""
        except SourceChangedError as error:
            reason = error.name
            if not self._response.prepared:
                self.refusal = error
        except NodeError as error:
            reason = refusal_name(error)
        except TimeoutError:
            reason = "stalled"
        except ConnectionError:
            reason = "peer_gone"
        finally:
            self._drop_prepared()
            if reason and self.refusal is None and self._request.transport is not None:
                # The length was announced, so anything less must end as a broken connection.
                self._request.transport.abort()
        span = self._span
        return TransferReport(
            self._grant.delivery,
            self._grant.organisation,
            self._pin,
            span.start,
            self._sent,
            span.end - span.start,
            reason,
        )

    async def _recheck(self) -> None:
        """Authorise the transfer again if the last time was long ago.

        Raises:
            AccessError: it may not go on.
        """
        now = asyncio.get_running_loop().time()
        if now - self._authorised_at >= self._limits.recheck_s:
            await self._policy.authorise(self._pin, self._grant.delivery)
            self._authorised_at = now

    def _prepare_ahead(self) -> None:
        loop = asyncio.get_running_loop()
        while len(self._jobs) < self._limits.ahead:
            run = next(self._runs, None)
            if run is None:
                return
            self._jobs.append((run[0], loop.run_in_executor(self._pool, self._sender.render, *run)))

    async def _next_batch(self) -> memoryview | None:
        """Return the next batch, cut to the range, or None after the last."""
        if not self._jobs:
            return None
        chunk, job = self._jobs.popleft()
        return self._sender.trim(chunk, await job, self._span.start, self._span.end)

    def _drop_prepared(self) -> None:
        for _, job in self._jobs:
            job.cancel()
            # Its outcome is of no interest any more, and asyncio would complain about one never looked at.
            job.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        self._jobs.clear()
