"""Canonical JSON: one value, one byte sequence."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
import rfc8785

from tallystick.codec import MAX_DEPTH, MalformedError, StrictDecoder, decode_json, encode_json
from tallystick.codec.canonical import check_depth

VECTORS = Path(__file__).parents[2] / "vectors" / "codec"
RFC = json.loads((VECTORS / "rfc8785.json").read_text())
REFUSED = json.loads((VECTORS / "refused.json").read_text())["cases"]
LARGEST = 2**53 - 1
TOO_LARGE = [2**53, -(2**53), 2**63, 2**64 - 1, 2**64, 2**200, -(2**64), 10**16, 10**300]


class Colour(enum.Enum):
    RED = "red"


class Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    n: int = 0
    text: str = ""
    many: tuple[int, ...] = ()
    bounded: Annotated[int, msgspec.Meta(ge=0)] | None = None
    colour: Colour = Colour.RED
    digit: Literal[1, 2] = 1
    raw: bytes = b""
    again: Leaf | None = None


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="ask"):
    leaf: Leaf


class Tell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type", tag="tell"):
    labels: dict[str, int] = {}
    anything: Any = None
    fraction: float = 0.0


class Mapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: dict[str, list[int]]


class Numbered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: dict[int, str]


class Embedded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    raw: msgspec.Raw


class Bounded(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    n: Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST)] = 0
    over: Annotated[int, msgspec.Meta(gt=-(2**53), lt=2**53 + 1)] = 0
    many: tuple[Annotated[int, msgspec.Meta(ge=0, le=LARGEST)], ...] = ()


LEAVES: StrictDecoder[Leaf] = StrictDecoder(Leaf, max_bytes=100_000)
BOUNDED: StrictDecoder[Bounded] = StrictDecoder(Bounded, max_bytes=100_000)
UNION: StrictDecoder[Ask | Tell] = StrictDecoder(Ask | Tell, max_bytes=100_000)


def nested(levels: int) -> Any:
    """Return lists and mappings inside each other, alternating."""
    value: Any = []
    for level in range(levels - 1):
        value = {"a": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize("case", RFC["accepted"], ids=lambda case: case["name"])
def test_examples_of_the_rfc(case: dict[str, str]) -> None:
    """The RFC's own examples inside the subset encode to the RFC's bytes, which alone are accepted."""
    canonical = case["canonical"].encode()

    assert canonical == encode_json(json.loads(case["text"]))
    assert json.loads(case["text"]) == decode_json(canonical)
    if case["text"] != case["canonical"]:
        with pytest.raises(MalformedError, match="not canonical JSON"):
            decode_json(case["text"].encode())


@pytest.mark.parametrize("case", RFC["outside"], ids=lambda case: case["name"])
def test_examples_of_the_rfc_outside_the_subset(case: dict[str, str]) -> None:
    """Floats, long integers and keys that are not ASCII are refused, though RFC 8785 knows a form of them."""
    value = json.loads(case["canonical"])
    if case["reason"] != "integer out of range":
        assert case["canonical"].encode() == rfc8785.dumps(value)

    with pytest.raises(MalformedError, match=case["reason"]):
        decode_json(case["canonical"].encode())
    with pytest.raises(MalformedError, match=case["reason"]):
        encode_json(value)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["name"])
def test_every_other_form_is_refused(case: dict[str, str]) -> None:
    """Other spellings of a value, and what is no JSON, are refused with a reason of our own."""
    with pytest.raises(MalformedError) as caught:
        decode_json(bytes.fromhex(case["hex"]))

    assert case["reason"] == caught.value.reason


def test_escapes_follow_the_rfc_for_every_character_that_could_need_one() -> None:
    """Every character up to U+00FF, and those with a history of escapes, are written as RFC 8785 does."""
    for point in [*range(0x100), 0x2028, 0x2029, 0xD7FF, 0xE000, 0xFEFF, 0xFFFD, 0xFFFF, 0x10000, 0x10FFFF]:
        text = f"a{chr(point)}b"

        assert rfc8785.dumps(text) == encode_json(text)
        assert encode_json(Leaf(text=text)) == rfc8785.dumps({"text": text})
        assert text == decode_json(rfc8785.dumps(text))


@pytest.mark.parametrize("number", TOO_LARGE)
def test_long_integers_are_refused_everywhere(number: int) -> None:
    """No field lets an integer of 2^53 or more through, whatever its type, its depth or its direction."""
    values: list[Any] = [
        Leaf(n=number),
        Leaf(many=(1, number)),
        Leaf(again=Leaf(again=Leaf(n=number))),
        Ask(leaf=Leaf(many=(number, 1))),
        Bounded(n=number),
        Tell(labels={"a": number}),
        Tell(anything=[{"a": number}]),
        Mapped(labels={"a": [1, 2, number]}),
        number,
        [number],
        {"a": {"b": Leaf(n=number)}},
    ]
    for value in values:
        with pytest.raises(MalformedError):
            encode_json(value)
    for decoder, text in [
        (LEAVES, '{"n":%d}'),
        (LEAVES, '{"many":[1,%d]}'),
        (LEAVES, '{"bounded":%d}'),
        (BOUNDED, '{"n":%d}'),
        (BOUNDED, '{"over":%d}'),
        (BOUNDED, '{"many":[%d]}'),
        (LEAVES, '{"again":{"n":%d}}'),
        (UNION, '{"leaf":{"n":%d},"type":"ask"}'),
        (UNION, '{"anything":[%d],"type":"tell"}'),
        (UNION, '{"labels":{"a":%d},"type":"tell"}'),
    ]:
        with pytest.raises(MalformedError):
            decoder.decode((text % number).encode())


@pytest.mark.parametrize("number", [0, 1, -1, 10**15, -(10**15), LARGEST, -LARGEST])
def test_integers_below_the_limit_pass(number: int) -> None:
    """Every integer below 2^53 goes through both ways, alone and in fields."""
    assert number == decode_json(encode_json(number))
    assert Leaf(n=number) == LEAVES.decode(encode_json(Leaf(n=number)))
    assert Bounded(n=number, over=number) == BOUNDED.decode(encode_json(Bounded(n=number, over=number)))
    assert Leaf(many=(number, number)) == LEAVES.decode(encode_json(Leaf(many=(number, number))))


@pytest.mark.parametrize("text", ["1234567890123456", ":9999999999999999", ",-9999999999999999", '":12345678901234567'])
def test_digits_in_text_are_no_numbers(text: str) -> None:
    """Text that looks like a long number is only text."""
    assert Leaf(text=text) == LEAVES.decode(encode_json(Leaf(text=text)))


@pytest.mark.parametrize("digits", [20, 400, 4_299, 4_301, 50_000])
def test_huge_integers_are_malformed_and_nothing_else(digits: int) -> None:
    """Integers of any length, also beyond what Python will convert, raise MalformedError only."""
    number = b"9" * digits
    for decode, data in [
        (LEAVES.decode, b'{"n":' + number + b"}"),
        (LEAVES.decode, b'{"n":-' + number + b"}"),
        (LEAVES.decode, b'{"text":' + number + b"}"),
        (UNION.decode, b'{"anything":' + number + b',"type":"tell"}'),
        (UNION.decode, b'{"anything":' + number + b'.5,"type":"tell"}'),
        (UNION.decode, b'{"fraction":1e' + number + b',"type":"tell"}'),
        (decode_json, number),
        (decode_json, b"[-" + number + b"]"),
        (decode_json, b"1e" + number),
    ]:
        with pytest.raises(MalformedError):
            decode(data)


@pytest.mark.parametrize("text", ["\ud800", "\udfff", "a\ud83d", "\ude00\ud83d"])
def test_lone_surrogates_are_malformed(text: str) -> None:
    """Halves of characters are refused in values and keys, escaped or not, both ways."""
    for value in [text, [text], {"a": text}, {text: 1}, Leaf(text=text), Tell(anything={"a": text})]:
        with pytest.raises(MalformedError):
            encode_json(value)
    escaped = "".join(f"\\u{ord(character):04x}" for character in text).encode()
    for data in [b'{"text":"' + escaped + b'"}', b'{"text":"' + text.encode("utf-8", "surrogatepass") + b'"}']:
        with pytest.raises(MalformedError):
            LEAVES.decode(data)
        with pytest.raises(MalformedError):
            decode_json(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"fraction":1.5,"type":"tell"}',
        b'{"anything":1.5,"type":"tell"}',
        b'{"anything":{"a":[1.0]},"type":"tell"}',
        b'{"labels":{"\xc3\xa9":1},"type":"tell"}',
        b'{"anything":{"\xc3\xa9":1},"type":"tell"}',
        b'{"anything":{"a":1,"a":1},"type":"tell"}',
        b'{"anything":{"b":1,"a":1},"type":"tell"}',
        b'{"labels":{"b":1,"a":1},"type":"tell"}',
        b'{"type":"tell","labels":{}}',
        b'{"labels":{},"type":"tell"}',
        b'{"type":"other"}',
        b'{"leaf":{}}',
        b'{"leaf":{"unknown":1},"type":"ask"}',
        b'{"leaf":{"n":"1"},"type":"ask"}',
        b'{"leaf":{"n":true},"type":"ask"}',
        b'{"leaf":{"n":1.0},"type":"ask"}',
        b'{"leaf":{"n":0},"type":"ask"}',
        b'{"leaf":{"n":1,"n":1},"type":"ask"}',
        b'{"leaf":{"raw":"YR=="},"type":"ask"}',
        b'{"leaf":{"raw":"YQ"},"type":"ask"}',
        b'{"leaf":{},"type":"ask"} ',
        b"null",
        b"[]",
        b"",
    ],
)
def test_strict_decoding_takes_one_form_only(data: bytes) -> None:
    """Unknown, repeated, defaulted or wrongly typed fields and other orders are refused."""
    with pytest.raises(MalformedError):
        UNION.decode(data)


def test_keys_of_typed_mappings_are_ascii() -> None:
    """A mapping whose values are typed still has ASCII keys only; its text may be anything."""
    decoder: StrictDecoder[Mapped] = StrictDecoder(Mapped, max_bytes=100)

    assert Mapped(labels={"e": [1]}) == decoder.decode(b'{"labels":{"e":[1]}}')
    with pytest.raises(MalformedError, match="key is not ASCII"):
        decoder.decode('{"labels":{"é":[1]}}'.encode())
    with pytest.raises(MalformedError, match="key is not ASCII"):
        encode_json(Mapped(labels={"é": [1]}))


def test_strict_decoding_returns_the_value() -> None:
    """Canonical bytes of a struct decode to it."""
    values: list[Ask | Tell] = [
        Ask(leaf=Leaf(n=5, text="é", many=(1, 2), digit=2, raw=b"a")),
        Tell(labels={"a": 1, "b": 2}, anything={"a": [None, True, "é"]}),
    ]
    for value in values:
        assert value == UNION.decode(encode_json(value))


def test_length_is_checked_before_parsing() -> None:
    """Input longer than allowed is refused whatever it holds."""
    decoder: StrictDecoder[Leaf] = StrictDecoder(Leaf, max_bytes=7)

    assert Leaf(n=5) == decoder.decode(b'{"n":5}')
    with pytest.raises(MalformedError, match="too long"):
        decoder.decode(b'{"n":55}')


def test_depth_has_one_limit() -> None:
    """Sixteen levels pass, seventeen do not, both ways, in plain values and in structs."""
    good, bad = nested(MAX_DEPTH), nested(MAX_DEPTH + 1)

    assert good == decode_json(encode_json(good))
    with pytest.raises(MalformedError, match="nested too deep"):
        encode_json(bad)
    with pytest.raises(MalformedError, match="nested too deep"):
        decode_json(rfc8785.dumps(bad))
    assert encode_json(Tell(anything=nested(MAX_DEPTH - 1)))
    for refuse in (Tell(anything=good), [Tell(anything=nested(MAX_DEPTH - 1))]):
        with pytest.raises(MalformedError, match="nested too deep"):
            encode_json(refuse)


@pytest.mark.parametrize(
    "data", [b"[" * 1_000_000, b'{"a":' * 200_000, b'["' + b'\\"[' * 300_000, b"]" * 50 + b"[" * 50]
)
def test_deep_garbage_is_refused_quickly(data: bytes) -> None:
    """A million brackets or quotes overflow nothing."""
    with pytest.raises(MalformedError):
        decode_json(data)


def test_brackets_in_text_are_not_depth() -> None:
    """Brackets, quotes and backslashes inside strings do not count as nesting."""
    for text in ["[" * 100, '"[' * 50, "\\[" * 50, '\\"[{' * 40, "\\\\" + "{" * 30 + '"']:
        check_depth(encode_json({"a": text, text.encode().hex(): [text, {"b": text}]}))
        assert text == decode_json(encode_json(text))


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        float("nan"),
        0.0,
        b"bytes",
        {1: 2},
        {b"a": 1},
        {"é": 1},
        {1, 2},
        object(),
        {"a": {None: 1}},
        [Tell(fraction=1.5)],
        Tell(anything={"é": 1}),
        Tell(anything=1.5),
        Numbered({10: "a", 9: "b"}),
        Embedded(msgspec.Raw(b"[ 1]")),
    ],
)
def test_values_outside_the_subset_do_not_encode(value: Any) -> None:
    """Floats, bytes, sets, other objects and other keys are refused, also inside structs."""
    with pytest.raises(MalformedError):
        encode_json(value)


def test_what_cannot_end_does_not_encode() -> None:
    """A list that holds itself is malformed."""
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(MalformedError):
        encode_json(loop)


def test_embedded_text_is_checked() -> None:
    """A field of raw JSON is no way round the one form."""
    decoder: StrictDecoder[Embedded] = StrictDecoder(Embedded, max_bytes=100)

    assert b"[1]" == bytes(decoder.decode(b'{"raw":[1]}').raw)
    for data in [b'{"raw":[ 1]}', b'{"raw":{"b":1,"a":1}}', b'{"raw":1.50}', b'{"raw":"\\u0061"}']:
        with pytest.raises(MalformedError):
            decoder.decode(data)
