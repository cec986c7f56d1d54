"""The main job through the API alone: offer, find, ask, approve, fetch, read, prove, end."""

import asyncio

import pytest
from nacl.signing import SigningKey

from tallystick.modules.organisations.possession import consensus_possession_message
from tallystick.proofs.receipts import verify_receipt
from tests.support.deals import DATASET, PURPOSE
from tests.support.office_api import NodeApi
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY


@pytest.fixture
def theirs(zone):
    """The university's API."""
    return NodeApi(zone.nodes[UNIVERSITY])


async def done(client, answer):
    """Return the result of a job that was begun."""
    assert 202 == answer.status_code, answer.text
    for _ in range(20):
        job = (await client.get(f"/v1/jobs/{answer.json()['id']}", params={"wait": 10})).json()
        if job["state"] != "running":
            assert "done" == job["state"], job
            return job["result"]
    raise AssertionError("the job does not end")


def good(answer, status=200):
    """Return the body of an answer that is to be good."""
    assert status == answer.status_code, answer.text
    return answer.json()


async def test_main_job(zone, api, theirs, table):
    """A dataset goes from one organisation to another, and everything about it is on record with a receipt."""
    async with api.client() as hospital, theirs.client() as university:
        offer = {"source": str(table), "name": "discharges", "title": "Discharges", "field": "health"}
        made = await done(hospital, await hospital.post("/v1/datasets", json=offer))
        await zone.settle()
        found = good(await university.get("/v1/datasets", params={"words": "discharges", "field": "health"}))
        assert (1, DATASET) == (found["total"], found["datasets"][0]["name"])
        shown = good(await university.get(f"/v1/datasets/{DATASET}"))
        assert made["latest"] == shown["latest"]

        asked = good(await university.post("/v1/requests", json={"dataset": DATASET, "purpose": PURPOSE}), 201)
        await zone.settle()
        waiting = good(await hospital.get("/v1/requests", params={"waiting": "true"}))
        assert [asked["id"]] == [each["id"] for each in waiting]
        seen = good(await hospital.get(f"/v1/requests/{asked['id']}"))
        assert {"purpose": PURPOSE} == seen["private"][0]["fields"]
        approved = good(await hospital.post(f"/v1/requests/{asked['id']}/approve"))
        await zone.settle()
        agreement = approved["agreement"]
        assert "in_force" == good(await university.get(f"/v1/agreements/{agreement}"))["state"]

        fetched = await done(university, await university.post("/v1/deliveries", json={"what": DATASET}))
        files = good(await university.get(f"/v1/deliveries/{fetched['delivery']}/files"))
        assert ("file", "discharges.csv", fetched["root"]) == (files["kind"], files["name"], files["fingerprint"])
        assert [{"path": "discharges.csv", "size": table.stat().st_size}] == files["files"]
        content = await university.get(
            f"/v1/deliveries/{fetched['delivery']}/content", params={"file": "discharges.csv"}
        )
        assert table.read_bytes() == content.content
        preview = good(await university.get(f"/v1/datasets/{DATASET}/preview", params={"rows": 2}))
        assert [["0", "0"], ["1", "1"]] == preview["rows"]

        await zone.witness()
        for recorded in (made["recorded"], approved["recorded"], fetched["recorded"]):
            receipt = await hospital.get(f"/v1/receipts/{recorded['transaction']}", params={"index": recorded["index"]})
            assert 200 == receipt.status_code
            verified = verify_receipt(receipt.content, zone.nodes[BANK].keeper.trust)
            assert 0 == verified.outcome

        ended = good(await hospital.post(f"/v1/agreements/{agreement}/terminate", json={"why": "The study is over"}))
        assert "terminated" == ended["state"]
        await zone.settle()
        again = await university.post("/v1/deliveries", json={"what": agreement})
        job = good(await university.get(f"/v1/jobs/{again.json()['id']}", params={"wait": 10}))
        assert ("failed", 403, "not_in_force") == (job["state"], job["status"], job["problem"]["error"])


