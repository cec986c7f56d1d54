"""Receipts: what is taken, what is refused, and by which name."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import pytest

from tallystick.codec import encode_json
from tallystick.merkle import path_in, tree_root
from tallystick.proofs import Cosignature, HeaderSignature, ReceiptError, build_receipt, decode_receipt, verify_receipt
from tallystick.proofs.transactions import operation_root
from tests.vectors.proofs.generate import grown_zone
from tests.vectors.proofs.zone import Entry, Zone, evidence, small_zone


@pytest.fixture(scope="module")
def zone_and_entries() -> tuple[Zone, list[Entry]]:
    """Give the small zone; tests only read it."""
    return small_zone()


def refusal(data: bytes, zone: Zone) -> str:
    """Return the reason why a receipt is refused."""
    with pytest.raises(ReceiptError) as caught:
        verify_receipt(data, zone.trust)
    return caught.value.reason


def test_says_all_that_it_proves(zone_and_entries: tuple[Zone, list[Entry]]) -> None:
    """A good receipt gives the operation, its outcome, its place, its author and its witnesses."""
    zone, entries = zone_and_entries

    found = verify_receipt(zone.receipt(entries[2], at=0), zone.trust)

    assert ("hospital", 0, 1, 2, 8, 9) == (
        found.organisation, found.outcome, found.height, found.index, found.leaf_index, found.size,
    )  # fmt: skip
    assert (("city",), ("bank", "hospital", "port"), 3, 4) == (
        found.orderers, found.witnesses, found.needed, found.others,
    )  # fmt: skip
    assert "record_evidence" == found.operation["type"]
    assert "ordered by 1, witnessed by 3 of 4" == found.summary
    assert found.accepted
    assert any("hospital asked for record_evidence" in line for line in found.explain())
    assert found.summary == found.to_json()["summary"]


def test_says_the_number_of_a_rejection() -> None:
    """A rejected operation has a receipt as well, which says so."""
    zone = Zone()
    operations = [evidence()]
    entry = zone.record(zone.transaction("port", operations), operations, outcome=5001)[0]
    zone.block()

    found = verify_receipt(zone.receipt(entry), zone.trust)

    assert (False, 5001) == (found.accepted, found.outcome)
    assert any("rejected with number 5001" in line for line in found.explain())


def test_a_zone_of_one_says_witnessed_by_nobody() -> None:
    """A zone of one member gives receipts that say that nobody else has seen it."""
    zone = Zone(("clinic",), orderers=("clinic",))
    operations = [evidence()]
    entry = zone.record(zone.transaction("clinic", operations), operations)[0]
    zone.block()

    found = verify_receipt(zone.receipt(entry, ()), zone.trust)

    assert "ordered by 1, witnessed by nobody yet" == found.summary
    assert any("nobody yet" in line for line in found.explain())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 31, 100])
def test_any_operation_of_any_transaction(count: int) -> None:
    """Each operation of a transaction of any length has a path that leads to what was signed."""
    operations = [b'{"n":%d,"type":"x"}' % number for number in range(count)]
    root = tree_root(operations)
    for index, operation in enumerate(operations):
        path = path_in(operations, index)
        assert root == operation_root(operation, index, path)
        if path:
            assert root != operation_root(operation, index, path[:-1])
            assert root != operation_root(operation, index ^ 1, path)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"outcome": 1}, "app_hash_mismatch"),
        ({"time": 1_735_689_600_001}, "field_mismatch"),
        ({"height": 2}, "field_mismatch"),
        ({"index": 0}, "app_hash_mismatch"),
        ({"leaf_index": 6}, "app_hash_mismatch"),
        ({"size": 17}, "not_in_history"),
        ({"size": 10}, "app_hash_mismatch"),
        ({"leaf_index": 9}, "not_in_history"),
        ({"state_root": bytes(31) + b"\1"}, "app_hash_mismatch"),
        ({"header_signatures": [HeaderSignature(organisation="city", signature="00" * 64)]}, "bad_header_signature"),
        ({"header_signatures": [HeaderSignature(organisation="city", signature="zz")]}, "bad_header_signature"),
        ({"header_signatures": []}, "too_few_header_signatures"),
    ],
)
def test_a_changed_part_is_refused(
    zone_and_entries: tuple[Zone, list[Entry]], changed: dict[str, Any], reason: str
) -> None:
    """Each part that says something else than the ledger is refused by its name."""
    zone, entries = zone_and_entries

    data = zone.receipt(entries[1], at=0, **changed)

    assert reason == refusal(data, zone)


def test_an_old_header_is_refused(zone_and_entries: tuple[Zone, list[Entry]]) -> None:
    """A header older than the operation cannot prove it."""
    zone, _ = zone_and_entries
    later = Entry(zone.transaction("hospital", [evidence()]), 0, 0, 2, zone.headers[1][0].time, 8)

    assert "field_mismatch" == refusal(zone.receipt(later, at=0), zone)


def test_another_zone_of_the_same_name_is_refused() -> None:
    """A receipt of a zone with the same chain id but another genesis fails at the author's signature."""
    zone, entries = small_zone()
    other = Zone(orderers=("bank",))

    assert zone.chain == other.chain
    assert "bad_signature" == refusal(zone.receipt(entries[0], at=0), other)


