"""Status, history, proofs, events, jobs, health and metrics."""

import asyncio
import json

import pytest

from tallystick.api.jobs import MOST_RUNNING, Jobs
from tallystick.api.metrics import METRICS
from tallystick.errors import PeerError, UsageError
from tallystick.merkle import verify_consistency
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.office.refusals import NotFoundError
from tallystick.proofs.trust import TrustFile
from tallystick.views import EngineHealth, Misconduct
from tests.support.deals import DATASET, ask, offer
from tests.support.office_api import NodeApi
from tests.support.zones import HOSPITAL, UNIVERSITY

MISCONDUCT = Misconduct(
    kind="duplicate_vote", organisation="bank", validator="ab" * 20, height=7, found_at=9, time=1_700_000_000_000
)


async def record(zone, count=1):
    """Record evidence, a block each."""
    for number in range(count):
        await zone[HOSPITAL].ledger.submit([RecordEvidence(root=f"{number:064x}", count=1)])
    await zone.settle()


def good(answer):
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def test_status_and_standing(zone, api):
    """A node says what it is, how far it has come, and which key asked."""
    await record(zone, 2)
    async with api.client("observer") as client:
        status = good(await client.get("/v1/status"))
        assert (HOSPITAL, "orderer", 2, 2, ["observer"]) == (
            status["organisation"],
            status["role"],
            status["height"],
            status["size"],
            status["roles"],
        )
        assert status["copy_height"] == status["height"]
        standing = good(await client.get("/v1/standing"))
        assert UNIVERSITY in {each["organisation"] for each in standing["nodes"]}
        api.core_is_up = False
        answer = await client.get("/v1/status")
        assert (503, "1") == (answer.status_code, answer.headers["retry-after"])


async def test_zone_file_is_exactly_its_bytes(zone, api):
    """What is handed out is the trust file, byte for byte."""
    async with api.client("observer") as client:
        answer = await client.get("/v1/zone")
    assert zone.nodes[HOSPITAL].keeper.trust.fingerprint == TrustFile.parse(answer.content).fingerprint


async def test_history_newest_first(zone, api, table):
    """Operations are listed from the newest, by type and organisation, in pages."""
    await record(zone, 3)
    await offer(zone, table)
    async with api.client("observer") as client:
        every = good(await client.get("/v1/operations"))
        assert [3, 2, 1, 0] == [each["leaf"] for each in every]
        evidence = good(await client.get("/v1/operations", params={"type": "record_evidence", "limit": 2}))
        assert [2, 1] == [each["leaf"] for each in evidence]
        assert [0] == [each["leaf"] for each in good(await client.get("/v1/operations", params={"before": 1}))]
        assert [] == good(await client.get("/v1/operations", params={"organisation": UNIVERSITY}))
        assert [] == good(await client.get("/v1/operations", params={"type": "' OR 1=1 --"}))
        one = good(await client.get(f"/v1/operations/{every[0]['transaction']}/0"))
        assert ("offer_dataset", DATASET) == (one["type"], one["operation"]["name"])
        missing = await client.get(f"/v1/operations/{every[0]['transaction']}/5")
        assert 404 == missing.status_code


async def test_receipt_before_and_after_it_is_witnessed(zone, api):
    """Not yet witnessed is 503 with when to ask again; what is not there is 404."""
    await record(zone)
    async with api.client("observer") as client:
        (operation,) = good(await client.get("/v1/operations"))
        address = f"/v1/receipts/{operation['transaction']}"
        early = await client.get(address)
        assert (503, "1") == (early.status_code, early.headers["retry-after"])
        assert "witnessed" in early.json()["message"]
        await zone.witness()
        assert 1 == good(await client.get(address))["v"]
        assert 404 == (await client.get(address, params={"index": 3})).status_code
        assert 404 == (await client.get(f"/v1/receipts/{'0' * 64}")).status_code


