"""Who may have how much waiting, and who comes next: one set of rules for queues, the mempool and blocks. Pure.

Rules:

- An organisation may have its share waiting, and never more than is still free. So however many flood, as much as each
  of them has stays free, and who comes with little finds room; nobody is shut out, and nothing has to be thrown out.
- Organisations take turns by what they cost, in operations and in bytes, not by how many transactions they sent. Who had
  nothing waiting comes in at the present turn: silence earns no credit, and large transactions no advantage.
- Within an organisation the order of arrival is kept: where one has to wait, so do those behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush, heapreplace
from typing import Generic, NamedTuple, TypeVar

from tallystick.machine import Parameters, Transaction

# What an operation costs beside its bytes, in bytes: executing and keeping a small one takes about as long as checking
# and spreading so many.
OPERATION_BYTES = 256

T = TypeVar("T")


def cost(transaction: Transaction) -> int:
    """Return what a transaction takes of everybody's time, in bytes."""
    return len(transaction.raw) + OPERATION_BYTES * len(transaction.operations)


class Share(NamedTuple):
    """How much may wait.

    Attributes:
        transactions: how many.
        bytes: of how many bytes together.
    """

    transactions: int
    bytes: int


class Shares:
    """Counts what each organisation has waiting, and tells who may have more."""

    def __init__(self, share: Share, whole: Share) -> None:
        """Prepare.

        Args:
            share: the most that one organisation may have.
            whole: the most that all may have together.
        """
        self._share = share
        self._whole = whole
        self._counts: dict[str, int] = {}
        self._bytes: dict[str, int] = {}
        self._total = 0
        self._total_bytes = 0

    @property
    def share(self) -> Share:
        """The most that one organisation may have; may be changed at any time."""
        return self._share

    @share.setter
    def share(self, share: Share) -> None:
        self._share = share

    def count(self, organisation: str) -> int:
        """Return how many transactions of an organisation wait."""
        return self._counts.get(organisation, 0)

    def has_room(self, organisation: str, size: int) -> bool:
        """Tell whether an organisation may have another transaction of so many bytes waiting."""
        count = self._counts.get(organisation, 0) + 1
        if count > self._share.transactions or count > self._whole.transactions - self._total:
            return False
        total = self._bytes.get(organisation, 0) + size
        return total <= self._share.bytes and total <= self._whole.bytes - self._total_bytes

    def add(self, organisation: str, size: int) -> None:
        """Count one more."""
        self._counts[organisation] = self._counts.get(organisation, 0) + 1
        self._bytes[organisation] = self._bytes.get(organisation, 0) + size
        self._total += 1
        self._total_bytes += size

    def remove(self, organisation: str, size: int) -> None:
        """Count one less."""
        self._total -= 1
        self._total_bytes -= size
        left = self._counts[organisation] - 1
        if left:
            self._counts[organisation] = left
            self._bytes[organisation] -= size
        else:
            del self._counts[organisation], self._bytes[organisation]


class _Lane(Generic[T]):
    """What one organisation has waiting, with what each costs, and when its turn is."""

    __slots__ = ("items", "number", "turn")

    def __init__(self, number: int) -> None:
        self.items: deque[tuple[T, int]] = deque()
        self.number = number
        self.turn = 0


class FairQueue(Generic[T]):
    """A queue in which organisations take turns by cost (start-time fair queueing)."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane[T]] = {}
        # (turn, number, lane) of those that have something waiting; the number decides between equals.
        self._heap: list[tuple[int, int, _Lane[T]]] = []
        self._now = 0
        self._numbers = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, organisation: str, item: T, cost: int) -> None:
        """Add at the end of an organisation's lane."""
        lane = self._lane(organisation)
        lane.items.append((item, cost))
        self._length += 1

    def put_back(self, organisation: str, item: T, cost: int) -> None:
        """Add at the front of an organisation's lane what was taken and could not be used."""
        lane = self._lane(organisation)
        lane.items.appendleft((item, cost))
        self._length += 1

    def take(self, fits: Callable[[T], bool] | None = None, most: int = 1 << 62) -> list[T]:
        """Take what fits, in fair order; who has something that does not fit is passed over until the next call.

        Args:
            fits: asked once for each that may be taken, and counts it where it says yes; by default all fit.
            most: so many at most.
        """
        taken: list[T] = []
        aside: list[_Lane[T]] = []
        heap = self._heap
        while heap and len(taken) < most:
            turn, number, lane = heap[0]
            item, cost = lane.items[0]
            if fits is not None and not fits(item):
                aside.append(lane)
                heappop(heap)
                continue
            lane.items.popleft()
            taken.append(item)
            self._now = max(self._now, turn)
            lane.turn = turn + cost
            if lane.items:
                heapreplace(heap, (lane.turn, number, lane))
            else:
                heappop(heap)
        self._length -= len(taken)
        for lane in aside:
            # Who had to wait goes first next time, but does not save up turns meanwhile.
            lane.turn = max(lane.turn, self._now)
            heappush(heap, (lane.turn, lane.number, lane))
        return taken

    def clear(self) -> list[T]:
        """Take everything out, in no particular order."""
        items = [item for _, _, lane in self._heap for item, _ in lane.items]
        self._lanes.clear()
        self._heap.clear()
        self._length = 0
        return items

    def _lane(self, organisation: str) -> _Lane[T]:
        """Return an organisation's lane, which is about to have something waiting."""
        lane = self._lanes.get(organisation)
        if lane is None:
            self._forget_idle()
            self._numbers += 1
            lane = self._lanes[organisation] = _Lane(self._numbers)
        if not lane.items:
            lane.turn = max(lane.turn, self._now)
            heappush(self._heap, (lane.turn, lane.number, lane))
        return lane

    def _forget_idle(self) -> None:
        """Drop lanes whose past makes no difference any more."""
        idle = [name for name, lane in self._lanes.items() if not lane.items and lane.turn <= self._now]
        for name in idle:
            del self._lanes[name]


class BlockRoom:
    """What is left in a block: for all, and for each organisation."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._used: dict[str, int] = {}
        self._total = 0

    def take(self, organisation: str, operations: int) -> bool:
        """Count a transaction of so many operations in, or return False where it does not fit."""
        used = self._used.get(organisation, 0) + operations
        if used > self._parameters.block_operations_per_organisation:
            return False
        # One transaction always fits, so that none can be too large for every block.
        if self._total and self._total + operations > self._parameters.block_operations:
            return False
        self._used[organisation] = used
        self._total += operations
        return True
