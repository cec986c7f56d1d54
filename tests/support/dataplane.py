"""A provider and a consumer for tests of deliveries: real TLS on 127.0.0.1, and a policy that can be told to refuse."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tallystick.dataplane import (
    Grant,
    Sidecar,
    TlsIdentity,
    TransferReport,
    build_package,
    new_content_key,
    seal_package,
    take_fingerprint,
)
from tallystick.dataplane.client import DeliveryClient, FetchOptions, Order
from tallystick.dataplane.limits import Limits
from tallystick.dataplane.server import DeliveryServer
from tallystick.errors import AccessError

PASSWORD = b"correct horse"
AGREEMENT = "agr-7kq2"
IMPATIENT = FetchOptions(attempts=3, backoff_s=0.01, backoff_limit_s=0.05, connect_s=5, stall_s=10)


def a_delivery(
    source: Path, public_key: bytes, *, sidecar: Sidecar | None = None, package_source: Sidecar | None = None
) -> Grant:
    """Return a grant for a source, sealed to a consumer; its parts may be replaced to make a dishonest one."""
    sidecar = sidecar or take_fingerprint(source)
    delivery, key = secrets.token_hex(16), new_content_key()
    package = build_package(
        package_source or sidecar, delivery=delivery, agreement=AGREEMENT, content_key=key, expires_ms=0
    )
    sealed = seal_package(package, public_key)
    return Grant(delivery, AGREEMENT, "university", source, sidecar, key, sealed)


@dataclass
class Policy:
    """Grants what it was given to the pins it knows, until told otherwise.

    Attributes:
        grants: by delivery id.
        pins: registered ones.
        refuse_after: how many times it says yes before the agreement ends.
        asked: how many times it was asked.
    """

    grants: dict[str, Grant] = field(default_factory=dict)
    pins: set[str] = field(default_factory=set)
    refuse_after: int = 10**9
    asked: int = 0

    async def authorise(self, peer_pin: str, delivery_id: str) -> Grant:
        """See `AccessPolicy`."""
        self.asked += 1
        if peer_pin not in self.pins:
            raise AccessError("this key is registered by no organisation", remedy="Register it.")
        if self.asked > self.refuse_after:
            raise AccessError("agreement agr-7kq2 was terminated", remedy="Ask for a new agreement.")
        if delivery_id not in self.grants:
            raise AccessError("no such delivery for you", remedy="Check the id.")
        return self.grants[delivery_id]


@dataclass
class Reports:
    """Keeps what it is told."""

    seen: list[TransferReport] = field(default_factory=list)

    def transfer_ended(self, report: TransferReport) -> None:
        """See `TransferObserver`."""
        self.seen.append(report)


@dataclass
class Pair:
    """A provider that serves and a consumer that can fetch."""

    policy: Policy
    reports: Reports
    provider: TlsIdentity
    consumer: TlsIdentity
    private_key: bytes
    public_key: bytes
    port: int

    def offer(self, source: Path) -> Grant:
        """Serve a source as a delivery to the consumer."""
        return self.serve(a_delivery(source, self.public_key))

    def serve(self, grant: Grant) -> Grant:
        """Serve a delivery."""
        self.policy.grants[grant.delivery] = grant
        return grant

    def order(self, grant: Grant, port: int = 0) -> Order:
        """Return the order for a delivery, through another port if given."""
        root = grant.sidecar.fingerprint.root.hex()
        return Order(f"https://127.0.0.1:{port or self.port}", grant.delivery, grant.agreement, root)

    def client(self, options: FetchOptions = IMPATIENT, *, pins: set[str] | None = None) -> DeliveryClient:
        """Return a client that expects the provider's pin, or the ones given."""
        expected = {self.provider.pin} if pins is None else pins
        return DeliveryClient(self.consumer, expected.__contains__, options=options)


@asynccontextmanager
async def a_pair(folder: Path, limits: Limits | None = None) -> AsyncIterator[Pair]:
    """Run a provider on a free port of 127.0.0.1."""
    provider = TlsIdentity(folder / "provider", "hospital", PASSWORD)
    consumer = TlsIdentity(folder / "consumer", "university", PASSWORD)
    policy, reports = Policy(pins={consumer.pin}), Reports()
    server = DeliveryServer(policy, limits=limits, observer=reports)
    app = web.Application()
    app.add_routes(server.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener, ssl_context=provider.server_context()).start()
    private = X25519PrivateKey.generate()
    try:
        yield Pair(
            policy,
            reports,
            provider,
            consumer,
            private.private_bytes_raw(),
            private.public_key().public_bytes_raw(),
            listener.getsockname()[1],
        )
    finally:
        await runner.cleanup()
        server.close()


class CuttingProxy:
    """Passes bytes on and cuts each connection after so many bytes from the server; the last amount holds for ever.

    With `hangs` it stops passing bytes on instead.

    Attributes:
        port: where it listens.
        cuts: how many connections it has cut.
    """

    def __init__(self, target: int, amounts: list[int], *, hangs: bool = False) -> None:
        self._target = target
        self._hangs = hangs
        self._amounts = amounts
        self.port = 0
        self.cuts = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[CuttingProxy]:
        """Listen."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self._amounts.pop(0) if len(self._amounts) > 1 else self._amounts[0]
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        upward = asyncio.create_task(self._pump(reader, up_writer))
        try:
            while left > 0:
                data = await up_reader.read(min(left, 65_536))
                if not data:
                    break
                left -= len(data)
                writer.write(data)
                await writer.drain()
            else:
                self.cuts += 1
                if self._hangs:
                    await asyncio.sleep(60)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            upward.cancel()
            for each in (writer, up_writer):
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
