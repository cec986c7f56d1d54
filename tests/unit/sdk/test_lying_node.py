"""A node that lies about what is on the ledger: refused, and by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.proofs import ReceiptError
from tallystick.sdk import NotFoundError, NotWitnessedError, ViewError, Zone
from tallystick.views import AgreementView, DatasetView, DeliveryView, MemberView, RequestView
from tests.support.market import digest
from tests.support.recorded import RecordedZone
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY
from tests.unit.sdk.simulated import SimulatedNode, a_market

# What only the node knows, and what is checked through something else that is in this list of no view.
ENGINE = {"consensus": "11" * 32, "node": "22" * 20, "address": "engine.example:26656", "announced_at": 1}
LOCAL = {"recorded", "path", "transfer", "bytes_done", "error", "id"}


def another(value: Any) -> Any:
    """Return something else of the same form."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return {"sent": "received", "received": "sent"}.get(value, f"{value}x")
    if isinstance(value, list):
        return [another(value[0]), *value[1:]] if value else ["x"]
    if isinstance(value, dict):
        name = next(iter(value))
        return {**value, name: another(value[name])}
    return 7


def changed(field: str) -> Callable[[Any], Any]:
    """Return a lie about one field."""
    return lambda view: {**view, field: another(view[field])}


def paths(ids: dict[str, str]) -> dict[type, tuple[str, Callable[[Zone], Any]]]:
    """Return where each kind of view comes from, and how it is asked for."""
    return {
        DatasetView: (f"/v1/datasets/{ids['dataset']}", lambda zone: zone.dataset(ids["dataset"])),
        RequestView: (f"/v1/requests/{ids['request']}", lambda zone: zone.show_request(ids["request"])),
        AgreementView: (f"/v1/agreements/{ids['agreement']}", lambda zone: zone.agreement(ids["agreement"])),
        DeliveryView: (f"/v1/deliveries/{ids['delivery']}", lambda zone: zone.delivery(ids["delivery"])),
        MemberView: (f"/v1/organisations/{HOSPITAL}", lambda zone: zone.organisation(HOSPITAL)),
    }


FIELDS = [
    (kind, name)
    for kind in (DatasetView, RequestView, AgreementView, DeliveryView, MemberView)
    for name in kind.__struct_fields__
    if name not in LOCAL and (kind, name) != (AgreementView, "private") and (kind, name) != (DeliveryView, "private")
]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulatedNode, dict[str, str]]:
    """A zone that nothing is added to."""
    return a_market(tmp_path_factory.mktemp("market") / "ledger")


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_a_changed_field_is_named(market: tuple[SimulatedNode, dict[str, str]], kind: type[Any], field: str) -> None:
    """Whatever field of a view that a record determines is changed, the answer is refused and the field is named."""
    node, ids = market
    path, ask = paths(ids)[kind]
    node.lies.clear()
    node.lie(path, changed(field))

    with node.connect() as zone, pytest.raises(ViewError) as caught:
        ask(zone)

    # Terms are named by their hash: a changed hash and a changed policy contradict each other in either field.
    assert caught.value.field in {field, "policy" if field == "terms" else field}
    assert "changed_view" == caught.value.reason
    assert node.slept


@pytest.mark.parametrize("lie", [None, {"address": "elsewhere.example:26656"}])
def test_an_engine_that_was_not_announced_is_refused(
    market: tuple[SimulatedNode, dict[str, str]], lie: dict[str, str] | None
) -> None:
    """A node that hides a member's engine, or says that it listens elsewhere, is caught; one that nobody has, too."""
    node, _ = market
    node.lies.clear()
    node.lie(f"/v1/organisations/{HOSPITAL}", lambda view: {**view, "engine": lie and {**view["engine"], **lie}})
    node.lie(f"/v1/organisations/{BANK}", lambda view: {**view, "engine": ENGINE})

    for name in (HOSPITAL, BANK):
        with node.connect() as zone, pytest.raises(ViewError) as caught:
            zone.organisation(name)
        assert ("changed_view", "engine") == (caught.value.reason, caught.value.field)


@pytest.mark.parametrize("kind", [AgreementView, DeliveryView])
def test_words_that_nobody_committed_to_are_refused(
    market: tuple[SimulatedNode, dict[str, str]], kind: type[Any]
) -> None:
    """A reason that the other side is said to have given must be committed to on the ledger."""
    node, ids = market
    path, ask = paths(ids)[kind]
    words = {"about": "terminated", "author": BANK, "commitment": digest("words"), "status": "verified"}
    node.lies.clear()
    node.lie(path, lambda view: {**view, "private": [words]})

    with node.connect() as zone, pytest.raises(ViewError) as caught:
        ask(zone)

    assert "private" == caught.value.field


def test_honest_views_are_taken(market: tuple[SimulatedNode, dict[str, str]]) -> None:
    """What agrees with the ledger is returned as the node says it, without asking twice."""
    node, ids = market
    node.lies.clear()
    node.slept.clear()

    with node.connect() as zone:
        shown = [ask(zone) for _, ask in paths(ids).values()]

    assert [ids["dataset"], ids["request"], ids["agreement"], ids["delivery"], HOSPITAL] == [
        getattr(view, "id", None) or view.name for view in shown
    ]
    assert [] == node.slept


def test_a_view_that_lags_for_a_moment_is_asked_for_again(market: tuple[SimulatedNode, dict[str, str]]) -> None:
    """An answer from a copy that is a moment behind is no lie: it is asked for again before it is called one."""
    node, ids = market
    path, ask = paths(ids)[DatasetView]
    node.lies.clear()
    with node.connect() as zone:
        good = msgspec.json.encode(ask(zone))
        stale = msgspec.json.encode(changed("title")(msgspec.json.decode(good)))
        node.answers["GET", path] = [httpx.Response(200, content=stale)]

        assert msgspec.json.decode(good, type=DatasetView) == ask(zone)


