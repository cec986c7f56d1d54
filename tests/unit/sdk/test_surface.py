"""Every method of the client asks for a route that the API has, with a body and a query that it takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.requests import Request

from tallystick.api.routes import ALL
from tallystick.api.routing import read_query
from tallystick.errors import NodeError, PeerError, QueueFullError, RejectedError
from tallystick.sdk import Zone
from tallystick.sdk.following import MAX_BULK, MAX_BULK_BYTES
from tallystick.views import EventView, SubmittedView
from tests.support.market import terms_on
from tests.unit.sdk.simulated import SimulatedNode, a_market

CALLS: dict[str, Callable[[Zone], Any]] = {
    "status": lambda zone: zone.status(),
    "standing": lambda zone: zone.standing(),
    "find": lambda zone: zone.find("words", field="health", owner="a", keyword="b", withdrawn=True, limit=5, offset=5),
    "dataset": lambda zone: zone.dataset("city-hospital/x"),
    "own dataset": lambda zone: zone.dataset("x"),
    "offer": lambda zone: zone.offer(
        Path("data.csv"), name="x", title="X", field="health", keywords=["a"], terms=terms_on()
    ),
    "revise": lambda zone: zone.revise(
        "x", source="data.csv", keywords=["b"], title="Y", terms={"approval": "automatic"}
    ),
    "withdraw": lambda zone: zone.withdraw("x"),
    "preview": lambda zone: zone.preview("x", rows=5),
    "request": lambda zone: zone.request("city-hospital/x", "study", version=1, proposal="research-90d", comment="c"),
    "requests": lambda zone: zone.requests("sent", "REQUESTED", waiting=True),
    "show_request": lambda zone: zone.show_request("req-1"),
    "approve": lambda zone: zone.approve("req-1"),
    "counter": lambda zone: zone.counter("req-1", {"approval": "manual"}, "c"),
    "reject": lambda zone: zone.reject("req-1", "no"),
    "cancel": lambda zone: zone.cancel("req-1"),
    "agreements": lambda zone: zone.agreements("in_force", "city-hospital/x"),
    "agreement": lambda zone: zone.agreement("agr-1"),
    "terminate": lambda zone: zone.terminate("agr-1", "over"),
    "fetch": lambda zone: zone.fetch("city-hospital/x"),
    "deliveries": lambda zone: zone.deliveries("received", "agr-1"),
    "delivery": lambda zone: zone.delivery("dlv-1"),
    "dispute": lambda zone: zone.dispute("dlv-1", "wrong"),
    "answer": lambda zone: zone.answer("dlv-1", "right"),
    "record_evidence": lambda zone: zone.record_evidence(["a.pdf"], "out"),
    "evidence": lambda zone: zone.evidence(),
    "organisations": lambda zone: zone.organisations(),
    "organisation": lambda zone: zone.organisation("harbour-bank"),
    "applications": lambda zone: zone.applications(),
    "admit": lambda zone: zone.admit("harbour-bank", "4hpy7"),
    "suspend": lambda zone: zone.suspend("harbour-bank"),
    "reinstate": lambda zone: zone.reinstate("harbour-bank"),
    "promote": lambda zone: zone.promote("harbour-bank"),
    "demote": lambda zone: zone.demote("harbour-bank"),
    "hand_over": lambda zone: zone.hand_over(),
    "set_engine": lambda zone: zone.set_engine("00" * 32, "00" * 20, "engine.example:26656", "00" * 64),
    "set_address": lambda zone: zone.set_address("node.example:1"),
    "rename": lambda zone: zone.rename("Bank"),
    "add_key": lambda zone: zone.add_key("service"),
    "rotate_key": lambda zone: zone.rotate_key("service", "00" * 32),
    "revoke_key": lambda zone: zone.revoke_key("00" * 32),
    "api_keys": lambda zone: zone.api_keys(),
    "create_api_key": lambda zone: zone.create_api_key("n", ["observer"], [zone.organisation], expires=1),
    "revoke_api_key": lambda zone: zone.revoke_api_key("k"),
    "operations": lambda zone: zone.operations(before=5, limit=2, type="offer_dataset", organisation="a"),
    "operation": lambda zone: zone.operation("00" * 32, 1),
    "receipt": lambda zone: zone.receipt("00" * 32, 1, wait_s=0),
    "record": lambda zone: zone.record("dataset_versions", "city-hospital/x@1"),
    "consistency": lambda zone: zone.prove_consistency(1, 2),
    "events": lambda zone: list(zone.events(5)),
    "events from": lambda zone: next(zone.events(from_height=2, follow=True)),
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNode:
    """A node that is only connected to."""
    return a_market(tmp_path_factory.mktemp("surface") / "ledger")[0]


@pytest.mark.parametrize("name", CALLS)
def test_what_is_asked_for_is_there(node: SimulatedNode, name: str) -> None:
    """Method, path, query and body of a call are those of a route of the API, read as the API reads them."""
    asked: list[httpx.Request] = []

    def keep(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(418)

    with node.connect() as zone:
        zone._connection._client._transport = httpx.MockTransport(keep)
        with pytest.raises(PeerError):
            CALLS[name](zone)

    request = asked[0]
    (route,) = [each for each in ALL if each.method == request.method and _matches(each.path, request.url.path)][:1]
    if request.url.query:
        assert route.query is not None
        scope = {"type": "http", "query_string": request.url.query, "headers": []}
        read_query(Request(scope), route.query)
    if request.content:
        assert route.body is not None
        msgspec.json.decode(request.content, type=route.body)
    else:
        assert route.body is None


def test_every_condition_is_sent(node: SimulatedNode) -> None:
    """All that a search or a list is narrowed by reaches the node."""
    asked: list[str] = []

    def keep(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        return httpx.Response(418)

    with node.connect() as zone:
        zone._connection._client._transport = httpx.MockTransport(keep)
        for name in ("find", "operations", "requests"):
            with pytest.raises(PeerError):
                CALLS[name](zone)

    assert [
        "words=words&field=health&owner=a&keyword=b&withdrawn=true&limit=5&offset=5",
        "before=5&limit=2&type=offer_dataset&organisation=a",
        "direction=sent&state=REQUESTED&waiting=true",
    ] == asked


def _matches(pattern: str, path: str) -> bool:
    """Tell whether a path is of a route."""
    expression = re.sub(r"\{\w+:path\}", "(.+)", pattern)
    return re.fullmatch(re.sub(r"\{\w+\}", "([^/]+)", expression), path) is not None


def test_a_search_is_iterated_over(node: SimulatedNode) -> None:
    """What a search finds is iterated over, counted, and true where there is something."""
    with node.connect() as zone:
        dataset = msgspec.to_builtins(zone.dataset("city-hospital/discharges-2024"))
        found = msgspec.json.encode({"datasets": [dataset], "total": 7, "facets": {"field": {"health": 7}}})
        nothing = msgspec.json.encode({"datasets": [], "total": 0, "facets": {}})
        node.answers["GET", "/v1/datasets"] = [httpx.Response(200, content=data) for data in (found, nothing)]

        some, none = zone.find("discharges"), zone.find("else")

    assert ["city-hospital/discharges-2024"] == [each.name for each in some]
    assert (1, 7, True, False) == (len(some), some.total, bool(some), bool(none))


def test_transactions_go_in_lists(node: SimulatedNode) -> None:
    """Many transactions go in lists within the API's limits; each has its own result, and a lost answer is said of each."""
    lists: list[list[bytes]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        batch = msgspec.msgpack.decode(request.content, type=list[bytes])
        lists.append(batch)
        assert len(request.content) <= 16 << 20
        if len(lists) == 2:
            raise httpx.ReadError("cut")
        problem = {"error": "usage", "message": "m", "remedy": "r"}
        rejection = {"code": 7, "name": "n", "message": "m", "fields": {}}
        answers: list[dict[str, Any]] = [
            {"id": "00", "height": 1, "first_leaf": 0, "outcomes": [{"code": 0}]} for _ in batch
        ]
        answers[0], answers[1] = {"status": 400, "refused": problem}, {"status": 409, "refused": rejection}
        return httpx.Response(200, content=msgspec.json.encode(answers))

    large = [bytes(1 << 20)] * 20
    with node.connect() as zone:
        zone._connection._client._transport = httpx.MockTransport(serve)
        results = zone.submit([b"x"] * (MAX_BULK + 5) + large)
        assert [] == zone.submit([])

    assert MAX_BULK + 25 == len(results) == sum(map(len, lists))
    assert all(sum(map(len, batch)) <= MAX_BULK_BYTES for batch in lists)
    assert isinstance(results[0], NodeError) and isinstance(results[1], RejectedError) and 7 == results[1].code
    assert isinstance(results[2], SubmittedView) and 0 == results[2].outcomes[0].code
    assert all(isinstance(result, PeerError) for result in results[MAX_BULK : MAX_BULK + len(lists[1])])
    assert isinstance(results[-1], SubmittedView)


def test_events_are_followed(node: SimulatedNode) -> None:
    """Events come in pages until there is none, or without end; the next page is asked for behind the last event."""
    pages = [[1, 2], [3], [], [4]]
    asked: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        numbers = pages[len(asked) - 1]
        last = max((number for page in pages[: len(asked)] for number in page), default=0)
        events = [{"sequence": number, "leaf": 0, "event": {"type": "x"}} for number in numbers]
        return httpx.Response(200, content=msgspec.json.encode({"events": events, "next": last}))

    with node.connect() as zone:
        zone._connection._client._transport = httpx.MockTransport(serve)
        assert [1, 2, 3] == [event.sequence for event in zone.events(from_height=1)]
        asked.clear()
        following = zone.events(follow=True)
        found: list[EventView] = [next(following) for _ in range(4)]

    assert 4 == found[-1].sequence
    assert "after=3" in asked[2] and "wait=20" in asked[2]


def test_full_queue_is_waited_for(node: SimulatedNode) -> None:
    """Those that the organisation's queue had no room for are handed in again after the time that the node asks for."""
    lists: list[list[bytes]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        batch = msgspec.msgpack.decode(request.content, type=list[bytes])
        lists.append(batch)
        full = {"error": "queue_full", "message": "m", "remedy": "r", "retry_after_s": 3}
        answers: list[dict[str, Any]] = [{"id": "00", "height": 1, "first_leaf": 0, "outcomes": []} for _ in batch]
        if b"never" in batch:
            answers[batch.index(b"never")] = {"status": 429, "refused": full}
        if len(lists) == 1:
            answers[1] = {"status": 429, "refused": full}
        return httpx.Response(200, content=msgspec.json.encode(answers))

    with node.connect(timeout_s=10) as zone:
        zone._connection._client._transport = httpx.MockTransport(serve)
        results = zone.submit([b"a", b"b", b"never"])

    assert [[b"a", b"b", b"never"], [b"b", b"never"], [b"never"], [b"never"]] == lists
    assert [3, 3, 3] == node.slept
    assert [True, True, False] == [isinstance(result, SubmittedView) for result in results]
    assert isinstance(results[2], QueueFullError) and 3 == results[2].retry_after_s