async def test_consistency(zone, api):
    """Two sizes at which blocks ended have a proof that verifies; others are refused."""
    await record(zone, 5)
    async with api.client("observer") as client:
        proof = good(await client.get("/v1/consistency", params={"first": 2, "second": 5}))
        assert verify_consistency(
            proof["first"],
            bytes.fromhex(proof["first_root"]),
            proof["second"],
            bytes.fromhex(proof["second_root"]),
            [bytes.fromhex(each) for each in proof["path"]],
        )
        for first, second in ((5, 2), (0, 2), (1, 99), (2**53 - 1, 2**53 - 1)):
            answer = await client.get("/v1/consistency", params={"first": first, "second": second})
            assert 400 == answer.status_code


async def test_events_in_pages_and_from_a_block(zone, api):
    """Events come oldest first, behind a number or from a block on."""
    await record(zone, 4)
    async with api.client("observer") as client:
        first = good(await client.get("/v1/events", params={"limit": 3}))
        assert ([1, 2, 3], 3) == ([each["sequence"] for each in first["events"]], first["next"])
        rest = good(await client.get("/v1/events", params={"after": first["next"]}))
        assert [4] == [each["sequence"] for each in rest["events"]]
        assert "evidence_recorded" == rest["events"][0]["event"]["type"]
        behind = good(await client.get("/v1/events", params={"after": 99}))
        assert ([], 99) == (behind["events"], behind["next"])
        assert [4] == [
            each["sequence"] for each in good(await client.get("/v1/events", params={"from_height": 4}))["events"]
        ]


async def test_events_can_be_waited_for(zone, api):
    """A question that waits is answered when the next block comes."""
    async with api.client("observer") as client:
        waiting = asyncio.ensure_future(client.get("/v1/events", params={"wait": 30}))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await record(zone)
        assert 1 == len(good(await waiting)["events"])


class Stream:
    """A client of the event stream that can go away in the middle, straight at the ASGI application."""

    def __init__(self, api, secret, **headers):
        named = {"authorization": f"Bearer {secret}", "accept": "text/event-stream"} | headers
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/v1/events",
            "raw_path": b"/v1/events",
            "root_path": "",
            "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()],
            "client": ("127.0.0.1", 1),
            "server": ("node", 80),
        }
        self.app = api.app
        self.text = ""
        self.status = 0
        self.came = asyncio.Event()
        self.gone = asyncio.Event()
        self.begun = False

    async def __aenter__(self):
        self.task = asyncio.create_task(self.app(self.scope, self._receive, self._send))
        return self

    async def __aexit__(self, *_):
        self.gone.set()
        await asyncio.wait_for(self.task, 10)

    async def _receive(self):
        if not self.begun:
            self.begun = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        self.status = message.get("status", self.status)
        self.text += message.get("body", b"").decode()
        self.came.set()

    async def events(self, count):
        """Return the first events of the stream, once they are there."""
        while True:
            found = [block for block in self.text.split("\n\n") if block.startswith("id: ")]
            if len(found) >= count:
                return [
                    (int(block.split("\n")[0][4:]), json.loads(block.split("\n")[2].removeprefix("data: ")))
                    for block in found
                ]
            self.came.clear()
            await asyncio.wait_for(self.came.wait(), 10)


async def test_event_stream(zone, api):
    """A stream tells what is there and then what comes; a client that comes back goes on behind its last event."""
    await record(zone, 2)
    secret = api.secret("observer")
    async with Stream(api, secret) as stream:
        assert [1, 2] == [number for number, _ in await stream.events(2)]
        await record(zone, 1)
        number, event = (await stream.events(3))[2]
        assert (3, "evidence_recorded") == (number, event["event"]["type"])
    async with Stream(api, secret, last_event_id="2") as again:
        assert [3] == [number for number, _ in await again.events(1)]
    for wrong in ("x", "-1", "1e3", "9" * 30, ""):
        async with Stream(api, secret, last_event_id=wrong) as refused:
            await asyncio.wait_for(refused.task, 10)
        assert (422, "Last-Event-ID") == (refused.status, json.loads(refused.text)["path"])


