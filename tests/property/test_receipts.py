"""Law 6: any changed byte of a receipt makes verification fail; every other spelling of it too."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.proofs import (
    ForkProofError,
    ReceiptError,
    TrustFile,
    verify_fork_proof,
    verify_receipt,
    verify_record_proof,
)
from tests.vectors.proofs.generate import vectors

FILES = vectors()
ZONE = TrustFile.parse(FILES["zone.json"])
OLD = TrustFile.parse(FILES["grown-first.zone.json"])
CASES = {
    "accepted-1.receipt.json": ZONE,
    "later-header.receipt.json": ZONE,
    "links.receipt.json": OLD,
    "alone.receipt.json": TrustFile.parse(FILES["alone.zone.json"]),
    "together-3.receipt.json": TrustFile.parse(FILES["together.zone.json"]),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_byte_of_a_receipt_counts(name: str) -> None:
    """Each byte, changed in several ways, spoils the receipt."""
    trust, good = CASES[name], FILES[name]
    verify_receipt(good, trust)
    data = bytearray(good)
    for position, byte in enumerate(good):
        for other in {byte ^ 0x01, byte ^ 0x20, (byte + 7) % 256}:
            data[position] = other
            with pytest.raises(ReceiptError):
                verify_receipt(bytes(data), trust)
        data[position] = byte


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_digit_of_a_receipt_counts(name: str) -> None:
    """Each hex character and each digit, replaced by each of its kind, spoils the receipt: its form stays good."""
    trust, good = CASES[name], FILES[name]
    data = bytearray(good)
    chance = random.Random(1)
    for position, byte in enumerate(good):
        if byte in b"0123456789abcdef":
            data[position] = chance.choice([each for each in b"0123456789abcdef" if each != byte])
            with pytest.raises(ReceiptError):
                verify_receipt(bytes(data), trust)
            data[position] = byte


def test_every_byte_of_the_other_proofs_counts() -> None:
    """The same holds for proofs of presence and for fork proofs."""
    present = FILES["present.record.json"]
    verify_record_proof(present, ZONE)
    for position in range(len(present)):
        for bit in (1, 0x20):
            data = bytearray(present)
            data[position] ^= bit
            with pytest.raises(ReceiptError):
                verify_record_proof(bytes(data), ZONE)
    for name in ("sizes.fork.json", "roots.fork.json", "members.fork.json", "headers.fork.json", "seen.fork.json"):
        good = FILES[name]
        for position in range(len(good)):
            data = bytearray(good)
            data[position] ^= 1
            with pytest.raises(ForkProofError):
                verify_fork_proof(bytes(data), ZONE)


def test_a_changed_proof_of_absence_says_nothing_wrong() -> None:
    """Each changed byte spoils a proof of absence, or makes it the proof that another record is absent."""
    good = FILES["absent.record.json"]
    original = verify_record_proof(good, ZONE)
    for position in range(len(good)):
        for bit in (1, 0x20):
            data = bytearray(good)
            data[position] ^= bit
            try:
                found = verify_record_proof(bytes(data), ZONE)
            except ReceiptError:
                continue
            assert (original.collection, original.key) != (found.collection, found.key)
            assert ("evidence", "ev-1") != (found.collection, found.key)
            assert found.value is None
            assert (original.size, original.witnesses) == (found.size, found.witnesses)


@pytest.mark.parametrize("name", sorted(CASES))
def test_re_encodings_are_refused(name: str) -> None:
    """The same content in any other bytes is refused: spaces, key order, repeated keys, escapes, upper case, a BOM."""
    trust, good = CASES[name], FILES[name]
    value = json.loads(good)
    text = good.decode()
    signature = value["header_signatures"][0]["signature"]
    others = [
        json.dumps(value).encode(),
        json.dumps(value, separators=(",", ":"), indent=1).encode(),
        json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode(),
        good + b"\n",
        b" " + good,
        b"\xef\xbb\xbf" + good,
        text.replace('{"chain":', f'{{"chain":"{value["chain"]}","chain":', 1).encode(),
        text.replace(signature, signature.upper(), 1).encode(),
        text.replace(value["state_root"], value["state_root"].upper(), 1).encode(),
        text.replace(value["state_root"], " " + value["state_root"], 1).encode(),
        text.replace(value["transaction"], value["transaction"].upper(), 1).encode(),
        text.replace('"record_evidence"', '"record\\u005fevidence"', 1).encode(),
        text.replace(f'"size":{value["size"]}', f'"size":{value["size"]}.0', 1).encode(),
        text.replace(f'"size":{value["size"]}', f'"size":0{value["size"]}', 1).encode(),
        text.replace(f'"size":{value["size"]}', f'"size":{value["size"]}e0', 1).encode(),
        text.replace(f'"size":{value["size"]}', f'"size":"{value["size"]}"', 1).encode(),
        text.replace('"v":1}', '"v":1,"w":1}').encode() if text.endswith('"v":1}') else good + b" ",
        good.decode().encode("utf-16"),
        good[:-1],
        b"",
    ]
    # Roots of zeros have no upper case: such a spelling is the file itself.
    different = [data for data in others if data != good]
    assert len(different) >= len(others) - 1
    for data in different:
        with pytest.raises(ReceiptError) as caught:
            verify_receipt(data, trust)
        assert caught.value.reason in {"not_canonical", "malformed_transaction", "bad_header_signature"}


def test_another_frame_of_the_same_transaction_is_refused() -> None:
    """An unprotected header, longer CBOR lengths and bytes behind the frame are refused."""
    text = FILES["accepted-1.receipt.json"].decode()
    frame = bytes.fromhex(json.loads(text)["transaction"])
    protected_end = 3 + 84
    assert b"\xa0" == frame[protected_end : protected_end + 1]
    for other in (
        frame[:protected_end] + b"\xa1\x01\x27" + frame[protected_end + 1 :],
        frame[:1] + b"\x59\x00" + frame[2:],
        b"\xd2" + frame,
        frame + b"\0",
        frame[:-1],
    ):
        with pytest.raises(ReceiptError) as caught:
            verify_receipt(text.replace(frame.hex(), other.hex()).encode(), ZONE)
        assert "malformed_transaction" == caught.value.reason


@given(
    st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, 2), st.binary(max_size=4)), min_size=1, max_size=4),
)
def test_cut_and_pasted_receipts_are_refused(edits: list[tuple[int, int, bytes]]) -> None:
    """Insertions, deletions and replacements anywhere give a refusal, never another exception."""
    good = FILES["links.receipt.json"]
    data = good
    for position, cut, paste in edits:
        data = data[:position] + paste + data[position + cut :]
    if data != good:
        with pytest.raises(ReceiptError):
            verify_receipt(data, OLD)


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    """Bytes of no meaning are refused by name by every reader of this room."""
    for verify in (verify_receipt, verify_record_proof):
        with pytest.raises(ReceiptError):
            verify(data, ZONE)
    with pytest.raises(ForkProofError):
        verify_fork_proof(data, ZONE)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(json.loads(FILES["accepted-1.receipt.json"]))), _values)
def test_any_other_value_in_any_field_is_refused(field: str, value: object) -> None:
    """A field of another type or value gives a refusal, never another exception."""
    receipt = json.loads(FILES["accepted-1.receipt.json"])
    if receipt[field] == value and type(receipt[field]) is type(value):
        return
    receipt[field] = value
    data = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    with pytest.raises(ReceiptError):
        verify_receipt(data.encode(errors="surrogatepass"), ZONE)
