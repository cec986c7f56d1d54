"""Sending deliveries: the routes that consumers' nodes fetch from, over mutual TLS.

    GET       /dataplane/v1/deliveries/{delivery}/package    the sealed key package
    GET       /dataplane/v1/deliveries/{delivery}/leaves     32 bytes for each chunk
    GET HEAD  /dataplane/v1/deliveries/{delivery}/content    the encrypted stream; one byte range, ETag, If-Match, If-Range

Rules:

- Every request is authorised by the node's policy for the key that this connection has proved, and a long answer again
  every few seconds. Access that ends in the middle cuts the connection; the next request is told why.
- An answer is never silently short: the length is announced, and what cannot be sent in full is cut.
- Memory is bounded: an answer holds at most a few batches of about 1 MiB, and there is a limit to answers at a time.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from aiohttp import web

from tallystick.codec import MalformedError, check_slug, encode_json
from tallystick.dataplane.certificates import cached_pin
from tallystick.dataplane.limits import Limits
from tallystick.dataplane.ports import PREFIX, AccessPolicy, Grant, PeerDirectory, TransferObserver
from tallystick.dataplane.ranges import UnsatisfiableError, wanted_range
from tallystick.dataplane.refusals import AccessRefusedError, PeerBusyError, refusal_name
from tallystick.dataplane.sending import Sender
from tallystick.dataplane.transfer import Transfer
from tallystick.errors import AccessError, NodeError

BYTES_TYPE = "application/octet-stream"


def peer_pin(request: web.BaseRequest) -> str | None:
    """Return the pin of the key that this connection's peer has proved to hold, or None where it showed none."""
    transport = request.transport
    connection = None if transport is None else transport.get_extra_info("ssl_object")
    if not isinstance(connection, (ssl.SSLObject, ssl.SSLSocket)):
        return None
    certificate = connection.getpeercert(True)
    return None if certificate is None else cached_pin(certificate)


def peer_organisation(request: web.BaseRequest, directory: PeerDirectory) -> str:
    """Return the organisation whose key this connection's peer holds; for the node's other routes between nodes.

    Raises:
        AccessRefusedError: the peer showed no certificate, or a key that nobody has registered.
    """
    pin = peer_pin(request)
    organisation = None if pin is None else directory.find_organisation(pin)
    if organisation is None:
        raise AccessRefusedError(
            "this connection's TLS key is registered by no organisation",
            remedy="Register the node's TLS key pin, then connect again.",
        )
    return organisation


def error_response(error: NodeError, status: int, **details: str | int) -> web.Response:
    """Return an error as JSON {error, message, remedy} with whatever else explains it."""
    body = {"error": refusal_name(error), "message": error.message, "remedy": error.remedy, **details}
    headers = {"Retry-After": "2"} if status == 503 else None
    return web.Response(body=encode_json(body), status=status, content_type="application/json", headers=headers)


class DeliveryServer:
    """Answers requests for deliveries."""

    def __init__(
        self, policy: AccessPolicy, *, limits: Limits | None = None, observer: TransferObserver | None = None
    ) -> None:
        """Prepare.

        Args:
            policy: the node's; asked at every request.
            limits: how much at a time.
            observer: is told how transfers end.
        """
        self._policy = policy
        self._limits = limits or Limits()
        self._observer = observer
        self._running: Counter[str] = Counter()
        self._pool = ThreadPoolExecutor(self._limits.workers, thread_name_prefix="sending")

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, for the application that faces peers."""
        return [
            web.get(f"{PREFIX}/{{delivery}}/package", self._package, allow_head=False),
            web.get(f"{PREFIX}/{{delivery}}/leaves", self._leaves, allow_head=False),
            web.get(f"{PREFIX}/{{delivery}}/content", self._content),
        ]

    def close(self) -> None:
        """Stop the worker threads; running answers are cut."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _package(self, request: web.Request) -> web.StreamResponse:
        try:
            _, grant = await self._authorised(request)
        except AccessError as error:
            return error_response(error, 403)
        return web.Response(body=grant.package, content_type=BYTES_TYPE, headers={"Cache-Control": "no-store"})

    async def _leaves(self, request: web.Request) -> web.StreamResponse:
        try:
            _, grant = await self._authorised(request)
        except AccessError as error:
            return error_response(error, 403)
        return web.Response(body=grant.sidecar.leaves, content_type=BYTES_TYPE, headers={"Cache-Control": "no-store"})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        try:
            pin, grant = await self._authorised(request)
        except AccessError as error:
            return error_response(error, 403)
        sender = await asyncio.get_running_loop().run_in_executor(self._pool, Sender, grant)
        size = sender.layout.cipher_size
        tag = entity_tag(grant)
        headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "no-store"}
        if request.headers.get("If-Match", tag) not in (tag, "*"):
            return web.Response(status=412, headers=headers)
        try:
            span = wanted_range(request.headers.get("Range"), request.headers.get("If-Range"), tag, size)
        except UnsatisfiableError:
            return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        if span.partial:
            headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
        response = web.StreamResponse(status=206 if span.partial else 200, headers=headers)
        response.content_type, response.content_length = BYTES_TYPE, span.end - span.start
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        if self._running.total() >= self._limits.transfers or self._running[pin] >= self._limits.transfers_per_peer:
            return error_response(
                PeerBusyError("this node sends as many deliveries as it can", remedy="Try again shortly."), 503
            )
        self._running[pin] += 1
        try:
            transfer = Transfer(self._policy, self._limits, self._pool, request, response, pin, grant, sender, span)
            report = await transfer.run()
            if transfer.refusal is not None:
                return error_response(transfer.refusal, 409, file=transfer.refusal.file, chunk=transfer.refusal.chunk)
            if self._observer is not None:
                self._observer.transfer_ended(report)
            return response
        finally:
            self._running[pin] -= 1
            self._running += Counter()

    async def _authorised(self, request: web.Request) -> tuple[str, Grant]:
        pin = peer_pin(request)
        if pin is None:
            raise AccessRefusedError(
                "this connection shows no certificate",
                remedy="Connect with the node's TLS key, whose pin is registered.",
            )
        delivery = request.match_info["delivery"]
        try:
            check_slug(delivery)
        except MalformedError:
            raise AccessRefusedError("not the id of a delivery", remedy="Check the id.") from None
        return pin, await self._policy.authorise(pin, delivery)


def entity_tag(grant: Grant) -> str:
    """Return the strong entity tag of a delivery's stream, whose bytes follow from its key, id and fingerprint."""
    mark = sha256(b"tallystick/entity-tag" + sha256(grant.content_key).digest() + grant.sidecar.fingerprint.root)
    return f'"{mark.hexdigest()[:32]}"'