async def test_event_stream_ends_with_its_key(zone, api):
    """Whoever's key is revoked hears nothing of what happens from then on."""
    await record(zone)
    secret = api.secret("observer")
    async with Stream(api, secret) as stream:
        await stream.events(1)
        zone[HOSPITAL].users.revoke(secret.split("_")[1])
        await record(zone, 1)
        await asyncio.wait_for(stream.task, 10)
        assert 1 == len(await stream.events(1))


IN_TROUBLE = EngineHealth(answers=True, validators=4, reachable=2, needed=3, trouble="waiting for others: 2 of 4")


async def test_ready_tells_the_truth(zone, api):
    """Ready is ready: not without a core or an engine that decides, with an alarm, held, far behind, or a full disk."""
    async with api.client(key="") as nobody:
        assert "ready" == good(await nobody.get("/readyz"))["status"]
        for name, value, words in (
            ("core_is_up", False, "core"),
            ("alarm", "two histories", "not trusted"),
            ("held", True, "witnesses"),
            ("behind", 101, "101 blocks"),
            ("engine", IN_TROUBLE, "waiting for others: 2 of 4"),
            ("free", 3 << 20, "the disk is full: 3072 KiB are left"),
        ):
            before = getattr(api, name)
            setattr(api, name, value)
            answer = await nobody.get("/readyz")
            assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
            assert words in answer.json()["troubles"][0]
            assert (503 if name == "core_is_up" else 200) == (await nobody.get("/healthz")).status_code
            setattr(api, name, before)
        api.engine = EngineHealth(answers=True, validators=4, reachable=3, needed=3)
        assert "ready" == good(await nobody.get("/readyz"))["status"]


async def test_alive_is_a_core_that_answers(zone, api):
    """A node whose core says nothing does not live, whatever this process does."""
    async with api.client(key="") as nobody:
        assert {"status": "alive"} == good(await nobody.get("/healthz"))
        api.core_is_up = False
        answer = await nobody.get("/healthz")
        assert (503, "1", {"status": "the core does not answer"}) == (
            answer.status_code,
            answer.headers["retry-after"],
            answer.json(),
        )


async def test_status_shows_what_is_suspected_and_what_was_proved(zone, api):
    """Suspicion, misbehaviour, disk and processes are there for whoever has a key."""
    api.suspicion = "the bank's word stands against the hospital's"
    api.misbehaviour = (MISCONDUCT,)
    async with api.client("observer") as client:
        shown = good(await client.get("/v1/status"))
    assert api.suspicion == shown["suspicion"]
    assert [("duplicate_vote", "bank", 7)] == [
        (each["kind"], each["organisation"], each["height"]) for each in shown["misbehaviour"]
    ]
    assert (100, 7) == (shown["disk"]["ledger"], shown["disk"]["growth_a_day"])
    assert (2, -9) == (shown["processes"]["core"]["restarts"], shown["processes"]["core"]["last_exit"])


async def test_metrics_count_by_route_and_never_by_path(zone, api):
    """Numbers are there; what came from outside in a path is not."""
    await record(zone)
    async with api.client("observer") as client:
        await client.get("/v1/requests/req-secret")
        await client.get("/v1/nothing/at/all")
        await client.request("BREW", "/v1/status")
        handed_in = await client.post("/v1/transactions", content=b"x", headers={"Content-Type": "application/cbor"})
        assert "no-store" == handed_in.headers["cache-control"]
        text = (await client.get("/metrics")).text
        assert "tallystick_history_size 1.0" in text
        for line in (
            'method="GET",route="/v1/requests/{request}",status="404"',
            'method="POST",route="/v1/transactions",status="403"',
            'method="other",route="/v1/status",status="405"',
            'method="GET",route="other",status="404"',
        ):
            assert f"tallystick_api_requests_total{{{line}}} 1.0" in text
        assert "req-secret" not in text and "/v1/nothing" not in text
        api.core_is_up = False
        assert "tallystick_core_up 0.0" in (await client.get("/metrics")).text