def test_a_forged_history_root_is_refused(zone_and_entries: tuple[Zone, list[Entry]]) -> None:
    """A path to another root, even cosigned, does not lead to the app hash that the orderer signed."""
    zone, entries = zone_and_entries
    path = [bytes(32)] * 4

    data = zone.receipt(entries[1], at=0, path=path)

    assert refusal(data, zone) in {"app_hash_mismatch", "not_in_history"}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ((), "not_yet_witnessed"),
        (("bank", "port"), "not_yet_witnessed"),
        (("bank", "city", "hospital", "port"), "unknown_member"),
        (("bank", "hospital", "port", "stranger"), "unknown_member"),
        (("bank", "bank", "hospital", "port"), "cosignatures_out_of_order"),
    ],
)
def test_witnesses_count_once_and_only_if_they_are_others(
    zone_and_entries: tuple[Zone, list[Entry]], names: tuple[str, ...], reason: str
) -> None:
    """Too few, repeated, unknown witnesses and the orderer itself are refused."""
    zone, entries = zone_and_entries

    assert reason == refusal(zone.receipt(entries[0], names, at=0), zone)


def test_one_bad_cosignature_spoils_enough_good_ones(zone_and_entries: tuple[Zone, list[Entry]]) -> None:
    """A wrong cosignature is refused although three good ones would do."""
    zone, entries = zone_and_entries
    good = zone.cosign(9, ("bank", "hospital", "port"))
    for bad in (
        zone.cosign(9, ("university",), root=bytes(32))[0],
        zone.cosign(8, ("university",))[0],
        Cosignature(organisation="university", signature=good[0].signature, time=good[0].time),
    ):
        data = zone.receipt(entries[0], at=0, cosignatures=[*good, bad])
        assert "bad_cosignature" == refusal(data, zone)


def test_cosignatures_out_of_order_are_refused(zone_and_entries: tuple[Zone, list[Entry]]) -> None:
    """The same cosignatures in another order are another file, which is refused."""
    zone, entries = zone_and_entries
    receipt = decode_receipt(zone.receipt(entries[0], at=0))

    data = encode_json(msgspec.structs.replace(receipt, cosignatures=receipt.cosignatures[::-1]))

    assert "cosignatures_out_of_order" == refusal(data, zone)