async def test_ranges_of_content(zone, api, theirs, table):
    """A cut download goes on where it was; a range that is none is refused."""
    async with api.client() as hospital, theirs.client() as university:
        offer = {
            "source": str(table),
            "name": "discharges",
            "title": "D",
            "field": "health",
            "terms": "open-within-zone",
        }
        await done(hospital, await hospital.post("/v1/datasets", json=offer))
        await zone.settle()
        good(await university.post("/v1/requests", json={"dataset": DATASET, "purpose": PURPOSE}), 201)
        await zone.settle()
        fetched = await done(university, await university.post("/v1/deliveries", json={"what": DATASET}))
        address = f"/v1/deliveries/{fetched['delivery']}/content"
        data = table.read_bytes()
        named = {"file": "discharges.csv"}
        part = await university.get(address, params=named, headers={"Range": "bytes=10-19"})
        assert (206, data[10:20]) == (part.status_code, part.content)
        assert f"bytes 10-19/{len(data)}" == part.headers["content-range"]
        rest = await university.get(address, params=named, headers={"Range": "bytes=100-"})
        assert (206, data[100:]) == (rest.status_code, rest.content)
        tail = await university.get(address, params=named, headers={"Range": "bytes=-5"})
        assert (206, data[-5:]) == (tail.status_code, tail.content)
        for wrong in ("bytes=99999999-", "bytes=20-10", "lines=1-2", "bytes=a-b", "bytes=" + "0-0," * 500):
            answer = await university.get(address, params=named, headers={"Range": wrong})
            assert answer.status_code in (200, 206, 400, 416), wrong
        for other in ("../../keys/store.json", "/etc/passwd", "discharges.csv/..", "other.csv"):
            answer = await university.get(address, params={"file": other})
            assert (404, "not_found") == (answer.status_code, answer.json()["error"])
        answer = await hospital.get(address, params=named)
        assert (404, "not_found") == (answer.status_code, answer.json()["error"])


async def test_dispute_and_answer(zone, api, theirs, table):
    """What is wrong with a delivery, and the answer, through both APIs."""
    async with api.client() as hospital, theirs.client() as university:
        offer = {
            "source": str(table),
            "name": "discharges",
            "title": "D",
            "field": "health",
            "terms": "open-within-zone",
        }
        await done(hospital, await hospital.post("/v1/datasets", json=offer))
        await zone.settle()
        good(await university.post("/v1/requests", json={"dataset": DATASET, "purpose": PURPOSE}), 201)
        await zone.settle()
        fetched = await done(university, await university.post("/v1/deliveries", json={"what": DATASET}))
        await zone.settle()
        address = f"/v1/deliveries/{fetched['delivery']}"
        good(await university.post(f"{address}/dispute", json={"why": "Wrong columns"}))
        await zone.settle()
        good(await hospital.post(f"{address}/answer", json={"what": "Version 2 has them"}))
        await zone.settle()
        shown = good(await university.get(address))
        assert ("answered", {"answer": "Version 2 has them"}) == (shown["dispute"], shown["private"][1]["fields"])
        assert [fetched["delivery"]] == [
            each["id"] for each in good(await hospital.get("/v1/deliveries", params={"direction": "sent"}))
        ]


async def test_negotiation(zone, api, theirs, table):
    """Counter, cancel and reject, each with what was said."""
    async with api.client() as hospital, theirs.client() as university:
        offer = {"source": str(table), "name": "discharges", "title": "D", "field": "health"}
        await done(hospital, await hospital.post("/v1/datasets", json=offer))
        await zone.settle()

        async def ask():
            made = good(await university.post("/v1/requests", json={"dataset": DATASET, "purpose": PURPOSE}), 201)
            await zone.settle()
            return f"/v1/requests/{made['id']}"

        first, second, third = await ask(), await ask(), await ask()
        countered = good(await hospital.post(f"{first}/counter", json={"policy": "research-90d", "comment": "So"}))
        assert ("OFFERED", UNIVERSITY) == (countered["state"], countered["turn"])
        await zone.settle()
        assert "FINALIZED" == good(await university.post(f"{first}/approve"))["state"]
        assert "rejected" == good(await hospital.post(f"{second}/reject", json={"why": "Too wide"}))["decision"]
        assert "cancelled" == good(await university.post(f"{third}/cancel"))["decision"]
        await zone.settle()
        late = await hospital.post(f"{third}/approve")
        assert (409, 3014) == (late.status_code, late.json()["code"])
        assert {"code", "name", "message", "fields"} == set(late.json())