async def test_metrics_of_core_engine_disk_and_processes(zone, api):
    """What core, supervisor and disk tell is in the numbers, by label; each name is one that the reference lists."""
    api.engine = EngineHealth(
        answers=True, peers=("bank",), validators=4, reachable=2, needed=3, mempool=5, mempool_bytes=99, trouble="x"
    )
    api.queues = {"bank": 3, "city": 1}
    api.misbehaviour = (MISCONDUCT, MISCONDUCT)
    api.suspicion = "somebody"
    for seconds in (0.002, 0.002, 0.2, 99.0):
        api.measures.observe("commit_seconds", seconds)
    api.measures.refused("block", "wrong_previous")
    async with api.client("observer") as client:
        text = (await client.get("/metrics")).text
        again = (await client.get("/metrics")).text
    for line in (
        'tallystick_queue_transactions{organisation="bank"} 3.0',
        'tallystick_misbehaviour{kind="duplicate_vote",organisation="bank"} 2.0',
        "tallystick_suspicion 1.0",
        "tallystick_engine_in_trouble 1.0",
        "tallystick_engine_validators_reachable 2.0",
        "tallystick_mempool_bytes 99.0",
        'tallystick_commit_seconds_bucket{le="0.0025"} 2.0',
        'tallystick_commit_seconds_bucket{le="0.25"} 3.0',
        'tallystick_commit_seconds_bucket{le="+Inf"} 4.0',
        "tallystick_commit_seconds_count 4.0",
        'tallystick_verification_failures_total{reason="wrong_previous",what="block"} 1.0',
        'tallystick_disk_bytes{part="ledger"} 100.0',
        'tallystick_process_restarts_total{process="core"} 2.0',
        "tallystick_members_reachable 2.0",
    ):
        assert line in text.splitlines()
    assert again.count("tallystick_height ") == text.count("tallystick_height ")
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names - {"tallystick_api_requests_created", "tallystick_api_seconds_created"} == set(METRICS)


async def test_two_applications_in_one_process(zone, api):
    """Two nodes' applications share no counters."""
    theirs = NodeApi(zone.nodes[UNIVERSITY])
    async with api.client() as one, theirs.client() as two:
        await one.get("/v1/status")
        assert "/v1/status" not in (await two.get("/metrics")).text


async def test_own_request_of_an_other_node(zone, api, table):
    """The same request as each node shows it: who is which side follows from whose node it is."""
    await offer(zone, table)
    request = await ask(zone)
    theirs = NodeApi(zone.nodes[UNIVERSITY])
    async with api.client() as hospital, theirs.client() as university:
        assert "received" == good(await hospital.get(f"/v1/requests/{request.id}"))["direction"]
        assert "sent" == good(await university.get(f"/v1/requests/{request.id}"))["direction"]


async def test_jobs_progress_fail_and_are_bounded():
    """A job counts, ends with a result or with its problem, is its owner's alone, and there are not too many."""
    jobs = Jobs()
    let_go = asyncio.Event()

    async def work(progress):
        progress(3, 10)
        await let_go.wait()
        return "result"

    async def fail(progress):
        raise PeerError("gone", remedy="again")

    job = jobs.start("work", "key-1", work)
    assert "running" == (await jobs.wait(job.id, "key-1", 0.01)).state
    assert (3, 10) == (jobs.get(job.id, "key-1").done, jobs.get(job.id, "key-1").total)
    with pytest.raises(NotFoundError):
        jobs.get(job.id, "key-2")
    failed = await jobs.wait(jobs.start("fail", "key-1", fail).id, "key-1", 5)
    assert ("failed", 503, "gone") == (failed.state, failed.status, failed.problem["message"])
    for _ in range(MOST_RUNNING - 1):
        jobs.start("work", "key-1", work)
    with pytest.raises(UsageError, match="run already"):
        jobs.start("work", "key-1", work)
    let_go.set()
    assert "result" == (await jobs.wait(job.id, "key-1", 5)).result
    let_go.clear()
    last = jobs.start("work", "key-1", work)
    await asyncio.sleep(0)
    await jobs.stop()
    assert ("failed", "stopped") == (jobs.get(last.id, "key-1").state, jobs.get(last.id, "key-1").problem["error"])
