"""What is not a good request: refused by path, in the one form, never with a 500 and never with a trace."""

import json

import pytest

from tests.support.deals import DATASET, offer
from tests.support.zones import HOSPITAL

JSON = {"Content-Type": "application/json"}
REQUEST = {"dataset": DATASET, "purpose": "Study"}


def refused(answer, *statuses):
    """Check that an answer is a refusal with one of these statuses, in the one form."""
    assert answer.status_code in statuses, (answer.status_code, answer.text)
    body = answer.json()
    assert body["error"] and body["message"] and body["remedy"], answer.text
    assert "Traceback" not in answer.text and "msgspec" not in answer.text
    return body


BAD_JSON = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"12",
    b"{'dataset': 1}",
    b'{"dataset": "a/b", "purpose": "x",}',
    b"\xff\xfe\x00",
    b'{"dataset": "\xff", "purpose": "x"}',
    b'{"dataset": "\\ud800", "purpose": "x"}',
    b'{"dataset": "a/b", "purpose": "x"} trailing',
    b'{"dataset": "a/b", "purpose": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    b"[" * 500_000,
    b'{"a":' * 100_000,
    b'{"dataset": "a/b", "purpose": "x", "proposal": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
    b'{"dataset": "a/b", "purpose": "x", "version": 1' + b"0" * 5_000 + b"}",
    b'{"dataset": "a/b", "purpose": "x", "version": 1e999}',
    b'{"dataset": "a/b", "purpose": "x", "version": NaN}',
    b"\xef\xbb\xbf{}",
    b"\x00" * 1_000,
)


async def test_bodies_that_are_no_json_or_not_of_its_form(api):
    """Broken, deep, huge and ill-typed bodies are 422 and name where."""
    async with api.client() as client:
        for body in BAD_JSON:
            answer = await client.post("/v1/requests", content=body, headers=JSON)
            assert "malformed" == refused(answer, 422)["error"], body[:60]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"colour": "red"}, "$"),
        ({"version": "1"}, "$.version"),
        ({"version": 0}, "$.version"),
        ({"version": 1.5}, "$.version"),
        ({"version": True}, "$.version"),
        ({"version": 2**63}, "$.version"),
        ({"version": 2**200}, "$.version"),
        ({"purpose": 7}, "$.purpose"),
        ({"purpose": ""}, "$.purpose"),
        ({"purpose": "x" * 2_001}, "$.purpose"),
        ({"purpose": "a\x00b"}, "$.purpose"),
        ({"purpose": None}, "$.purpose"),
        ({"dataset": "x\n"}, "$.dataset"),
        ({"dataset": ["a"]}, "$.dataset"),
        ({"proposal": [1]}, "$.proposal"),
        ({"comment": "\x1b[31m"}, "$.comment"),
    ],
)
async def test_path_of_the_first_wrong_value(api, changes, path):
    """A refusal of a form says which value is wrong."""
    async with api.client() as client:
        body = refused(await client.post("/v1/requests", json=REQUEST | changes), 422)
    assert path == body["path"]


async def test_missing_fields_are_named(api):
    """What must be there and is not is named."""
    async with api.client() as client:
        body = refused(await client.post("/v1/requests", json={"dataset": DATASET}), 422)
    assert "purpose" in body["message"]


async def test_bodies_that_are_too_long(api):
    """More than a MiB is not read; what announces more is refused before it comes."""
    async with api.client() as client:
        long = json.dumps(REQUEST | {"comment": "x" * (1 << 20)})
        assert "too_large" == refused(await client.post("/v1/requests", content=long, headers=JSON), 413)["error"]

        async def endless():
            for _ in range(40):
                yield b"x" * 65_536

        answer = await client.post("/v1/requests", content=endless(), headers=JSON)
        assert "too_large" == refused(answer, 413)["error"]
        for length in ("99999999999", "9" * 400, "-1", "1e3", "\u0663"):
            headers = {**JSON, "Content-Length": length.encode()}
            answer = await client.post("/v1/requests", content=b"{}", headers=headers)
            assert "too_large" == refused(answer, 413)["error"], length


async def test_media_types(api):
    """A body of another type than JSON is 415, whatever is in it; parameters of the type do not matter."""
    async with api.client() as client:
        body = json.dumps(REQUEST)
        for kind in ("", "text/plain", "application/x-www-form-urlencoded", "application/cbor", "application/jsonx"):
            answer = await client.post("/v1/requests", content=body, headers={"Content-Type": kind})
            assert "media_type" == refused(answer, 415)["error"], kind
        answer = await client.post("/v1/requests", content=body, headers={"Content-Type": "Application/JSON; a=b"})
        assert 404 == answer.status_code


async def test_methods_and_addresses(api):
    """A wrong method is 405 with what is allowed, a wrong address 404; a slash more is another address."""
    async with api.client() as client:
        for method, path in (("PUT", "/v1/requests"), ("DELETE", "/v1/status"), ("PATCH", "/v1/keys")):
            answer = await client.request(method, path)
            assert "method" == refused(answer, 405)["error"]
            assert answer.headers["allow"]
        for path in ("/", "/v1", "/v1/nothing", "/v1/status/", "/v2/status", "/docs", "/openapi.json", "//v1/status"):
            assert "no_route" == refused(await client.get(path), 404)["error"], path
        answer = await client.request("BREW", "/v1/status")
        refused(answer, 405)
        answer = await client.get("/v1/transactions")
        assert "method" == refused(answer, 405)["error"]


