"""The provider's routes as any HTTP client sees them, and its TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tallystick.dataplane import Grant, TlsIdentity, spki_pin
from tallystick.dataplane.certificates import UnexpectedPinError
from tallystick.dataplane.limits import Limits
from tallystick.dataplane.refusals import PeerAnswerError, WrongPeerError
from tallystick.dataplane.sending import Sender
from tests.support.dataplane import PASSWORD, Pair, a_pair

MIB = 1 << 20


@asynccontextmanager
async def served(
    folder: Path, size: int, limits: Limits | None = None
) -> AsyncIterator[tuple[Pair, Grant, aiohttp.ClientSession]]:
    """Serve a file and open a session of a registered consumer."""
    source = folder / "data.bin"
    source.write_bytes(os.urandom(size))
    async with a_pair(folder, limits) as pair:
        grant = pair.offer(source)
        context = pair.consumer.client_context({pair.provider.pin}.__contains__)
        base = f"https://127.0.0.1:{pair.port}/dataplane/v1/deliveries/"
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        async with aiohttp.ClientSession(base, connector=connector) as session:
            yield pair, grant, session


async def test_ranges_equal_slices_of_the_stream(tmp_path: Path) -> None:
    """Any range, answered with 206, is that slice of the whole; HEAD tells the length; tags hold."""
    async with served(tmp_path, 3 * MIB + 5) as (_, grant, session):
        sender = Sender(grant)
        whole = bytes(sender.render(0, sender.layout.chunks))
        address = f"{grant.delivery}/content"
        async with session.get(address) as answer:
            assert (answer.status, await answer.read()) == (200, whole)
            tag = answer.headers["ETag"]
        async with session.head(address) as answer:
            assert (answer.status, answer.content_length, await answer.read()) == (200, len(whole), b"")
        size = len(whole)
        for start, end in ((0, 1), (5, 70_000), (MIB - 3, 2 * MIB + 1000), (size - 1, size), (300, size)):
            headers = {"Range": f"bytes={start}-{end - 1}", "If-Range": tag}
            async with session.get(address, headers=headers) as answer:
                assert (answer.status, await answer.read()) == (206, whole[start:end])
                assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        async with session.get(address, headers={"Range": f"bytes={size}-"}) as answer:
            assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
        async with session.get(address, headers={"If-Match": '"other"'}) as answer:
            assert answer.status == 412
        async with session.get(address, headers={"Range": "bytes=0-0", "If-Range": '"other"'}) as answer:
            assert (answer.status, await answer.read()) == (200, whole)


async def test_unknown_and_misspelt_deliveries_are_refused_alike(tmp_path: Path) -> None:
    """What is not granted is 403 with a reason in JSON, whatever it is called."""
    async with served(tmp_path, 10) as (_, _grant, session):
        for delivery in ("0" * 32, "A", "a%2Fb", "..%2f..%2fetc", "x" * 300):
            for what in ("package", "leaves", "content"):
                async with session.get(f"{delivery}/{what}") as answer:
                    assert answer.status in (403, 404)
                    if answer.status == 403:
                        assert set(await answer.json()) == {"error", "message", "remedy"}


async def test_peer_without_certificate_reaches_open_routes_only(tmp_path: Path) -> None:
    """An applicant may connect, and is refused a delivery because it shows no key."""
    async with served(tmp_path, 10) as (pair, grant, _):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        address = f"https://127.0.0.1:{pair.port}/dataplane/v1/deliveries/{grant.delivery}/package"
        async with aiohttp.ClientSession() as session, session.get(address, ssl=context) as answer:
            assert (answer.status, (await answer.json())["error"]) == (403, "access_refused")
        assert pair.policy.asked == 0


async def test_nothing_older_than_tls_1_3(tmp_path: Path) -> None:
    """A client that offers TLS 1.2 at most is not spoken to."""
    async with served(tmp_path, 10) as (pair, _, _session):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", pair.port, ssl=context)


async def test_blocking_sockets_are_held_to_the_pin(tmp_path: Path) -> None:
    """The context itself checks the key, so every client library does."""
    async with served(tmp_path, 10) as (pair, _, _session):

        def connect(pins: set[str]) -> str:
            context = pair.consumer.client_context(pins.__contains__)
            raw = socket.create_connection(("127.0.0.1", pair.port), 5)
            with context.wrap_socket(raw) as connection:
                return spki_pin(connection.getpeercert(True) or b"")

        assert await asyncio.to_thread(connect, {pair.provider.pin}) == pair.provider.pin
        with pytest.raises(UnexpectedPinError):
            await asyncio.to_thread(connect, {"00"})


async def test_rotated_key_is_accepted_where_both_pins_are_registered(tmp_path: Path) -> None:
    """A provider that changes its key while it runs is known by the pin it has registered beforehand, and by no other."""
    async with served(tmp_path, 10) as (pair, grant, _):
        old, new = pair.provider.pin, pair.provider.prepare_next_key()
        await pair.client(pins={old, new}).fetch(pair.order(grant), tmp_path / "one", pair.private_key)
        assert pair.provider.switch_to_next_key() == new
        await pair.client(pins={old, new}).fetch(pair.order(grant), tmp_path / "two", pair.private_key)
        with pytest.raises(WrongPeerError):
            await pair.client(pins={old}).fetch(pair.order(grant), tmp_path / "three", pair.private_key)


async def test_expired_certificate_is_named(tmp_path: Path) -> None:
    """A peer that has not renewed for long is refused with what to look at, not tried again and again."""
    TlsIdentity(tmp_path / "provider", "hospital", PASSWORD, clock=lambda: 1_600_000_000.0)
    stale = (tmp_path / "provider/tls-certificate.pem").read_bytes()
    async with served(tmp_path, 10) as (pair, grant, _):
        assert (tmp_path / "provider/tls-certificate.pem").read_bytes() != stale
        context = pair.provider.server_context()
        (tmp_path / "stale.pem").write_bytes(stale)
        context.load_cert_chain(tmp_path / "stale.pem", tmp_path / "provider/tls-key.pem", PASSWORD.decode())
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(PeerAnswerError, match="certificate has expired"):
                await pair.client().fetch(pair.order(grant, port), tmp_path / "in", pair.private_key)


async def test_busy_node_says_when_to_come_again(tmp_path: Path) -> None:
    """One answer more than a peer may have at a time is 503 with Retry-After; a place that is given up is free again."""
    async with served(tmp_path, 40 * MIB, Limits(transfers_per_peer=1)) as (pair, grant, session):
        address = f"{grant.delivery}/content"
        async with session.get(address) as first:
            assert first.status == 200
            async with session.get(address) as second:
                assert (second.status, "Retry-After" in second.headers) == (503, True)
                assert (await second.json())["error"] == "peer_busy"
            first.close()
        async with asyncio.timeout(10):
            while not pair.reports.seen:
                await asyncio.sleep(0.01)
        assert pair.reports.seen[-1].reason == "peer_gone"
        async with session.get(address, headers={"Range": "bytes=0-9"}) as third:
            assert third.status == 206


async def test_peer_that_takes_nothing_is_cut_off(tmp_path: Path) -> None:
    """A peer that stops reading does not hold its place for ever."""
    async with served(tmp_path, 40 * MIB, Limits(stall_s=0.2)) as (pair, grant, session):
        async with session.get(f"{grant.delivery}/content"), asyncio.timeout(10):
            while not pair.reports.seen:
                await asyncio.sleep(0.05)
        last = pair.reports.seen[-1]
        assert last.reason == "stalled"
        assert last.sent_bytes < last.asked_bytes
