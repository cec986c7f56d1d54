"""Transactions have one form: what is not exactly it is refused, by one kind of error and never by another."""

import json
import string

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.codec import MalformedError, encode_json
from tallystick.codec.cose import head
from tallystick.keys import ED25519
from tallystick.machine import build_transaction, decode_transaction, verify_signature
from tests.support.toy import PutNote, Toy

AAD = bytes(range(32))
SIGNER = ED25519.from_private(b"p" * 32)
NATURALS = st.integers(0, 2**53 - 1)
OPERATIONS = st.lists(
    st.builds(PutNote, key=st.text(max_size=20), text=st.text(max_size=60)) | st.binary(max_size=300),
    min_size=1,
    max_size=6,
)
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
NAMES = st.text(string.ascii_lowercase, min_size=2, max_size=40)


def build(operations, **fields):
    given_fields = {
        "organisation": "bank",
        "key": SIGNER.public_key,
        "sign": SIGNER.sign,
        "external_aad": AAD,
        "expires": 5_000,
        "nonce": "0" * 32,
        "seen_size": 3,
        "seen_root": b"r" * 32,
    }
    return build_transaction(operations, **(given_fields | fields))


TRANSACTIONS = st.builds(
    build,
    OPERATIONS,
    organisation=NAMES,
    expires=NATURALS,
    nonce=HEX,
    seen_size=NATURALS,
    seen_root=st.binary(min_size=32, max_size=32),
    atomic=st.booleans(),
)


def is_accepted(raw):
    """Return the transaction if its form and its signature are good, else None; nothing else may be raised."""
    try:
        transaction = decode_transaction(raw, AAD)
    except MalformedError as error:
        assert error.reason
        return None
    assert raw == transaction.raw
    return transaction if verify_signature(transaction.key, transaction.signed, transaction.signature) else None


@given(OPERATIONS, NAMES, NATURALS, HEX, NATURALS, st.binary(min_size=32, max_size=32), st.booleans())
def test_what_was_built_is_what_is_read(operations, organisation, expires, nonce, size, root, atomic):
    """Decoding gives back every field and every operation, under a good signature, and encoding them again the bytes."""
    fields = {"organisation": organisation, "expires": expires, "nonce": nonce, "seen_size": size, "seen_root": root}
    raw = build(operations, **fields, atomic=atomic)
    read = is_accepted(raw)
    assert read is not None
    payload = read.payload
    assert (organisation, expires, nonce, atomic) == (
        payload.organisation,
        payload.expires,
        payload.nonce,
        payload.atomic,
    )
    assert (size, root.hex()) == (payload.seen.size, payload.seen.root)
    assert tuple(item if isinstance(item, bytes) else encode_json(item) for item in operations) == read.operations
    assert raw == build(read.operations, **fields, atomic=atomic)


@given(TRANSACTIONS)
def test_the_form_is_plain_deterministic_cbor(raw):
    """An independent CBOR library reads the frame and, encoding it canonically, gives the same bytes."""
    assert raw == cbor2.dumps(cbor2.loads(raw), canonical=True)


@settings(max_examples=300)
@given(TRANSACTIONS, st.integers(0, 2**16), st.integers(1, 255))
def test_no_changed_byte_is_accepted(raw, at, bits):
    """One byte changed anywhere: refused, or its signature fails."""
    at %= len(raw)
    assert is_accepted(raw[:at] + bytes((raw[at] ^ bits,)) + raw[at + 1 :]) is None


def test_no_single_bit_of_a_transaction_can_be_flipped():
    """All bits of a small transaction, one after the other."""
    raw = build([b"{}"])
    assert is_accepted(raw) is not None
    for at in range(len(raw)):
        for bit in range(8):
            assert is_accepted(raw[:at] + bytes((raw[at] ^ (1 << bit),)) + raw[at + 1 :]) is None


@settings(max_examples=300)
@given(TRANSACTIONS, st.data())
def test_no_inserted_deleted_or_moved_bytes_are_accepted(raw, data):
    """Bytes put in, taken out, repeated, cut off or added make another transaction or none."""
    at = data.draw(st.integers(0, len(raw)))
    to = data.draw(st.integers(at, len(raw)))
    junk = data.draw(st.binary(min_size=1, max_size=8))
    for changed in (raw[:at] + junk + raw[at:], raw[:at] + raw[to:], raw[:to] + raw[at:], raw[:at], raw + junk):
        if changed != raw:
            assert is_accepted(changed) is None