BAD_QUERIES = (
    ("/v1/datasets", "limit=0"),
    ("/v1/datasets", "limit=1000000"),
    ("/v1/datasets", "limit=abc"),
    ("/v1/datasets", "limit=1&limit=2"),
    ("/v1/datasets", "offset=-1"),
    ("/v1/datasets", "offset=99999999999999999999999999"),
    ("/v1/datasets", "field=astrology"),
    ("/v1/datasets", "withdrawn=perhaps"),
    ("/v1/datasets", "words=%00"),
    ("/v1/datasets", "words=" + "a" * 300),
    ("/v1/datasets", "colour=red"),
    ("/v1/requests", "direction=up"),
    ("/v1/operations", "before=-1"),
    ("/v1/operations", "limit=1001"),
    ("/v1/operations", "before=null"),
    ("/v1/events", "after=NULL"),
    ("/v1/datasets", "field=null"),
    ("/v1/events", "after=-1"),
    ("/v1/events", "wait=31"),
    ("/v1/events", "after=1&from_height=1"),
    ("/v1/consistency", "first=1"),
    ("/v1/consistency", "first=one&second=2"),
    ("/v1/consistency", ""),
    ("/v1/receipts/" + "0" * 64, "index=-1"),
)


async def test_bad_queries(api):
    """A query that does not fit is 422 and names which part."""
    async with api.client() as client:
        for path, query in BAD_QUERIES:
            body = refused(await client.get(f"{path}?{query}"), 422)
            assert body["path"].startswith("query"), (path, query, body)


ODD_PATHS = (
    "/v1/requests/%00",
    "/v1/requests/%ff%fe",
    "/v1/requests/%F0%9F%98%80",
    "/v1/requests/..%2f..%2fetc",
    "/v1/requests/" + "a" * 5_000,
    "/v1/agreements/agr-0",
    "/v1/deliveries/dlv-0",
    "/v1/deliveries/dlv-0/files",
    "/v1/deliveries/dlv-0/content?file=a",
    "/v1/organisations/%0a",
    "/v1/organisations/nobody",
    "/v1/datasets/a/b",
    f"/v1/datasets/{HOSPITAL}/nothing",
    f"/v1/datasets/{HOSPITAL}/%00/preview",
    "/v1/receipts/zz",
    "/v1/receipts/" + "0" * 64,
    "/v1/receipts/" + "\u0660" * 64,
    "/v1/operations/" + "0" * 64 + "/0",
    "/v1/operations/x/y",
    "/v1/operations/x/-1",
    "/v1/operations/x/" + "9" * 40,
    "/v1/records/nothing/" + "x" * 500,
    "/v1/records/" + "y" * 100 + "/x",
    "/v1/jobs/job-0",
)


async def test_odd_paths(api):
    """Whatever stands in a path, it is not there or not well formed."""
    async with api.client() as client:
        for path in ODD_PATHS:
            refused(await client.get(path), 404, 422)


async def test_records_that_are_none(api, zone, table):
    """Any collection and key has a proof: that there is nothing."""
    await offer(zone, table)
    async with api.client() as client:
        for path in ("/v1/records/nothing/x", "/v1/records/datasets/a/b/c", "/v1/records/datasets/%E2%82%AC"):
            answer = await client.get(path)
            assert (200, None) == (answer.status_code, answer.json()["value"])
        present = await client.get(f"/v1/records/datasets/{DATASET}")
        assert DATASET == present.json()["value"]["name"]


async def test_relative_paths_are_refused(api):
    """A path is whole, as the node's machine has it; what is not there fails as a job, by name."""
    async with api.client() as client:
        offering = {"source": "data.csv", "name": "n", "title": "T", "field": "health"}
        assert "usage" in refused(await client.post("/v1/datasets", json=offering), 400)["error"]
        refused(await client.post("/v1/evidence", json={"paths": ["../etc"]}), 400)
        refused(await client.post("/v1/evidence", json={"paths": ["/etc"], "out": "here"}), 400)
        began = await client.post("/v1/datasets", json=offering | {"source": "/nothing/here.csv"})
        job = (await client.get(f"/v1/jobs/{began.json()['id']}", params={"wait": 10})).json()
        assert ("failed", 400) == (job["state"], job["status"])
        assert job["problem"]["remedy"]


async def test_terms_of_any_depth_and_kind(api, zone, table):
    """Terms that are not a policy, however odd, are refused with what was wrong."""
    await offer(zone, table)
    deep = {"a": 1}
    for _ in range(200):
        deep = {"a": deep}
    async with api.client() as client:
        for terms in (
            deep,
            {"permission": deep},
            {"permission": [{"action": "use"}] * 500},
            "",
            "nothing",
            {"\x00": 1},
        ):
            answer = await client.patch(f"/v1/datasets/{DATASET}", json={"terms": terms})
            assert answer.status_code in (202, 400, 422)
            if answer.status_code == 202:
                job = (await client.get(f"/v1/jobs/{answer.json()['id']}", params={"wait": 10})).json()
                assert ("failed", True) == (job["state"], job["status"] in (400, 409, 422)), (terms, job)


async def test_unexpected_mistakes_show_nothing(api, monkeypatch):
    """What nobody foresaw is 503 with a remedy, and the details are in the log alone."""

    def broken(*_, **__):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(api.node.office.members, "list", broken)
    async with api.client() as client:
        answer = await client.get("/v1/organisations")
    assert "unexpected" == refused(answer, 503)["error"]
    assert "secret" not in answer.text
    assert "1" == answer.headers["retry-after"]
