"""Handing over the order: what was signed before counts no more, but through the root that the trust file names."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tallystick.proofs import (
    HeaderSignature,
    ReceiptError,
    TrustError,
    TrustFile,
    sign_entry,
    sign_header,
    verify_receipt,
)
from tests.vectors.proofs.zone import ORGANISATIONS, Entry, Zone, evidence

ALL = ("bank", "city", "hospital", "port")
SIGNERS = ("bank", "city", "hospital", "port", "university")


def record(zone: Zone, nonce: int) -> Entry:
    """Record an entry in a block of its own."""
    operations = [evidence(nonce)]
    entry = zone.record(zone.transaction("hospital", operations, nonce=nonce), operations)[0]
    zone.block()
    return entry


def handed_over() -> tuple[Zone, Entry, Entry, TrustFile]:
    """Return a zone after its handover, an entry of the block before it, one of its last block before, the old file."""
    zone = Zone()
    first, last = record(zone, 1), record(zone, 2)
    before = zone.trust
    zone.change_members(ORGANISATIONS, SIGNERS, orderers=ALL, handover=True)
    return zone, first, last, before


def refusal(data: bytes, trust: TrustFile) -> str:
    """Return why a receipt is refused."""
    with pytest.raises(ReceiptError) as caught:
        verify_receipt(data, trust)
    assert caught.value.remedy
    return caught.value.reason


def test_receipts_of_shorter_histories_count_no_more() -> None:
    """Whoever knows of the handover refuses a receipt from before, and is told how to make it anew; others take it."""
    zone, first, _, before = handed_over()

    receipt = zone.receipt(first, at=0)

    assert "before_handover" == refusal(receipt, zone.trust)
    assert verify_receipt(receipt, before).accepted


def test_the_last_history_before_counts_by_its_root() -> None:
    """At the size of the handover the old signatures hold for the very root that the trust file names."""
    zone, first, last, _ = handed_over()

    for entry in (first, last):
        assert ("city",) == verify_receipt(zone.receipt(entry, at=1), zone.trust).orderers


def test_a_stolen_key_forges_no_other_history_of_that_size() -> None:
    """Another history of the same size, signed by everybody's old keys, is refused."""
    zone, _, _, before = handed_over()
    other = Zone()
    record(other, 1)
    forged = record(other, 3)

    receipt = other.receipt(forged, at=1)

    assert verify_receipt(receipt, before).accepted
    assert "other_history" == refusal(receipt, zone.trust)


def test_receipts_after_it_are_signed_by_all_who_order() -> None:
    """An entry from before is proved under a header of the validators; the old orderer alone signs for nobody."""
    zone, first, _, before = handed_over()
    zone.pending.clear()
    operations = [evidence(9)]
    zone.record(zone.transaction("bank", operations, nonce=9), operations)
    header, _, _ = zone.block()
    signed = [sign_header(header, name, zone.key(name)) for name in ALL]

    def receipt(signatures: list[HeaderSignature]) -> bytes:
        links = zone.trust.links_since(1, zone.size)
        return zone.receipt(first, (), header_signatures=signatures, links=links)

    for trust in (zone.trust, before):
        assert 4 == verify_receipt(receipt(signed), trust).validators
        assert "too_few_header_signatures" == refusal(receipt(signed[1:2]), trust)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"root": "zz"}, "bad_version"), ({"root": "00" * 31}, "bad_version"), ({"since": 0}, "bad_version")],
)
def test_a_root_has_its_form_and_a_history(changed: dict[str, Any], reason: str) -> None:
    """A root that is none, or that is of no history, makes the version bad."""
    zone = Zone()
    record(zone, 1)
    keys = {name: zone.key(name).public_key for name in ORGANISATIONS}
    entry = zone.trust.next_entry(keys, validators=ALL, height=1, since=2, root=zone.tree.root(1))
    entry = msgspec.structs.replace(entry, **changed)

    with pytest.raises(TrustError) as caught:
        zone.trust.extend([sign_entry(zone.trust.latest.hash, entry, "city", zone.key("city"))])

    assert reason == caught.value.reason


def test_the_root_is_signed() -> None:
    """Another root makes another version: the signatures under the first do not hold for it."""
    zone, _, _, before = handed_over()
    entry = msgspec.structs.replace(zone.trust.entries[-1], root="11" * 32)

    with pytest.raises(TrustError) as caught:
        before.extend([entry])

    assert "bad_trust_signature" == caught.value.reason
    assert zone.trust.latest.hash == TrustFile.parse(zone.trust.encode()).latest.hash
