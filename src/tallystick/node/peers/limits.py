"""How much one peer, and all strangers together, may ask at a time."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tallystick.node.peers.failures import TooManyError

_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """How much at a time.

    Attributes:
        calls_per_peer: requests of one member under way.
        calls_per_stranger: requests of one address without a registered key under way.
        stranger_calls: of all such addresses together.
        applications: that one address may send in a row.
        application_seconds: after which it may send one more.
        body_seconds: for a request's body to arrive.
        handler_seconds: for an answer, long polls apart.
    """

    calls_per_peer: int = 24
    calls_per_stranger: int = 4
    stranger_calls: int = 32
    applications: int = 5
    application_seconds: float = 12.0
    body_seconds: float = 30.0
    handler_seconds: float = 75.0


class Slots:
    """Requests under way, by whom."""

    def __init__(self, limits: PeerLimits) -> None:
        self._limits = limits
        self._running: Counter[str] = Counter()
        self._strangers = 0

    @contextmanager
    def member(self, organisation: str) -> Iterator[None]:
        """Hold a place of a member.

        Raises:
            TooManyError: all are taken.
        """
        with self._hold(f"member {organisation}", self._limits.calls_per_peer):
            yield

    @contextmanager
    def stranger(self, address: str) -> Iterator[None]:
        """Hold a place of an address without a registered key.

        Raises:
            TooManyError: all are taken.
        """
        if self._strangers >= self._limits.stranger_calls:
            raise _too_many()
        self._strangers += 1
        try:
            with self._hold(f"stranger {address}", self._limits.calls_per_stranger):
                yield
        finally:
            self._strangers -= 1

    @contextmanager
    def _hold(self, who: str, most: int) -> Iterator[None]:
        if self._running[who] >= most:
            raise _too_many()
        self._running[who] += 1
        try:
            yield
        finally:
            self._running[who] -= 1
            if not self._running[who]:
                del self._running[who]


class Allowance:
    """Lets each key do something a few times in a row, then once in a while."""

    def __init__(self, burst: int, seconds: float, clock_s: Callable[[], float]) -> None:
        """Prepare.

        Args:
            burst: times in a row.
            seconds: after which one more is allowed.
            clock_s: seconds that never go back.
        """
        self._burst = burst
        self._seconds = seconds
        self._clock_s = clock_s
        # key -> when its allowance is whole again.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str) -> None:
        """Use one.

        Raises:
            TooManyError: none is left for now.
        """
        now = self._clock_s()
        full_at = max(now, self._full_at.get(key, now)) + self._seconds
        if full_at - now > self._burst * self._seconds:
            raise _too_many()
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > _REMEMBERED:
            self._full_at.popitem(last=False)


def _too_many() -> TooManyError:
    return TooManyError("too many requests at a time", remedy="Wait a few seconds, then go on more slowly.")
