"""The API behind its real server on 127.0.0.1: streams, broken connections, raw bytes, and what a proxy might send."""

from __future__ import annotations

import asyncio
import contextlib
import json

import httpx
import pytest

from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.node.web import WebServer
from tests.support.office_api import NodeApi
from tests.support.offices import make_blueprint, open_zone
from tests.support.zones import HOSPITAL


@pytest.fixture(scope="session")
def blueprint(tmp_path_factory):
    """What a zone begins with."""
    return make_blueprint(tmp_path_factory.mktemp("blueprint"))


@pytest.fixture
async def zone(blueprint, tmp_path):
    """A running zone."""
    async with open_zone(blueprint, tmp_path / "zone") as made:
        yield made


@pytest.fixture
async def served(zone):
    """(API, its URL) of the hospital's node."""
    api = NodeApi(zone.nodes[HOSPITAL])
    web = WebServer(api.app, "127.0.0.1:0")
    await web.start()
    yield api, web.url
    await web.stop()
    await api.app.state.jobs.stop()


def bearer(api, *roles):
    return {"Authorization": f"Bearer {api.secret(*roles)}"}


async def record(zone, number=0):
    await zone[HOSPITAL].ledger.submit([RecordEvidence(root=f"{number:064x}", count=1)])
    await zone.settle()


async def raw(url, data, *, then_close=False, seconds=10):
    """Send bytes on a connection of their own and return what comes back until it ends or nothing more does."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    await writer.drain()
    if then_close:
        writer.close()
        return b""
    answer = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            while b"\r\n\r\n" not in answer:
                piece = await reader.read(65_536)
                if not piece:
                    break
                answer += piece
    writer.close()
    return answer


async def test_event_stream_over_the_wire(zone, served):
    """A client reads events as they happen, goes away in the middle, and comes back behind the last it had."""
    api, url = served
    headers = {**bearer(api, "observer"), "Accept": "text/event-stream"}

    async def read(count, **more):
        found = []
        async with (
            httpx.AsyncClient(base_url=url, headers=headers | more, timeout=20) as client,
            client.stream("GET", "/v1/events") as answer,
        ):
            assert "text/event-stream" in answer.headers["content-type"]
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line[6:]))
                if len(found) == count:
                    return found

    await record(zone, 0)
    reading = asyncio.ensure_future(read(2))
    await asyncio.sleep(0.1)
    await record(zone, 1)
    assert [1, 2] == [event["sequence"] for event in await reading]
    await record(zone, 2)
    assert [3] == [event["sequence"] for event in await read(1, **{"Last-Event-ID": "2"})]


async def test_server_says_nothing_about_itself(served):
    """No name and version of a server, and nothing to be cached or guessed at, in any answer."""
    api, url = served
    async with httpx.AsyncClient(base_url=url) as client:
        for path in ("/healthz", "/v1/status", "/nothing"):
            answer = await client.get(path)
            assert "server" not in answer.headers
            assert ("nosniff", "no-store") == (
                answer.headers["x-content-type-options"],
                answer.headers["cache-control"],
            )


RAW = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET\r\n\r\n",
    b"\r\n" * 1_000,
    b"GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzzz\r\n",
    b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"GET /v1/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % number for number in range(5_000)) + b"\r\n",
    b"GET http://elsewhere/v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%zz%00/..%2f HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/status?%zz=%ff HTTP/1.1\r\nHost: x\r\nAuthorization: \xff\xfe\r\n\r\n",
    b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


async def test_bytes_that_are_no_request(served):
    """Whatever comes on a connection, it is refused or dropped, and everybody else is served as before."""
    api, url = served
    for data in RAW:
        answer = await raw(url, data, seconds=1)
        status = answer.split(b" ")[1] if answer.startswith(b"HTTP/") else b""
        assert not status.startswith(b"5"), (data[:60], answer)
        assert b"Traceback" not in answer
        async with httpx.AsyncClient(base_url=url) as client:
            assert 200 == (await client.get("/healthz")).status_code


async def test_clients_that_go_away(zone, served):
    """A body that ends early, and a client that does not wait for its answer, leave nothing behind."""
    api, url = served
    key = bearer(api)["Authorization"].encode()
    head = b"Host: x\r\nAuthorization: " + key + b"\r\nContent-Type: "
    for path, kind in ((b"/v1/requests", b"application/json"), (b"/v1/transactions", b"application/cbor")):
        early = b"POST " + path + b" HTTP/1.1\r\n" + head + kind + b"\r\nContent-Length: 1000\r\n\r\nabc"
        await raw(url, early, then_close=True)
    transaction = zone.nodes[HOSPITAL].ledger.sign([RecordEvidence(root="7" * 64, count=1)])
    request = b"POST /v1/transactions HTTP/1.1\r\n" + head + b"application/cbor\r\nContent-Length: "
    await raw(url, request + str(len(transaction)).encode() + b"\r\n\r\n" + transaction, then_close=True)
    for _ in range(200):
        if zone.engine.state.frontier.size:
            break
        await asyncio.sleep(0.01)
    async with httpx.AsyncClient(base_url=url, headers=bearer(api)) as client:
        again = await client.post("/v1/transactions", content=transaction, headers={"Content-Type": "application/cbor"})
        assert "repeated" == again.json()["name"]
        assert 200 == (await client.get("/v1/status")).status_code


async def test_a_hundred_clients_at_once(zone, served):
    """Each of many clients on connections of their own is answered with its own result."""
    api, url = served
    ledger = zone.nodes[HOSPITAL].ledger
    transactions = [ledger.sign([RecordEvidence(root=f"{number:064x}", count=1)]) for number in range(100)]
    limits = httpx.Limits(max_connections=100)
    headers = {**bearer(api, "service"), "Content-Type": "application/cbor"}
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=60) as client:
        answers = await asyncio.gather(*(client.post("/v1/transactions", content=each) for each in transactions))
    assert {200} == {answer.status_code for answer in answers}
    assert 100 == len({answer.json()["first_leaf"] for answer in answers})
    assert 100 == zone.engine.state.frontier.size


async def test_bodies_in_pieces(zone, served):
    """A body that comes slowly, in chunks, is the same body."""
    api, url = served
    transaction = zone.nodes[HOSPITAL].ledger.sign([RecordEvidence(root="1" * 64, count=1)])

    async def pieces():
        for start in range(0, len(transaction), 100):
            yield transaction[start : start + 100]
            await asyncio.sleep(0.001)

    headers = {**bearer(api, "service"), "Content-Type": "application/cbor"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        assert 200 == (await client.post("/v1/transactions", content=pieces())).status_code


async def test_stop_does_not_wait_for_a_stream(zone):
    """A client that reads events for ever does not keep the node from stopping."""
    api = NodeApi(zone.nodes[HOSPITAL])
    web = WebServer(api.app, "127.0.0.1:0")
    await web.start()
    request = b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: "
    host, port = web.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request + bearer(api)["Authorization"].encode() + b"\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    async with asyncio.timeout(30):
        await web.stop()
    writer.close()
