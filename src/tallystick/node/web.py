"""The HTTP server of a node's API: uvicorn on a loopback address, run inside the office's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from tallystick.errors import ConfigurationError, StorageError

log = structlog.get_logger("office")
_STOP_SECONDS = 3
_BACKLOG = 512
_MOST_CONNECTIONS = 2_000


class _Server(uvicorn.Server):
    """Leaves signals to the process that it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class WebServer:
    """Serves one application."""

    def __init__(self, app: ASGIApp, listen: str) -> None:
        """Prepare.

        Args:
            app: what answers.
            listen: `host:port`, loopback; port 0 takes a free one.

        Raises:
            ConfigurationError: it is not such an address.
        """
        self._host, self._port = _loopback(listen)
        self._listen = listen
        self._server = _Server(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                loop="none",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_STOP_SECONDS,
            )
        )
        self._task: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen; returns when requests are answered.

        Raises:
            StorageError: the address is taken.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise StorageError(
                f"the API cannot listen at {self._listen}: {error.strerror}",
                remedy="Stop what listens there, or set api.listen in tally.toml to another address.",
            ) from None
        listener.setblocking(False)
        port = listener.getsockname()[1]
        self.url = f"http://[{self._host}]:{port}" if family == socket.AF_INET6 else f"http://{self._host}:{port}"
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.005)
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Finish what is being answered, for a few seconds, and stop."""
        if self._task is None:
            return
        self._server.should_exit = True
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(self._task, _STOP_SECONDS + 2)
        self._task = None


def _loopback(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        number = int(port)
        if not ipaddress.ip_address(host).is_loopback or not 0 <= number <= 65_535:
            raise ValueError
    except ValueError:
        raise ConfigurationError(
            f"api.listen is {listen!r}, which is not a loopback address with a port",
            remedy="Use 127.0.0.1:PORT, and a proxy with TLS in front for other machines.",
        ) from None
    return host, number
