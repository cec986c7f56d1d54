"""What waits to be ordered at a node, the same in front of every engine: bounded, fair, and told how long it takes.

A transaction goes through two rooms. In the first its signature is not checked yet, so that it may claim to be anybody's:
there it counts for whoever handed it in, this node's own office or another member's node, and nobody can fill the room of
another by using that one's name. In the second its signature is good, and it counts for its author's organisation, until
it is recorded or refused.

Each organisation has its share of either room, and never more than is still free (`fairness`). Beyond that it is told
when to come again: after the time in which half of what it has waiting is done, at the speed of the last seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tallystick.errors import NodeError, QueueFullError, RejectedError
from tallystick.machine import Outcome, Transaction
from tallystick.machine.rejections import BAD_SIGNATURE
from tallystick.ordering.fairness import FairQueue, Share, Shares, cost

# What one organisation may have waiting at a node, and all together.
SHARE = Share(transactions=10_000, bytes=64 << 20)
WHOLE = Share(transactions=50_000, bytes=256 << 20)
MAX_RETRY_SECONDS = 30
# Speed is measured over so many seconds. Two more at this many a second are assumed, so that the first few that are done
# do not look like the speed of all.
_WINDOW_SECONDS = 10
_ASSUMED_SECONDS = 2
_ASSUMED_SPEED = 500
# Signatures checked as one batch, and batches under way at a time: enough work for the checking process while a block is
# made here, and early answers for the next block.
_VERIFY_BATCH = 512
_VERIFY_BATCHES = 4


class Submitted(NamedTuple):
    """What became of a submitted transaction.

    Attributes:
        id: transaction id.
        height: block that holds it.
        first_leaf: index in the history of its first operation.
        outcomes: one for each operation.
    """

    id: bytes
    height: int
    first_leaf: int
    outcomes: tuple[Outcome, ...]


@dataclass(slots=True, eq=False)
class Waiting:
    """A transaction that somebody waits for.

    Attributes:
        transaction: checked for all but its signature.
        done: how it ends.
        organisation: that it counts for once its signature is good.
        source: who handed it in.
        checked: whether its signature is known to be good.
    """

    transaction: Transaction
    done: asyncio.Future[Submitted]
    organisation: str
    source: str
    checked: bool = False


class Pace:
    """How fast each organisation's transactions are done, and so when one that is refused may come again."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            clock_s: seconds that never go back.
        """
        self._clock_s = clock_s
        # organisation -> [second, how many were done in it], oldest first.
        self._done: dict[str, deque[list[int]]] = {}
        # organisation -> when it was first refused since something of it was done.
        self._stuck: dict[str, float] = {}

    def done(self, organisation: str) -> None:
        """Count one that is done."""
        second = int(self._clock_s())
        seconds = self._done.get(organisation)
        if seconds is None:
            seconds = self._done[organisation] = deque(maxlen=_WINDOW_SECONDS)
        if seconds and seconds[-1][0] == second:
            seconds[-1][1] += 1
        else:
            seconds.append([second, 1])
            self._stuck.pop(organisation, None)

    def retry_after(self, organisation: str, waiting: int) -> int:
        """Return after how many seconds half of what an organisation has waiting is likely to be done.

        Where nothing was done lately: as long as it has been so already, so that who asks again asks less and less often.
        """
        now = self._clock_s()
        recent = [(at, count) for at, count in self._done.get(organisation, ()) if at > now - _WINDOW_SECONDS]
        if recent:
            done = sum(count for _, count in recent) + _ASSUMED_SECONDS * _ASSUMED_SPEED
            seconds = waiting / 2 * (now - recent[0][0] + _ASSUMED_SECONDS) / done
        else:
            seconds = now - self._stuck.setdefault(organisation, now)
        return min(MAX_RETRY_SECONDS, max(1, -int(-seconds // 1)))


class Intake:
    """What waits at a node, from the moment that it is handed in until it is recorded or refused."""

    def __init__(
        self,
        check: Callable[[Sequence[Transaction]], Awaitable[Sequence[bool]]],
        *,
        share: Share = SHARE,
        whole: Share = WHOLE,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            check: tells which signatures are good.
            share: what one organisation may have waiting.
            whole: what all may have together.
            clock_s: seconds that never go back.
        """
        self._check = check
        self._items: dict[bytes, Waiting] = {}
        # organisation -> how many of them are its.
        self._counts: Counter[str] = Counter()
        self._unchecked: FairQueue[Waiting] = FairQueue()
        self._queue: FairQueue[Waiting] = FairQueue()
        self._handed_in = Shares(share, whole)
        self._shares = Shares(share, whole)
        self._pace = Pace(clock_s)
        self._work = asyncio.Event()
        self.ready = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Transactions that somebody waits for here."""
        return len(self._items)

    @property
    def queued(self) -> int:
        """Those of them that may be taken."""
        return len(self._queue)

    def queues(self) -> dict[str, int]:
        """Return how many transactions of each organisation wait."""
        return dict(self._counts)

    def items(self) -> Iterable[Waiting]:
        """Return all that wait, oldest first."""
        return tuple(self._items.values())

    def find(self, identifier: bytes) -> Waiting | None:
        """Return what waits under a transaction's id, or None."""
        return self._items.get(identifier)

    # --- coming in ---------------------------------------------------------------------------------------------------

    def put(self, transaction: Transaction, *, organisation: str, source: str) -> asyncio.Future[Submitted]:
        """Take a transaction that does not wait here yet; the future tells how it ends.

        Args:
            transaction: checked for all but its signature.
            organisation: that it counts for once its signature is good.
            source: who hands it in.

        Raises:
            QueueFullError: its organisation, or who hands it in, has its share waiting.
        """
        size = len(transaction.raw)
        if not self._shares.has_room(organisation, size):
            raise self._full(organisation, self._shares.count(organisation))
        if not self._handed_in.has_room(source, size):
            raise self._full(source, self._handed_in.count(source))
        item = Waiting(transaction, asyncio.get_running_loop().create_future(), organisation, source)
        self._items[transaction.id] = item
        self._counts[organisation] += 1
        self._handed_in.add(source, size)
        self._unchecked.put(source, item, cost(transaction))
        self._work.set()
        return item.done

    def start(self) -> list[asyncio.Task[None]]:
        """Check signatures from now on; return the tasks that do, which end only by being cancelled."""
        return [asyncio.create_task(self._check_signatures()) for _ in range(_VERIFY_BATCHES)]

    async def _check_signatures(self) -> None:
        """Move what was handed in to what may be taken, refusing bad signatures; one of several that take turns."""
        while True:
            while not self._unchecked:
                self._work.clear()
                await self._work.wait()
            batch = self._unchecked.take(most=_VERIFY_BATCH)
            good = await self._check([item.transaction for item in batch])
            for item, passed in zip(batch, good, strict=True):
                self._handed_in.remove(item.source, len(item.transaction.raw))
                if not self._waits(item):
                    continue
                if passed:
                    self._let_in(item)
                else:
                    self.fail(item, BAD_SIGNATURE())
            self.ready.set()

    def _let_in(self, item: Waiting) -> None:
        size = len(item.transaction.raw)
        if not self._shares.has_room(item.organisation, size):
            self.fail(item, self._full(item.organisation, self._shares.count(item.organisation)))
            return
        item.checked = True
        self._shares.add(item.organisation, size)
        self._queue.put(item.organisation, item, cost(item.transaction))

    def _full(self, organisation: str, waiting: int) -> QueueFullError:
        return queue_full(organisation or "the zone's strangers", self._pace.retry_after(organisation, waiting))

    # --- going out ---------------------------------------------------------------------------------------------------

    def take(self, fits: Callable[[Waiting], bool]) -> list[Waiting]:
        """Take what fits, in fair order; it goes on counting until it is settled or has failed."""
        taken = self._queue.take(lambda item: not self._waits(item) or fits(item))
        return [item for item in taken if self._waits(item)]

    def put_back(self, item: Waiting) -> None:
        """Put what was taken where it was: it comes first when its organisation's turn comes."""
        if self._waits(item):
            self._queue.put_back(item.organisation, item, cost(item.transaction))
            self.ready.set()

    def offer_again(self) -> None:
        """Let all that waits be taken once more, oldest first."""
        self._queue.clear()
        for item in self._items.values():
            if item.checked:
                self._queue.put(item.organisation, item, cost(item.transaction))
        self.ready.set()

    def settle(self, item: Waiting, done: Submitted) -> None:
        """Tell who waits what became of a transaction."""
        self._leave(item)
        if not item.done.done():
            item.done.set_result(done)

    def fail(self, item: Waiting, error: RejectedError | NodeError) -> None:
        """Tell who waits why a transaction is not recorded."""
        self._leave(item)
        if not item.done.done():
            item.done.set_exception(error)
            # Whoever asked may have gone; nobody else needs to hear of it.
            item.done.exception()

    def fail_queued(self, error: NodeError) -> None:
        """Fail all that may be taken."""
        for item in self._queue.clear():
            self.fail(item, error)

    def fail_all(self, error: NodeError) -> None:
        """Fail everything."""
        self._queue.clear()
        for item in self.items():
            self.fail(item, error)

    def _waits(self, item: Waiting) -> bool:
        """Tell whether a transaction is neither recorded nor refused yet."""
        return self._items.get(item.transaction.id) is item

    def _leave(self, item: Waiting) -> None:
        if not self._waits(item):
            return
        del self._items[item.transaction.id]
        self._counts[item.organisation] -= 1
        if not self._counts[item.organisation]:
            del self._counts[item.organisation]
        if item.checked:
            self._shares.remove(item.organisation, len(item.transaction.raw))
            self._pace.done(item.organisation)


def queue_full(organisation: str, seconds: int) -> QueueFullError:
    """Return the error for an organisation that has its share waiting."""
    return QueueFullError(
        f"{organisation} has as many transactions waiting at this node as it may",
        remedy=f"Send it again in {seconds} s, with fewer in flight.",
        retry_after_s=seconds,
    )
