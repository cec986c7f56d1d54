"""Work that takes longer than a request should: fetching, taking fingerprints. A job is asked about until it ended.

Jobs live in this process only. What they record is on the ledger; a delivery that was cut by a restart goes on by
itself, and its job is gone.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tallystick.api.problems import describe
from tallystick.errors import UsageError
from tallystick.office.refusals import NotFoundError
from tallystick.views import Job, Problem

MOST_RUNNING = 64
_MOST_KEPT = 1_000

Progress = Callable[[int, int], None]


class _Work:
    def __init__(self, job: Job, owner: str) -> None:
        self.job = job
        self.owner = owner
        self.ended = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Jobs:
    """All jobs of this process."""

    def __init__(self) -> None:
        self._works: dict[str, _Work] = {}

    def start(self, what: str, owner: str, run: Callable[[Progress], Awaitable[Any]]) -> Job:
        """Start a job.

        Args:
            what: for people.
            owner: id of the API key that asked for it; nobody else is told of it.
            run: does it; is handed what to tell progress to, from any thread.

        Raises:
            UsageError: too many run already.
        """
        running = sum(1 for work in self._works.values() if work.job.state == "running")
        if running >= MOST_RUNNING:
            raise UsageError(f"{running} jobs run already", remedy="Wait until some of them have ended.")
        self._forget_oldest()
        work = _Work(Job(id=f"job-{secrets.token_hex(8)}", what=what, state="running"), owner)
        self._works[work.job.id] = work
        work.task = asyncio.create_task(self._run(work, run))
        return work.job

    async def _run(self, work: _Work, run: Callable[[Progress], Awaitable[Any]]) -> None:
        def progress(done: int, total: int) -> None:
            work.job = msgspec.structs.replace(work.job, done=done, total=total)

        try:
            result = await run(progress)
            work.job = msgspec.structs.replace(work.job, state="done", result=result)
        except asyncio.CancelledError:
            problem = Problem(error="stopped", message="the node was stopped", remedy="Ask for it again.")
            work.job = msgspec.structs.replace(
                work.job, state="failed", problem=msgspec.to_builtins(problem), status=503
            )
            raise
        except Exception as error:
            status, body, _ = describe(error)
            work.job = msgspec.structs.replace(
                work.job, state="failed", problem=msgspec.to_builtins(body), status=status
            )
        finally:
            work.ended.set()

    def get(self, identifier: str, owner: str) -> Job:
        """Return a job as it is.

        Raises:
            NotFoundError: this key has no such job.
        """
        return self._find(identifier, owner).job

    async def wait(self, identifier: str, owner: str, seconds: float) -> Job:
        """Return a job when it ended, or as it is after some seconds.

        Raises:
            NotFoundError: this key has no such job.
        """
        work = self._find(identifier, owner)
        if seconds > 0:
            try:
                await asyncio.wait_for(work.ended.wait(), seconds)
            except TimeoutError:
                return work.job
        return work.job

    async def stop(self) -> None:
        """Stop what still runs."""
        tasks = [work.task for work in self._works.values() if work.task is not None and not work.task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _find(self, identifier: str, owner: str) -> _Work:
        work = self._works.get(identifier)
        if work is None or work.owner != owner:
            raise NotFoundError("there is no such job", remedy="Look at `tally delivery list`, and ask for it again.")
        return work

    def _forget_oldest(self) -> None:
        ended = [name for name, work in self._works.items() if work.job.state != "running"]
        for name in ended[: max(0, len(self._works) - _MOST_KEPT)]:
            del self._works[name]