def heads(raw):
    """Yield (offset, length, major type, argument) of the length heads of a transaction's frame."""
    frame = cbor2.loads(raw)
    offset = 1
    for item in (frame[0], *frame[0], frame[1], *frame[1]):
        major = 4 if isinstance(item, list) else 5 if isinstance(item, dict) else 2
        form = head(major, len(item))
        assert form == raw[offset : offset + len(form)]
        yield offset, len(form), major, len(item)
        offset += len(form) + (len(item) if major == 2 else 0)
    assert offset == len(raw)


def longer_heads(major, argument, than):
    """Return the other ways in which CBOR can write a length."""
    forms = [
        bytes(((major << 5) | 24 + power,)) + argument.to_bytes(1 << power, "big")
        for power in range(4)
        if argument < 1 << (8 << power)
    ]
    return [form for form in forms if len(form) > than]


@given(TRANSACTIONS)
def test_no_other_encoding_of_the_lengths_is_accepted(raw):
    """Lengths have their shortest form; longer and indefinite ones are refused, though CBOR would read the same."""
    for offset, length, major, argument in heads(raw):
        rest = raw[offset + length :]
        for form in longer_heads(major, argument, length):
            changed = raw[:offset] + form + rest
            assert cbor2.loads(raw) == cbor2.loads(changed)
            assert is_accepted(changed) is None
        assert is_accepted(raw[:offset] + bytes(((major << 5) | 31,)) + rest + b"\xff") is None
        for reserved in (28, 29, 30):
            assert is_accepted(raw[:offset] + bytes(((major << 5) | reserved,)) + rest) is None


def reframed(raw, change):
    """Return a transaction whose decoded frame was changed, in canonical CBOR."""
    frame = cbor2.loads(raw)
    return cbor2.dumps(change(frame), canonical=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: [[f[0][0], {4: b"kid"}, *f[0][2:]], f[1]],
        lambda f: [[f[0][0], {}, f[0][2], f[0][3], b""], f[1]],
        lambda f: [cbor2.CBORTag(18, f[0]), f[1]],
        lambda f: cbor2.CBORTag(55799, f),
        lambda f: [f[0], f[1], None],
        lambda f: [f[0]],
        lambda f: [f[0], f[1], f[1]],
        lambda f: [f[0], []],
        lambda f: [f[0], [*f[1], f[1][0]]],
        lambda f: [f[0], list(reversed(f[1]))],
        lambda f: [f[0], [item.decode() for item in f[1]]],
        lambda f: [[f[0][0], {}, None, f[0][3]], f[1]],
        lambda f: [[f[0][0], {}, f[0][2] + b" ", f[0][3]], f[1]],
        lambda f: [[f[0][0], {}, f[0][2].replace(b'"v":1', b'"v":1,"w":1'), f[0][3]], f[1]],
        lambda f: [[f[0][0], {}, f[0][2].replace(b'"v":1', b'"v":1,"v":1'), f[0][3]], f[1]],
        lambda f: [[f[0][0], {}, f[0][2], f[0][3][:63]], f[1]],
        lambda f: [[f[0][0], {}, f[0][2], f[0][3] + b"\x00"], f[1]],
        lambda f: [[b"", {}, f[0][2], f[0][3]], f[1]],
        lambda f: [[cbor2.dumps({**cbor2.loads(f[0][0]), 7: 1}), {}, f[0][2], f[0][3]], f[1]],
        lambda f: [[cbor2.dumps({**cbor2.loads(f[0][0]), 1: -7}), {}, f[0][2], f[0][3]], f[1]],
        lambda f: [[cbor2.dumps(dict(reversed(cbor2.loads(f[0][0]).items()))), {}, f[0][2], f[0][3]], f[1]],
        lambda f: {0: f[0], 1: f[1]},
        lambda f: "text",
    ],
)
def test_no_other_frame_is_accepted(change):
    """Extra headers, signatures, tags, items and operations, and any of them left out, are refused as malformed."""
    raw = build([b'{"a":1}', b'{"b":2}'])
    with pytest.raises(MalformedError):
        decode_transaction(reframed(raw, change), AAD)


def test_signature_cannot_be_turned_into_another():
    """S plus the group order is the same number to a careless verifier; it is no signature here."""
    order = 2**252 + 27742317777372353535851937790883648493
    raw = build([b"{}"])
    signature = decode_transaction(raw, AAD).signature
    other = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert is_accepted(raw) is not None
    assert is_accepted(raw.replace(signature, other)) is None


@given(TRANSACTIONS, st.binary(min_size=32, max_size=32))
def test_transaction_of_another_zone_fails(raw, genesis):
    """The hash of the genesis is under the signature."""
    transaction = decode_transaction(raw, genesis)
    good = verify_signature(transaction.key, transaction.signed, transaction.signature)
    assert (genesis == AAD) == good


