"""Transactions that are signed already: one, or a list in which each stands alone; and officers who act at once."""

import asyncio
import secrets

import msgspec
import pytest

from tallystick.api.transactions import Mailbox
from tallystick.errors import PeerError
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.ordering.fairness import Share
from tests.support.deals import ask, offer
from tests.support.office_api import NodeApi
from tests.support.offices import HOUR
from tests.support.zones import HOSPITAL, UNIVERSITY

CBOR = {"Content-Type": "application/cbor"}
MSGPACK = {"Content-Type": "application/x-msgpack"}
PATH = "/v1/transactions"


def evidence():
    return RecordEvidence(root=secrets.token_hex(32), count=1)


def signed(zone, organisation=HOSPITAL, *messages, **options):
    return zone.nodes[organisation].ledger.sign(messages or (evidence(),), **options)


def packed(*transactions):
    return msgspec.msgpack.encode(list(transactions))


async def test_one_transaction(zone, api):
    """It is answered when it is on disk, with the place of each operation."""
    async with api.client("service") as client:
        answer = await client.post(PATH, content=signed(zone, HOSPITAL, evidence(), evidence()), headers=CBOR)
    assert 200 == answer.status_code
    body = answer.json()
    assert [{"code": 0}, {"code": 0}] == body["outcomes"]
    await zone.settle()
    assert body["id"] == zone[UNIVERSITY].ledger.store.find_operation(body["first_leaf"]).transaction_id.hex()


async def test_the_same_bytes_twice_are_accepted_once(zone, api):
    """A client whose answer was lost sends the same again, and learns that it was recorded."""
    transaction = signed(zone)
    async with api.client("service") as client:
        first, second = await asyncio.gather(
            client.post(PATH, content=transaction, headers=CBOR), client.post(PATH, content=transaction, headers=CBOR)
        )
        assert first.json() == second.json()
        later = await client.post(PATH, content=transaction, headers=CBOR)
    assert (409, "repeated") == (later.status_code, later.json()["name"])
    assert 1 == zone.engine.state.frontier.size


async def test_refused_transactions_are_numbered(zone, api):
    """Rubbish, a wrong signature, an expired one and a rejected operation each say what they are."""
    good = signed(zone)
    flipped = good[:40] + bytes([good[40] ^ 1]) + good[41:]
    old = signed(zone)
    async with api.client("service") as client:
        for body, names in (
            (b"rubbish", {"malformed"}),
            (b"\xa0", {"malformed"}),
            (flipped, {"malformed", "bad_signature", "unknown_key"}),
            (good[:-1], {"malformed"}),
            (good + b"\x00", {"malformed"}),
        ):
            answer = await client.post(PATH, content=body, headers=CBOR)
            assert 409 == answer.status_code
            assert {"code", "name", "message", "fields"} == set(answer.json())
            assert answer.json()["name"] in names
        zone.clock.advance(2 * HOUR)
        answer = await client.post(PATH, content=old, headers=CBOR)
        assert (409, "expired") == (answer.status_code, answer.json()["name"])
    assert 0 == zone.engine.state.frontier.size


async def test_bad_ones_in_a_list_harm_no_other(zone, api):
    """In a list each is answered on its own, in order: the good are recorded, the bad say why."""
    good = [signed(zone), signed(zone), signed(zone)]
    mixed = signed(zone, HOSPITAL, evidence(), RecordEvidence(root="0", count=1), evidence(), atomic=False)
    atomic = signed(zone, HOSPITAL, evidence(), RecordEvidence(root="0", count=1))
    flipped = good[0][:-1] + bytes([good[0][-1] ^ 1])
    batch = packed(good[0], b"rubbish", good[1], flipped, good[2], mixed, atomic, good[0], b"")
    async with api.client("service") as client:
        answer = await client.post(PATH, content=batch, headers=MSGPACK)
    assert 200 == answer.status_code
    results = answer.json()
    assert 9 == len(results)
    for place in (0, 2, 4, 7):
        assert [{"code": 0}] == results[place]["outcomes"], place
    for place in (1, 3, 8):
        assert 409 == results[place]["status"]
        assert results[place]["refused"]["code"] > 0
    assert [0, True, 0] == [results[5]["outcomes"][0]["code"], results[5]["outcomes"][1]["code"] > 0, 0]
    assert {"record_evidence"} == {
        row[0] for row in zone[HOSPITAL].ledger.store.query("SELECT DISTINCT type FROM operations")
    }
    codes = [outcome["code"] for outcome in results[6]["outcomes"]]
    assert 12 == codes[0] and codes[1] not in (0, 12)
    assert results[0]["id"] == results[7]["id"]


async def test_lists_that_are_none(zone, api):
    """Neither a list of byte strings nor of a good length: 422, nothing is recorded."""
    async with api.client("service") as client:
        for body in (
            b"",
            b"\xc1",
            msgspec.msgpack.encode({"a": 1}),
            msgspec.msgpack.encode(["text"]),
            msgspec.msgpack.encode([1, 2]),
            packed(),
            packed(*[b"x"] * 1_001),
            packed(signed(zone))[:-3],
            packed(signed(zone)) + b"\x00",
            b"\x91" * 100_000,
            b"\xdd\xff\xff\xff\xff",
        ):
            answer = await client.post(PATH, content=body, headers=MSGPACK)
            assert (422, "malformed") == (answer.status_code, answer.json()["error"]), body[:20]
        answer = await client.post(PATH, content=b"", headers=CBOR)
        assert 422 == answer.status_code
    assert 0 == zone.engine.state.frontier.size


