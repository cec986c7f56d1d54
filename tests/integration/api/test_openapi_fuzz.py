"""schemathesis over the API's own description, against a real server: whatever it sends, the answer is as described.

A zone of three offices runs in a thread with the hospital's API on 127.0.0.1. There is something of every kind on its
ledger, and half of the values in paths name what exists, so that requests get past the first refusal. A few examples an
operation by default; `HYPOTHESIS_PROFILE=thorough` looks further.
"""

from __future__ import annotations

import asyncio
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tallystick.api import openapi
from tallystick.node.web import WebServer
from tests.support.deals import DATASET, agree, ask, offer
from tests.support.office_api import NodeApi
from tests.support.offices import make_blueprint, open_zone
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY

EXAMPLES = 150 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 8


def _even(value: Any) -> Any:
    """Write pairs of two alike as lists of two: schemathesis reads `prefixItems` by an older draft, which has none."""
    if isinstance(value, dict):
        found = {name: _even(each) for name, each in value.items()}
        pair = found.pop("prefixItems", None)
        if pair is not None:
            assert all(each == pair[0] for each in pair)
            found["items"] = pair[0]
        return found
    return [_even(each) for each in value] if isinstance(value, list) else value


@schemathesis.serializer("application/cbor", "application/x-msgpack")
def as_they_are(context: Any, value: Any) -> Any:
    """Send bytes as they are; what is not bytes, as its text."""
    return value if isinstance(value, bytes) else getattr(value, "data", None) or repr(value).encode()


SCHEMA = schemathesis.openapi.from_dict(_even(openapi()))
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


class Target(NamedTuple):
    """What is asked.

    Attributes:
        url: of the API.
        key: a good one, with every role.
        known: names of path parameters -> values that exist.
        files: a folder with a file in it; the only place that requests may name.
        api: what answers; in another thread, only to be looked at.
    """

    url: str
    key: str
    known: dict[str, list[str]]
    files: Path
    api: NodeApi


async def _furnish(folder: Path, files: Path, ready: threading.Event, stop: asyncio.Event, found: list[Target]) -> None:
    async with open_zone(make_blueprint(folder / "blueprint"), folder / "zone") as zone:
        api = NodeApi(zone.nodes[HOSPITAL])
        offered = await offer(zone, files / "discharges.csv")
        await offer(zone, files / "discharges.csv", name="open", terms="open-within-zone")
        asked = [await ask(zone) for _ in range(4)]
        agreement = await agree(zone, BANK)
        fetched = await zone[BANK].deliveries.fetch(agreement.id)
        evidence = await zone[HOSPITAL].evidence.record([files / "discharges.csv"], wait_s=0)
        await zone.witness()
        assert offered.recorded is not None
        web = WebServer(api.app, "127.0.0.1:0")
        await web.start()
        known = {
            "request": [each.id for each in asked],
            "agreement": [agreement.id],
            "delivery": [fetched.delivery],
            "organisation": [HOSPITAL, UNIVERSITY],
            "name": [DATASET.partition("/")[2], "open"],
            "transaction": [offered.recorded.transaction],
            "index": ["0"],
            "collection": ["datasets", "evidence", "organisations"],
            "key": [DATASET, evidence.id, HOSPITAL],
        }
        found.append(Target(web.url, api.secret(), known, files, api))
        ready.set()
        await stop.wait()
        await web.stop()
        await api.app.state.jobs.stop()


@contextmanager
def _serving(folder: Path) -> Iterator[Target]:
    """Run the zone and its API in a thread of their own."""
    files = folder / "files"
    files.mkdir()
    (files / "discharges.csv").write_text("ward,days\n1,2\n")
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()
    found: list[Target] = []
    thread = threading.Thread(
        target=loop.run_until_complete, args=(_furnish(folder, files, ready, stop, found),), daemon=True
    )
    thread.start()
    assert ready.wait(60), "the zone did not start"
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        assert not thread.is_alive()
        loop.close()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The running API."""
    with _serving(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


def _coin(*values: Any) -> int:
    """Return a number that follows from values, so that a failure seen once is seen again."""
    return zlib.crc32(repr(values).encode())


def _tame(case: Any, target: Target) -> None:
    """Let half of the paths name what exists; keep requests from waiting, and from files that are not the test's."""
    for name, value in dict(case.path_parameters or {}).items():
        if name in target.known and _coin(name, value) % 2:
            case.path_parameters[name] = target.known[name][_coin(value) % len(target.known[name])]
    if isinstance(case.query, dict) and "wait" in case.query:
        wait = case.query["wait"]
        case.query["wait"] = 0 if isinstance(wait, int) and 0 <= wait <= 30 else wait
    if isinstance(case.body, dict):
        place = str(target.files / "discharges.csv")
        if str(case.body.get("source", "")).startswith("/"):
            case.body["source"] = place
        if str(case.body.get("out", "")).startswith("/"):
            case.body["out"] = str(target.files / "proofs")
        if isinstance(case.body.get("paths"), list):
            case.body["paths"] = [place if str(path).startswith("/") else path for path in case.body["paths"]]
        if isinstance(case.body.get("dataset"), str) and _coin(case.body["dataset"]) % 2:
            case.body["dataset"] = DATASET


def _looks_right(response: schemathesis.Response) -> None:
    """Check what the description does not say: no answer is a mistake of the node, a refusal has its form."""
    assert response.status_code < 500 or response.status_code in (503, 507), response.text
    assert "Traceback" not in response.text
    assert "no-store" in response.headers["cache-control"]
    if response.status_code >= 400 and "/readyz" not in str(response.request.url):
        body = response.json()
        assert body["message"]
        assert "unexpected" != body.get("error"), response.text
        assert "code" in body if response.status_code == 409 else body["remedy"]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=[each.label for each in OPERATIONS])
def test_answers_are_as_described(target: Target, operation: Any, mode: GenerationMode) -> None:
    """Requests that fit the description, and requests that do not, are answered as it says."""
    session = requests.Session()
    headers = {"Authorization": f"Bearer {target.key}"}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def probe(case: Any) -> None:
        _tame(case, target)
        response = case.call(base_url=target.url, headers=headers, session=session, timeout=30)
        case.validate_response(response, checks=CHECKS)
        _looks_right(response)

    try:
        probe()
    except Unsatisfiable:
        # Nothing about a route without parameters and body can be wrong.
        assert mode is GenerationMode.NEGATIVE
        assert operation.body == [] or not list(operation.body)
    finally:
        session.close()


def test_no_job_ended_by_a_mistake(target: Target) -> None:
    """What was begun and answered with 202 ended as well, or with a refusal in its form."""
    works = list(target.api.app.state.jobs._works.values())
    for work in works:
        job = work.job
        if job.state == "failed":
            assert job.problem is not None
            assert "unexpected" != job.problem.get("error"), (job.what, job.problem)
            assert job.status != 500
