"""Proofs of records: a value, or that there is none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tallystick.codec import encode_json
from tallystick.merkle import state_key
from tallystick.proofs import ReceiptError, build_record_proof, verify_record_proof
from tests.vectors.proofs.zone import Zone, small_zone

VALUE = {"organisation": "hospital", "root": "00" * 32}


def proof(zone: Zone, key: str, value: dict[str, Any] | None, names: tuple[str, ...], **changed: Any) -> bytes:
    """Return a proof against the last header."""
    header, signatures, size = zone.headers[-1]
    parts: dict[str, Any] = {
        "collection": "evidence",
        "key": key,
        "value": value,
        "proof": zone.state.proof(state_key("evidence", key), zone.values.__getitem__),
        "state_root": zone.state.root,
        "history_root": zone.tree.root(size),
        "size": size,
        "header": header,
        "header_signatures": signatures,
        "cosignatures": zone.cosign(size, names),
    }
    return build_record_proof(**{**parts, **changed})


def refusal(data: bytes, zone: Zone, **options: bool) -> str:
    """Return the reason why a record proof is refused."""
    with pytest.raises(ReceiptError) as caught:
        verify_record_proof(data, zone.trust, **options)
    return caught.value.reason


def test_a_value_and_its_absence() -> None:
    """A record that is there, and one that is not, are proved with the block and the witnesses."""
    zone, _ = small_zone()
    names = ("university", "bank", "port")

    found = verify_record_proof(proof(zone, "ev-1", VALUE, names), zone.trust)
    absent = verify_record_proof(proof(zone, "ev-9", None, names), zone.trust)

    assert (VALUE, "ev-1", 2, 10) == (found.value, found.key, found.height, found.size)
    assert (None, ("bank", "port", "university"), True) == (absent.value, absent.witnesses, absent.witnessed)
    assert any("had no record" in line for line in absent.explain())
    assert "Ordered by 1, witnessed by 3 of 4." in found.explain()


def test_the_orderers_word_alone_is_taken_only_if_asked_for() -> None:
    """Without enough cosignatures a proof is refused, unless the caller says that the orderer's word will do."""
    zone, _ = small_zone()
    data = proof(zone, "ev-1", VALUE, ("bank",))

    assert "not_yet_witnessed" == refusal(data, zone)
    assert not verify_record_proof(data, zone.trust, allow_unwitnessed=True).witnessed
    bad = proof(zone, "ev-1", VALUE, ("bank",), cosignatures=zone.cosign(10, ("bank",), root=bytes(32)))
    assert "bad_cosignature" == refusal(bad, zone, allow_unwitnessed=True)


def test_a_lie_about_a_record_is_refused() -> None:
    """Another value, an absence that is none, a presence that is none, and other roots are refused."""
    zone, _ = small_zone()
    names = ("university", "bank", "port")

    assert "not_in_state" == refusal(proof(zone, "ev-1", {**VALUE, "root": "11" * 32}, names), zone)
    assert "not_in_state" == refusal(proof(zone, "ev-1", None, names), zone)
    assert "not_in_state" == refusal(proof(zone, "ev-9", VALUE, names), zone)
    assert "not_in_state" == refusal(proof(zone, "ev-1", VALUE, names, collection="agreements"), zone)
    assert "not_in_state" == refusal(proof(zone, "ev-1", VALUE, names, state_root=bytes(31) + b"\1"), zone)
    assert "app_hash_mismatch" == refusal(proof(zone, "ev-1", VALUE, names, size=11), zone)
    assert "app_hash_mismatch" == refusal(proof(zone, "ev-1", VALUE, names, history_root=bytes(32)), zone)


def test_other_spellings_are_refused() -> None:
    """Another format, unknown fields and floats are refused."""
    zone, _ = small_zone()
    form = msgspec.json.decode(proof(zone, "ev-1", VALUE, ("university", "bank", "port")))

    assert "unknown_format" == refusal(encode_json({**form, "v": 2}), zone)
    assert "not_canonical" == refusal(encode_json({**form, "extra": 1}), zone)
    assert "not_canonical" == refusal(encode_json({**form, "proof": {"kind": "present"}}), zone)
    assert "not_canonical" == refusal(msgspec.json.encode({**form, "value": {"a": 1.5}}, order="sorted"), zone)
    assert "other_zone" == refusal(encode_json({**form, "chain": "elsewhere-00000000"}), zone)