def test_links_take_an_old_trust_file_to_the_version_that_decides() -> None:
    """A reader with version 1 verifies a receipt of version 3 that carries versions 2 and 3."""
    zone = grown_zone()
    old = Zone(("city", "hospital")).trust
    operations = [evidence()]
    entry = zone.record(zone.transaction("port", operations, nonce=5), operations)[0]
    zone.block()
    links = zone.trust.links_since(1, zone.size)

    for trust in (old, zone.trust, old.extend(links[:1])):
        found = verify_receipt(zone.receipt(entry, ("city", "port"), links=links), trust)
        assert (3, ("bank",)) == (found.version, found.orderers)


def test_links_that_do_not_lead_there_are_refused() -> None:
    """Missing, superfluous, changed and first versions among the links are refused."""
    zone = grown_zone()
    old = Zone(("city", "hospital"))
    operations = [evidence()]
    entry = zone.record(zone.transaction("port", operations, nonce=5), operations)[0]
    zone.block()
    _, second, third = zone.trust.entries
    changed = msgspec.structs.replace(second, height=second.height + 1)

    def reason(links: list[Any], trust_of: Zone = old) -> str:
        return refusal(zone.receipt(entry, ("city", "port"), links=links), trust_of)

    assert "unknown_version" == reason([third])
    assert "bad_header_signature" == reason([second])
    assert "bad_link" == reason([second], zone)
    assert "bad_link" == reason([second, second])
    assert "unknown_version" == reason([third, second])
    assert "bad_link" == reason(list(zone.trust.entries))
    assert "bad_link" == reason([changed, third])
    assert "bad_link" == reason([changed, third], zone)
    early, _, size = zone.headers[0]
    assert 1 == early.height
    first = Entry(entry.transaction, 0, 0, 1, early.time, 0)
    assert "bad_link" == refusal(
        zone.receipt(first, at=0, links=[second, third], size=size, witnesses=("hospital",)), old
    )


def test_an_operation_that_is_not_json_has_no_receipt() -> None:
    """Bytes that are no JSON object, or nested too deep, can be in the history but not in a receipt."""
    for operation in (b"\xff\xfe", b"[1]", b'{"a": 1}', b'{"a":1.5}', b'{"a":' * 16 + b"1" + b"}" * 16):
        zone = Zone()
        entry = zone.record(zone.transaction("bank", [operation]), [operation], outcome=9)[0]
        zone.block()
        with pytest.raises(ReceiptError) as caught:
            zone.receipt(entry)
        assert "operation_not_json" == caught.value.reason


def test_building_refuses_what_is_no_transaction() -> None:
    """Parts that do not belong together are refused when the receipt is built."""
    zone, entries = small_zone()
    for raw in (b"", b"\x82", entries[0].transaction[:-1], entries[0].transaction + b"\0"):
        with pytest.raises(ReceiptError) as caught:
            zone.receipt(entries[0], at=0, transaction=raw)
        assert "malformed_transaction" == caught.value.reason
    with pytest.raises(ReceiptError):
        zone.receipt(entries[0], at=0, index=3)
    assert build_receipt


def test_refusals_travel_between_processes(zone_and_entries: tuple[Zone, list[Entry]]) -> None:
    """A refusal keeps its reason and its remedy when it is pickled."""
    zone, _ = zone_and_entries
    with pytest.raises(ReceiptError) as caught:
        verify_receipt(b"{}", zone.trust)

    copy = pickle.loads(pickle.dumps(caught.value))

    assert ("not_canonical", caught.value.message, caught.value.remedy) == (copy.reason, copy.message, copy.remedy)


def test_a_typical_receipt_is_small() -> None:
    """An operation of 200 bytes in the middle of 200,000 with three cosignatures stays below 4,096 bytes."""
    zone = Zone(filler=100_000)
    operations = [evidence()]
    entry = zone.record(zone.transaction("hospital", operations), operations)[0]
    for number in range(100_000):
        zone.tree.append(number.to_bytes(32, "big"))
    zone.block()

    data = zone.receipt(entry)

    assert 17 <= len(decode_receipt(data).path)
    assert 4_096 > len(data)
    assert verify_receipt(data, zone.trust).accepted
