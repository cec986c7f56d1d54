"""Where the engines tell how long things took and what they refused. Nothing that they decide depends on it."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Takes measurements."""

    def observe(self, name: str, value: float) -> None:
        """Take one value of a distribution, such as the seconds that something took."""

    def refused(self, what: str, reason: str) -> None:
        """Count something that came from others and was refused."""


class NoMeter:
    """Takes them and forgets them."""

    def observe(self, name: str, value: float) -> None:
        """Forget it."""

    def refused(self, what: str, reason: str) -> None:
        """Forget it."""
