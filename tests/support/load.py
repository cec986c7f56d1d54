"""Clients at several nodes of a network while something is wrong with it, and what came of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType

from tests.support.copies import assert_same_everywhere, compare
from tests.support.faults import record_fault
from tests.support.networks import NetworkNode
from tests.support.nodes import wait_for
from tests.support.submitting import Submitter


class Load:
    """One patient client at each node, from `with` to its end."""

    def __init__(self, nodes: Sequence[NetworkNode]) -> None:
        self._nodes = list(nodes)
        self._submitters = [Submitter(node, node.keys()) for node in nodes]

    def __enter__(self) -> Load:
        for each in self._submitters:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._submitters:
            each.ended.set()
        for each in self._submitters:
            each.end()

    def go_on(self, count: int = 2, seconds: float = 120.0) -> float:
        """Wait until each client has so many more operations acknowledged; return how many seconds that took.

        Raises:
            AssertionError: one has not.
        """
        began = time.monotonic()
        before = [len(each.acknowledged) for each in self._submitters]
        for each, known in zip(self._submitters, before, strict=True):
            wait_for(partial(_has, each, known + count), f"{each.node.organisation} to record", seconds)
        return time.monotonic() - began

    @property
    def recorded(self) -> int:
        """How many operations were acknowledged so far."""
        return sum(len(each.acknowledged) for each in self._submitters)

    def are_level(self) -> bool:
        """Tell whether all copies have as many operations."""
        sizes = set()
        for node in self._nodes:
            with node.api() as api:
                sizes.add(api.get("/v1/status")["size"])
        return len(sizes) == 1

    def check(self, fault: str, tried: int, recovery_s: Sequence[float]) -> None:
        """Record what came of a fault, and hold the copies of the nodes, which are stopped, against each other.

        Args:
            fault: its name, one of `FAULTS`.
            tried: how many times it was brought about.
            recovery_s: seconds until it went on.

        Raises:
            AssertionError: something was lost, or is not the same everywhere.
        """
        acknowledged = {name: place for each in self._submitters for name, place in each.acknowledged.items()}
        compared = compare(self._nodes, acknowledged)
        record_fault(fault, tried=tried, lost=compared.lost, forked=compared.forked, recovery_s=recovery_s)
        assert_same_everywhere(self._nodes, acknowledged)


def _has(submitter: Submitter, count: int) -> bool:
    return len(submitter.acknowledged) >= count