@given(
    st.binary(max_size=500) | TRANSACTIONS.flatmap(lambda raw: st.binary(max_size=60).map(lambda end: raw[:90] + end))
)
def test_garbage_is_malformed_and_nothing_else(raw):
    """Whatever arrives, the answer is MalformedError."""
    with pytest.raises(MalformedError):
        decode_transaction(raw, AAD)


def test_sizes_have_their_limits():
    """1,000 operations and 1 MiB pass; one more of either does not; a length beyond the end is no error of ours."""
    assert is_accepted(build([b"{}"] * 1_000)) is not None
    with pytest.raises(MalformedError, match="1,000 operations"):
        decode_transaction(build([b"{}"] * 1_001), AAD)
    fits = (1 << 20) - len(build([b"x" * 70_000])) + 70_000
    assert is_accepted(build([b"x" * fits])) is not None
    with pytest.raises(MalformedError, match="1 MiB"):
        decode_transaction(build([b"x" * (fits + 1)]), AAD)
    with pytest.raises(MalformedError):
        decode_transaction(b"\x82\x84\x5a\xff\xff\xff\xff", AAD)


JSON_TEXT = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
NASTY = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"key":"a","text":' + b"[" * 5_000 + b"]" * 5_000 + b',"type":"put_note"}',
    b'{"key":"a","key":"b","text":"x","type":"put_note"}',
    b'{"key":"a","text":"x","type":"put_note","type":"put_note"}',
    b'{"key":"a","text":"\\ud800","type":"put_note"}',
    b'{"key":"a","text":"\\udc00\\ud800","type":"put_note"}',
    b'{"key":"a","text":"\xed\xa0\x80","type":"put_note"}',
    b'{"key":"a","text":"\xff","type":"put_note"}',
    b'{"key":"a","text":"\\u0041","type":"put_note"}',
    b'{"key":"a","text":' + b"9" * 5_000 + b',"type":"put_note"}',
    b'{"key":1e999,"text":"x","type":"put_note"}',
    b'{"key":-0,"text":"x","type":"put_note"}',
    b'{"key":9007199254740993,"text":"x","type":"put_note"}',
    b'{"key":null,"text":"x","type":"put_note"}',
    b'{"key":"a","text":"x","type":["put_note"]}',
    b'{"key":"a","text":"x","type":1}',
    b'{"key":"a","text":"x","type":"PUT_NOTE"}',
    b' {"key":"a","text":"x","type":"put_note"}',
    b'{"key":"a","text":"x","type":"put_note"}\n',
    b'{"key":"a","text":"x","type":"put_note"}\x00',
    b'\xef\xbb\xbf{"key":"a","text":"x","type":"put_note"}',
    b'{"key":"a","text":"x","type":"put_note","zzz":NaN}',
    b'{"extra":1,"key":"a","text":"x","type":"put_note"}',
    b'{"text":"x","key":"a","type":"put_note"}',
    b"",
    b"null",
    b'"put_note"',
    b"0",
]


def outcome_of(operation):
    toy = Toy()
    result = toy.run(toy.sign("bank", operation))
    assert result.results[0].refused is None
    assert 1 == len(result.leaves)
    return result.results[0].outcomes[0].code


@pytest.mark.parametrize("operation", NASTY, ids=range(len(NASTY)))
def test_nasty_operation_is_recorded_as_malformed(operation):
    """Deep nesting, huge numbers, repeated keys, lone surrogates and every other form: outcome 10, never an exception."""
    assert 10 == outcome_of(operation)


@given(st.binary(max_size=200) | JSON_TEXT.map(lambda value: repr(value).encode("utf-8", "replace")))
def test_arbitrary_operation_never_raises(operation):
    """An operation of arbitrary bytes has an outcome."""
    assert 10 == outcome_of(operation)


@given(
    st.dictionaries(
        st.sampled_from(["key", "text", "type", "extra"]), JSON_TEXT | st.sampled_from(["put_note", "a"]), max_size=4
    )
)
def test_operation_of_arbitrary_fields_never_raises(fields):
    """Fields of any type, missing or too many, have an outcome: the operation's own form is accepted, all others not."""
    operation = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    good = set(fields) == {"key", "text", "type"} and all(isinstance(value, str) for value in fields.values())
    code = outcome_of(operation)
    if not (good and fields["type"] == "put_note"):
        assert 10 == code
    else:
        assert code in (0, 9002, 10)
