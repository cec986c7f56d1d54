"""The server that other organisations' nodes connect to: mutual TLS, who is who by pin, limits, errors as JSON.

What each address does is in `endpoints`. Here is what holds for all of them:

- The peer is the active member that has registered the key of this connection, looked up anew for each request; only
  endpoints marked open answer anybody else.
- A body is read up to its endpoint's limit and within a time; compressed ones are refused.
- What goes wrong is answered as {error, message, remedy}. What was not foreseen is logged here and answered without a
  word about it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog
from aiohttp import web

from tallystick.codec import MalformedError, encode_json
from tallystick.dataplane.server import DeliveryServer, peer_pin
from tallystick.errors import NodeError, PeerError, RejectedError, StorageError, UsageError
from tallystick.node.peers.client import JSON_TYPE, ORGANISATION_HEADER
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.failures import UnregisteredError, error_body, malformed, status_of
from tallystick.node.peers.limits import PeerLimits, Slots
from tallystick.node.peers.messages import PREFIX

log = structlog.get_logger("peers")
_MAX_HEADER_BYTES = 8_190


@dataclass(frozen=True, slots=True)
class Call:
    """One request, its sender known and its body read.

    Attributes:
        organisation: the member that sent it; "" for a stranger at an open endpoint.
        remote: IP address that it came from.
        body: at most as long as the endpoint allows.
        query: parameters in the address.
        names: variable parts of the path.
    """

    organisation: str
    remote: str
    body: bytes
    query: dict[str, str]
    names: dict[str, str]

    def number(self, name: str, default: int, most: int) -> int:
        """Return a parameter as a natural number of at most `most`.

        Raises:
            MalformedError: it is not a number.
        """
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 16:
            raise MalformedError(f"{name} is not a number")
        return min(int(text), most)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    body: bytes = b"{}"
    kind: str = JSON_TYPE
    status: int = 200


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address.

    Attributes:
        method: of HTTP.
        path: behind the common prefix.
        answer: does it.
        most: bytes of a body; 0 where none is expected.
        open: whether anybody may ask.
        waits: whether it may take as long as a long poll.
    """

    method: str
    path: str
    answer: Callable[[Call], Awaitable[Answer]]
    most: int = 0
    open: bool = False
    waits: bool = False


class PeerServer:
    """Listens for other nodes."""

    def __init__(
        self,
        context: ssl.SSLContext,
        directory: Directory,
        endpoints: list[Endpoint],
        *,
        deliveries: DeliveryServer | None = None,
        limits: PeerLimits | None = None,
    ) -> None:
        """Prepare.

        Args:
            context: asks peers for a certificate and takes any.
            directory: who is who.
            endpoints: what is answered.
            deliveries: the data plane's half that sends content.
            limits: how much at a time.
        """
        self._context = context
        self._directory = directory
        self._limits = limits or PeerLimits()
        self._slots = Slots(self._limits)
        self._runner: web.AppRunner | None = None
        self._app = web.Application(
            middlewares=[_errors_as_json],
            # What is compressed is refused by name below, not by the HTTP library in its own words.
            handler_args={"max_line_size": _MAX_HEADER_BYTES, "keepalive_timeout": 75, "auto_decompress": False},
        )
        for endpoint in endpoints:
            self._app.router.add_route(endpoint.method, PREFIX + endpoint.path, self._handler(endpoint))
        if deliveries is not None:
            self._app.router.add_routes(deliveries.routes())
        self.port = 0

    async def start(self, listen: str) -> None:
        """Listen.

        Args:
            listen: `host:port`; port 0 takes a free one, see `port`.

        Raises:
            StorageError: the address cannot be used.
        """
        host, _, port = listen.rpartition(":")
        self._runner = web.AppRunner(self._app, handler_cancellation=True, access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host.strip("[]") or None, int(port), ssl_context=self._context)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise StorageError(
                f"cannot listen at {listen}: {error.strerror}",
                remedy="Choose another address for peers.listen in tally.toml, or stop what listens there.",
            ) from None
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; requests under way get a moment."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _handler(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            organisation = self._member(request)
            if not organisation and not endpoint.open:
                raise UnregisteredError(
                    "this connection's TLS key is registered by no active member",
                    remedy="Apply to become a member, or register the key's pin, then connect again.",
                )
            remote = request.remote or ""
            with self._slot(organisation, remote):
                body = await self._read(request, endpoint.most)
                call = Call(organisation, remote, body, dict(request.query), dict(request.match_info))
                async with asyncio.timeout(self._limits.handler_seconds if not endpoint.waits else None):
                    answer = await endpoint.answer(call)
            return web.Response(body=answer.body, status=answer.status, content_type=answer.kind)

        return handle

    def _member(self, request: web.Request) -> str:
        pin = peer_pin(request)
        claimed = request.headers.get(ORGANISATION_HEADER, "")[:64]
        return "" if pin is None else self._directory.find_organisation(pin, claimed) or ""

    def _slot(self, organisation: str, remote: str) -> AbstractContextManager[None]:
        return self._slots.member(organisation) if organisation else self._slots.stranger(remote)

    async def _read(self, request: web.Request, most: int) -> bytes:
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise MalformedError("compressed bodies are not taken")
        if (request.content_length or 0) > most:
            raise web.HTTPRequestEntityTooLarge(most, request.content_length or 0)
        parts, got = [], 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for piece in request.content.iter_any():
                    got += len(piece)
                    if got > most:
                        raise web.HTTPRequestEntityTooLarge(most, got)
                    parts.append(piece)
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        return b"".join(parts)


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn whatever goes wrong into JSON of bounded content."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _answer(_plain(error), error.status)
    except MalformedError as error:
        return _answer(malformed(error), 400)
    except (NodeError, RejectedError) as error:
        status = status_of(error)
        return _answer(error_body(error), status, retry=status in (429, 503))
    except TimeoutError:
        late = PeerError("this node did not get to an answer in time", remedy="Try again in a minute.")
        return _answer(error_body(late), 503, retry=True)
    except ConnectionError:
        raise
    except Exception as error:  # the edge of the process: logged, and nothing of it shown
        log.exception("peer_request_failed", path=request.path, kind=type(error).__name__)
        unforeseen = PeerError("this node could not answer", remedy="Tell that organisation's operator.")
        return _answer(error_body(unforeseen), 503, retry=True)


def _plain(error: web.HTTPException) -> bytes:
    """Return the JSON for a refusal of the HTTP library (no such address, wrong method, body too large)."""
    word = error.reason.lower().replace(" ", "_")
    shown = UsageError(error.reason, remedy="See docs/reference/peer-protocol.md for addresses and limits.")
    return encode_json({"error": word, "message": shown.message, "remedy": shown.remedy})


def _answer(body: bytes, status: int, *, retry: bool = False) -> web.Response:
    headers = {"Retry-After": "2"} if retry else None
    return web.Response(body=body, status=status, content_type=JSON_TYPE, headers=headers)