async def test_revising_and_withdrawing(zone, api, table):
    """Words change as a job, withdrawal at once; withdrawing what is not there is 404 or a rejection."""
    async with api.client() as hospital:
        offer = {"source": str(table), "name": "discharges", "title": "D", "field": "health"}
        await done(hospital, await hospital.post("/v1/datasets", json=offer))
        revised = await done(hospital, await hospital.patch(f"/v1/datasets/{DATASET}", json={"title": "Corrected"}))
        assert "Corrected" == revised["title"]
        assert "withdrawn" == good(await hospital.delete(f"/v1/datasets/{DATASET}"))["status"]
        assert 0 == good(await hospital.get("/v1/datasets"))["total"]
        assert 1 == good(await hospital.get("/v1/datasets", params={"withdrawn": "true"}))["total"]
        for name in (f"{HOSPITAL}/nothing", f"{BANK}/loans"):
            assert (await hospital.delete(f"/v1/datasets/{name}")).status_code in (404, 409)


async def test_evidence(zone, api, table):
    """Files are recorded as a job, which ends when the record is witnessed and its proofs are written."""
    async with api.client() as hospital:
        began = await hospital.post("/v1/evidence", json={"paths": [str(table)]})
        while not zone.engine.state.frontier.size:
            await asyncio.sleep(0.01)
        await zone.witness()
        view = await done(hospital, began)
        assert (1, ["discharges.csv"], True) == (view["count"], view["names"], view["witnessed"])
        assert [view["id"]] == [each["id"] for each in good(await hospital.get("/v1/evidence"))]


async def test_place_among_validators(zone, api):
    """Votes on who validates, an engine and the handover through the API; what is refused says by which rule."""
    async with api.client() as hospital:
        vote = good(await hospital.post(f"/v1/organisations/{UNIVERSITY}/promote"))
        assert (UNIVERSITY, True, 1) == (vote["organisation"], vote["carried"], vote["votes"])
        shown = good(await hospital.get(f"/v1/organisations/{UNIVERSITY}"))
        assert (True, False, None) == (shown["validates"], shown["orders"], shown["engine"])
        refused = await hospital.post("/v1/zone/hand-over")
        assert "no_engine" == refused.json()["name"], refused.text
        own = await hospital.post(f"/v1/organisations/{HOSPITAL}/demote")
        assert own.json()["name"] in ("own_case", "orderer_stays")
        assert "unknown_organisation" == (await hospital.post("/v1/organisations/nobody/demote")).json()["name"]

        key = SigningKey.generate()
        consensus = bytes(key.verify_key).hex()
        message = consensus_possession_message(zone.nodes[HOSPITAL].store.chain, HOSPITAL, consensus)
        engine = {
            "consensus": consensus,
            "node": "0" * 40,
            "address": "engine.hospital.example:26656",
            "proof": key.sign(message).signature.hex(),
        }
        good(await hospital.post("/v1/own/engine", json=engine))
        shown = good(await hospital.get(f"/v1/organisations/{HOSPITAL}"))["engine"]
        assert {name: engine[name] for name in ("address", "consensus", "node")} == {
            name: shown[name] for name in ("address", "consensus", "node")
        }
        for wrong in ({"node": "0" * 39}, {"address": ""}, {"proof": "0" * 127}, {"consensus": "G" * 64}):
            assert 422 == (await hospital.post("/v1/own/engine", json=engine | wrong)).status_code, wrong


async def test_own_entries(zone, api):
    """Address, name and keys of one's own organisation are changed through the API."""
    async with api.client() as hospital:
        good(await hospital.post("/v1/own/address", json={"address": "node.hospital.example:7071"}))
        good(await hospital.post("/v1/own/name", json={"name": "City Hospital, North"}))
        added = good(await hospital.post("/v1/own/keys", json={"role": "service"}))
        rotated = good(await hospital.post("/v1/own/keys/rotate", json={"role": "service", "key": added["key"]}))
        assert added["key"] == rotated["replaces"]
        good(await hospital.post("/v1/own/keys/revoke", json={"key": rotated["key"]}))
        shown = good(await hospital.get(f"/v1/organisations/{HOSPITAL}"))
        assert ("node.hospital.example:7071", "City Hospital, North") == (shown["address"], shown["name"])
        held = {each["key"] for each in shown["keys"]}
        assert added["key"] not in held and rotated["key"] not in held
        wrong = await hospital.post("/v1/own/keys/rotate", json={"role": "service", "key": "0" * 64})
        assert 400 == wrong.status_code
        assert (await hospital.post("/v1/own/keys/rotate", json={"role": "system"})).status_code == 400