def test_a_record_that_is_hidden_is_found(market: tuple[SimulatedNode, dict[str, str]]) -> None:
    """A node that says "there is none" of what the ledger has is refused; where it has none, that is proved."""
    node, ids = market
    node.lies.clear()
    path, ask = paths(ids)[DatasetView]
    gone = msgspec.json.encode({"error": "not_found", "message": "no", "remedy": "Look."})
    node.answers["GET", path] = [httpx.Response(404, content=gone) for _ in range(9)]

    with node.connect() as zone:
        with pytest.raises(ViewError) as caught:
            ask(zone)
        with pytest.raises(NotFoundError):
            zone.dataset(f"{HOSPITAL}/none")

    assert "hidden_record" == caught.value.reason
    node.answers.clear()


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda proof: {**proof, "value": {**proof["value"], "title": "Other"}}, "not_in_state"),
        (lambda proof: {**proof, "value": None}, "not_in_state"),
        (lambda proof: {**proof, "size": proof["size"] + 1}, "app_hash_mismatch"),
        (lambda proof: {**proof, "header": {**proof["header"], "time": 0}}, "bad_header_signature"),
        (lambda proof: {**proof, "chain": "elsewhere-00000000"}, "other_zone"),
        (lambda proof: {**proof, "extra": 1}, "not_canonical"),
        (lambda proof: {**proof, "cosignatures": proof["cosignatures"][::-1]}, "cosignatures_out_of_order"),
    ],
)
def test_a_wrong_proof_is_refused(
    market: tuple[SimulatedNode, dict[str, str]], lie: Callable[[Any], Any], reason: str
) -> None:
    """A record whose proof does not hold is refused with the reason of the proof."""
    node, ids = market
    node.lies.clear()
    node.lie(f"/v1/records/datasets/{ids['dataset']}", lie)

    with node.connect() as zone, pytest.raises(ReceiptError) as caught:
        zone.record("datasets", ids["dataset"])

    assert reason == caught.value.reason


def test_a_proof_of_another_record_is_refused(market: tuple[SimulatedNode, dict[str, str]]) -> None:
    """A true statement about another record is no answer."""
    node, ids = market
    node.lies.clear()
    other = node.prove("datasets", f"{HOSPITAL}/none")
    node.answers["GET", f"/v1/records/datasets/{ids['dataset']}"] = [httpx.Response(200, content=other)]

    with node.connect() as zone, pytest.raises(ViewError) as caught:
        zone.record("datasets", ids["dataset"])

    assert "other_record" == caught.value.reason


def test_a_record_and_its_absence_are_proved(market: tuple[SimulatedNode, dict[str, str]]) -> None:
    """A record comes with its witnesses; of what is not there the absence is proved."""
    node, ids = market
    node.lies.clear()

    with node.connect() as zone:
        found = zone.record("agreements", ids["agreement"])
        absent = zone.record("agreements", "agr-none")

    assert (UNIVERSITY, True) == (found.value and found.value["consumer"], found.witnessed)
    assert (None, found.height) == (absent.value, absent.height)


def test_receipts_are_checked_before_they_are_handed_out(tmp_path: Path) -> None:
    """Another zone's receipt, another operation's, and one with a changed byte are refused by name."""
    node, _ = a_market(tmp_path / "ledger")
    first, second = transactions(node)[:2]
    elsewhere = RecordedZone(tmp_path / "elsewhere", [BANK, HOSPITAL])
    elsewhere.run(BANK, RecordEvidence(root=digest("file"), count=1))
    elsewhere.publish()
    other = SimulatedNode(elsewhere, BANK)
    foreign = other.ledger().receipt(0)

    with node.connect() as zone:
        good = zone.receipt(first)
        assert (first, 3) == (good.verified.transaction, len(good.verified.witnesses))
        for data, reason in (
            (foreign, "other_zone"),
            (zone.receipt(second).data, "other_record"),
            (good.data.replace(b'"outcome":0', b'"outcome":1'), "app_hash_mismatch"),
            (good.data + b" ", "not_canonical"),
        ):
            node.answers["GET", f"/v1/receipts/{first}"] = [httpx.Response(200, content=data)]
            with pytest.raises((ReceiptError, ViewError)) as caught:
                zone.receipt(first)
            assert reason == caught.value.reason


def test_a_receipt_is_waited_for(tmp_path: Path) -> None:
    """Too few witnesses: it is asked for again until they are enough, or the time to wait is over."""
    node, _ = a_market(tmp_path / "ledger")
    node.zone.run(UNIVERSITY, RecordEvidence(root=digest("late"), count=1))
    (late,) = transactions(node)[-1:]

    with node.connect() as zone:
        with pytest.raises(NotWitnessedError):
            zone.receipt(late, wait_s=2.0)
        asked = len(node.slept)
        zone._connection.sleep = lambda _: node.zone.publish()
        receipt = zone.receipt(late, wait_s=2.0)

    assert asked > 2
    assert "ordered by 1, witnessed by 3 of 3" == receipt.verified.summary
    assert receipt.data == receipt.save(tmp_path / "late.receipt.json").read_bytes()


def transactions(node: SimulatedNode) -> list[str]:
    """Return the ids of all transactions, oldest first."""
    return [row[0] for row in node.zone.store.query("SELECT lower(hex(id)) FROM transactions ORDER BY seq")]