async def test_too_long_and_of_another_type(zone, api):
    """Bodies over the limits are 413, other media types 415."""
    async with api.client("service") as client:
        assert 413 == (await client.post(PATH, content=b"x" * ((1 << 20) + 1), headers=CBOR)).status_code
        assert 413 == (await client.post(PATH, content=packed(b"x" * ((1 << 20) + 1)), headers=MSGPACK)).status_code
        assert 413 == (await client.post(PATH, content=b"x" * ((16 << 20) + 1), headers=MSGPACK)).status_code
        for kind in ("application/json", "", "text/plain"):
            answer = await client.post(PATH, content=signed(zone), headers={"Content-Type": kind})
            assert (415, "media_type") == (answer.status_code, answer.json()["error"])

        async def pieces():
            data = signed(zone)
            for start in range(0, len(data), 50):
                yield data[start : start + 50]

        assert 200 == (await client.post(PATH, content=pieces(), headers=CBOR)).status_code


async def test_core_that_is_gone(zone, api):
    """Nobody is told that something is recorded which may not be: 503 for each, with what to do."""
    async with api.client("service") as client:
        zone.orders.fails = 1
        answer = await client.post(PATH, content=signed(zone), headers=CBOR)
        assert (503, True) == (answer.status_code, bool(answer.json()["remedy"]))
        assert "1" == answer.headers["retry-after"]
        zone.orders.loses = 1
        transaction = signed(zone)
        answer = await client.post(PATH, content=packed(transaction), headers=MSGPACK)
        assert 503 == answer.status_code
        again = await client.post(PATH, content=packed(transaction), headers=MSGPACK)
        assert "repeated" == again.json()[0]["refused"]["name"]


async def test_many_clients_with_one_transaction_each(zone, api):
    """What arrives together goes to the core together, and everybody gets the own result."""
    transactions = [signed(zone) for _ in range(60)]
    transactions[13] = b"rubbish"
    sent = []
    real = zone.orders.submit

    async def counting(batch):
        sent.append(len(batch))
        return await real(batch)

    zone.orders.submit = counting
    async with api.client("service") as client:
        answers = await asyncio.gather(*(client.post(PATH, content=each, headers=CBOR) for each in transactions))
    assert [409 if place == 13 else 200 for place in range(60)] == [answer.status_code for answer in answers]
    assert 59 == len({answer.json()["id"] for answer in answers if answer.status_code == 200})
    assert len(sent) < 60


async def test_mailbox_that_cannot_send_tells_everybody():
    """A failure of the core is told to each who waits, and the next batch is tried anew."""
    fails = [True]

    async def submit(batch):
        if fails.pop():
            raise PeerError("gone", remedy="again")
        return [f"done {each.decode()}" for each in batch]

    mailbox = Mailbox(submit)
    first, second = mailbox.put(b"a"), mailbox.put(b"b")
    for future in (first, second):
        with pytest.raises(PeerError):
            await future
    fails.append(False)
    assert "done c" == await mailbox.put(b"c")


@pytest.mark.parametrize("officers", [2, 20])
async def test_officers_with_keys_of_their_own(zone, api, table, officers):
    """Each has an API key, all decide the same request at once: one wins, the rest get 409 with who decided what."""
    await offer(zone, table)
    request = await ask(zone)
    clients = [api.client("service") for _ in range(officers)]
    decisions = [
        client.post(f"/v1/requests/{request.id}/approve")
        if number % 2
        else client.post(f"/v1/requests/{request.id}/reject", json={"why": f"officer {number} says no"})
        for number, client in enumerate(clients)
    ]
    answers = await asyncio.gather(*decisions)
    for client in clients:
        await client.aclose()
    won = [answer.json() for answer in answers if answer.status_code == 200]
    lost = [answer.json() for answer in answers if answer.status_code == 409]
    assert (1, officers - 1) == (len(won), len(lost))
    for body in lost:
        assert (3014, "request_already_decided") == (body["code"], body["name"])
        assert won[0]["decision"] == body["fields"]["decision"]
    await zone.settle()
    assert won[0]["decision"] == zone[UNIVERSITY].requests.show(request.id).decision


async def test_both_sides_at_once(zone, api, table):
    """The owner approves while the requester takes its request back: one of the two, on both copies."""
    await offer(zone, table)
    request = await ask(zone)
    theirs = NodeApi(zone.nodes[UNIVERSITY])
    async with api.client("service") as hospital, theirs.client("service") as university:
        approved, cancelled = await asyncio.gather(
            hospital.post(f"/v1/requests/{request.id}/approve"), university.post(f"/v1/requests/{request.id}/cancel")
        )
    assert [200, 409] == sorted((approved.status_code, cancelled.status_code))
    await zone.settle()
    expected = "approved" if approved.status_code == 200 else "cancelled"
    for name in (HOSPITAL, UNIVERSITY):
        assert expected == zone[name].requests.show(request.id).decision


async def test_full_queue_is_429_with_the_time_to_come_again(zone, api):
    """An organisation that has its share waiting is told so, alone by the header and in a list by each result."""
    zone.engine._intake._shares._share = Share(0, 0)
    async with api.client("service") as client:
        answer = await client.post(PATH, content=signed(zone), headers=CBOR)
        assert (429, "1") == (answer.status_code, answer.headers["retry-after"])
        body = answer.json()
        assert ("queue_full", 1) == (body["error"], body["retry_after_s"])
        assert HOSPITAL in body["message"]
        assert body["remedy"]
        (result,) = (await client.post(PATH, content=packed(signed(zone)), headers=MSGPACK)).json()
        assert (429, 1) == (result["status"], result["refused"]["retry_after_s"])
    async with api.client("registration") as client:
        answer = await client.post("/v1/own/name", json={"name": "Another Name"})
        assert (429, "1", "queue_full") == (answer.status_code, answer.headers["retry-after"], answer.json()["error"])
    assert 0 == zone.engine.state.frontier.size
