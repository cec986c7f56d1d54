"""The operator's key: how `tally` on the node's own machine speaks to the running node.

A running node keeps one API key in `operator.json` in its home, readable by the owner of the home alone, as who can read
the home can already reach the core's socket. It is made anew at each start, ends within a day, is replaced in time while
the node runs, and is revoked when the node stops. There is none in a backup, and none that anybody else is given.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import structlog

from tallystick.errors import NodeError
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home
from tallystick.office import Users

log = structlog.get_logger("office")
NAME = "operator at this machine"
ROLES = ("registration", "security", "service", "system")
LIFE_MS = 86_400_000
_RENEW_SECONDS = LIFE_MS / 2_000


class OperatorFile(msgspec.Struct, frozen=True, kw_only=True):
    """What `operator.json` says: where the API is, and a key for it."""

    url: str
    key: str
    id: str


class OperatorKey:
    """Keeps the operator's key of a running node."""

    def __init__(self, home: Home, users: Users, clock_ms: Callable[[], int]) -> None:
        """Prepare.

        Args:
            home: in which the key is kept.
            users: the node's API keys.
            clock_ms: UTC time, ms.
        """
        self._path = home.operator_path
        self._users = users
        self._clock_ms = clock_ms
        self._url = ""
        self._current = ""

    def publish(self, url: str) -> None:
        """Make a key, put it into the home, and revoke the one before.

        Raises:
            StorageError: the home cannot be written to.
        """
        before = self._current or self._left_by_a_crash()
        made = self._users.create(NAME, ROLES, ("*",), expires=self._clock_ms() + LIFE_MS)
        self._url, self._current = url, made.key.id
        content = OperatorFile(url=url, key=made.secret, id=made.key.id)
        write_atomically(self._path, msgspec.json.encode(content), mode=0o600)
        self._revoke(before)

    async def keep_fresh(self) -> None:
        """Replace the key long before it ends, as long as the node runs."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                self.publish(self._url)
            except NodeError as error:
                log.error("operator_key_not_renewed", message=error.message, remedy=error.remedy)

    def withdraw(self) -> None:
        """Take the key back: the node stops."""
        self._path.unlink(missing_ok=True)
        self._revoke(self._current)
        self._current = ""

    def _left_by_a_crash(self) -> str:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self._path.read_bytes(), type=OperatorFile).id
        return ""

    def _revoke(self, identifier: str) -> None:
        if identifier:
            with contextlib.suppress(NodeError):
                self._users.revoke(identifier)
