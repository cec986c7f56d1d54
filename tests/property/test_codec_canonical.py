"""Canonical JSON against an independent encoder, and against garbage."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from tallystick.codec import MAX_DEPTH, MalformedError, StrictDecoder, decode_json, encode_json
from tallystick.codec.canonical import check_depth

LARGEST = 2**53 - 1
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
KEYS = st.text(st.characters(max_codepoint=0x7F), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | TEXT
PLAIN = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    number: int = 0
    text: str = ""
    nodes: tuple[Node, ...] = ()
    labels: dict[str, int] = {}
    anything: Any = None


DECODER: StrictDecoder[Node] = StrictDecoder(Node, max_bytes=1 << 20)


@given(PLAIN)
def test_encoding_is_that_of_another_encoder(value: Any) -> None:
    """Every value of the subset encodes to the bytes of another RFC 8785 implementation and reads back."""
    encoded = encode_json(value)

    assert rfc8785.dumps(value) == encoded
    assert value == decode_json(encoded)


@given(PLAIN, st.sampled_from([{"indent": 1}, {"separators": (", ", ":")}, {"separators": (",", ": ")}]))
def test_white_space_is_refused(value: Any, style: Any) -> None:
    """The same value written with spaces is refused unless that changed nothing."""
    other = json.dumps(value, ensure_ascii=False, sort_keys=True, **style).encode()
    canonical = encode_json(value)
    if other != canonical:
        try:
            decode_json(other)
        except MalformedError:
            return
        raise AssertionError("accepted")


@given(st.binary(max_size=60) | ANYTHING.map(lambda value: json.dumps(value, default=str).encode()))
@example(b"9" * 5_000)
@example(b'"\\ud800"')
def test_what_is_accepted_is_canonical(data: bytes) -> None:
    """Any bytes are either refused as malformed or are what another encoder makes of the value."""
    try:
        value = decode_json(data)
    except MalformedError:
        return

    assert rfc8785.dumps(value) == data


@given(ANYTHING)
def test_encoding_never_fails_otherwise(value: Any) -> None:
    """Any value either is malformed or encodes to canonical bytes."""
    try:
        encoded = encode_json(value)
    except MalformedError:
        return

    assert rfc8785.dumps(value) == encoded


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "number": st.integers(),
            "text": st.text(max_size=10),
            "nodes": st.lists(st.fixed_dictionaries({}, optional={"number": st.integers()}), max_size=3),
            "labels": st.dictionaries(st.text(max_size=4), st.integers(), max_size=3),
            "anything": ANYTHING,
            "unknown": st.none(),
        },
    )
)
def test_structs_keep_the_subset(fields: dict[str, Any]) -> None:
    """What a strict decoder accepts, the untyped one accepts, and it encodes to the same bytes."""
    data = json.dumps(fields, ensure_ascii=True, sort_keys=True, separators=(",", ":"), default=str).encode()
    try:
        value = DECODER.decode(data)
    except MalformedError:
        return

    assert json.loads(data) == decode_json(data)
    assert data == encode_json(value)


@given(st.binary(max_size=200), st.integers(0, 199))
def test_changed_bytes_are_another_value_or_refused(noise: bytes, place: int) -> None:
    """No change to canonical bytes gives the same value."""
    value = Node(number=len(noise), text=noise.hex(), labels={"a": 1}, nodes=(Node(number=1), Node(text="é")))
    data = bytearray(encode_json(value))
    data[place % len(data)] ^= 1 + len(noise) % 255
    try:
        assert DECODER.decode(bytes(data)) != value
    except MalformedError:
        return


@given(PLAIN, st.integers(0, 40), st.lists(st.booleans(), min_size=40, max_size=40))
def test_depth_is_counted_as_a_walk_would(value: Any, levels: int, kinds: list[bool]) -> None:
    """The count over the bytes refuses exactly what is nested deeper than allowed."""
    for kind in kinds[:levels]:
        value = {'[{"\\': value} if kind else ['[{"\\', value]
    try:
        check_depth(rfc8785.dumps(value))
    except MalformedError:
        assert depth_of(value) > MAX_DEPTH
    else:
        assert depth_of(value) <= MAX_DEPTH


def depth_of(value: Any) -> int:
    """Return how deep a value is nested."""
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0
