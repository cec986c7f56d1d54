"""Canonical JSON: RFC 8785 over a subset in which it is cheap and unambiguous.

The subset: ASCII keys, integers of magnitude below 2^53, no floats, at most 16 levels deep, UTF-8 without lone
surrogates. Within it msgspec's sorted encoding is RFC 8785 byte for byte (checked by the RFC's own vectors and by a
property test against an independent encoder).

Types alone keep most of it: a struct has ASCII names and typed fields, and numbers with bounds are compared as they are
decoded. What types cannot keep is found without walking the value: a long number by its shape in the bytes, a key of a
`dict[str, ...]` by a byte above 0x7f; only then, and for fields that may hold anything (`Any`, floats, other mappings),
is the text decoded again and every value looked at.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

MAX_DEPTH = 16
MAX_SAFE_INTEGER = 2**53 - 1

T = TypeVar("T")
JSON = dict[str, Any] | list[Any] | str | int | bool | None

_encoder = msgspec.json.Encoder(order="sorted")
_any_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()

# How much of the subset a type leaves open: nothing where it is decoded; how large a number is; also which keys there are.
_BOUNDED, _TYPED, _OPEN_KEYS, _ANYTHING = 0, 1, 2, 3
_BOUNDED_KINDS = (inspect.BoolType, inspect.BytesType, inspect.NoneType, inspect.StrType)
_TYPED_KINDS = (inspect.EnumType, inspect.IntType, inspect.LiteralType)
# A number of 16 digits or more, seen through `_SHAPE` (digits become 0, what may stand before a number becomes a
# colon, minus signs go). Strings can look like it too: it only asks for the closer look.
_SHAPE = bytes.maketrans(b"123456789,[", b"000000000::")
_LONG_NUMBER = b":" + b"0" * 16
# Only brackets, all of one kind.
_BRACKETS = bytes.maketrans(b"[]", b"{}")
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))


class MalformedError(ValueError):
    """Bytes are not the one canonical form of anything that is allowed here.

    Attributes:
        reason: one of a fixed set of short texts of our own; safe to show and the same on every machine.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def encode_json(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a msgspec struct or of plain JSON values.

    Args:
        value: structs, dicts with ASCII string keys, lists, strings, integers below 2^53, booleans, None.

    Raises:
        MalformedError: a float, an integer too large, a key that is not ASCII, text that is not Unicode, or nesting
            deeper than `MAX_DEPTH`.
    """
    try:
        encoded = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        raise MalformedError("not JSON") from None
    check_depth(encoded)
    if isinstance(value, msgspec.Struct):
        # Bounds are kept where a value is decoded, and not where it is made.
        _check_encoded(encoded, max(_TYPED, _openness(type(value))))
    else:
        _check_plain(value, MAX_DEPTH + 1)
    return encoded


def encode_own(value: Any) -> bytes:
    """Return the canonical bytes of a struct whose every value was checked when it came in; skips checking again.

    Args:
        value: a record or an event that an operation made of a message that was decoded strictly.
    """
    return _encoder.encode(value)


def decode_json(data: bytes) -> Any:
    """Decode canonical JSON of no particular type, refusing every other form of it.

    Raises:
        MalformedError: not canonical, or outside the subset.
    """
    check_depth(data)
    try:
        value = _any_decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise MalformedError("not JSON") from None
    _check_plain(value, MAX_DEPTH + 1)
    if _encoder.encode(value) != data:
        raise MalformedError("not canonical JSON")
    return value


class StrictDecoder(Generic[T]):
    """Decodes one struct type (or a union of tagged structs) from exactly its canonical bytes.

    Unknown and repeated fields, wrong types, explicit defaults of fields that are left out when empty, white space,
    other escapes and other key orders all fail, because the value does not re-encode to the same bytes. Floats and
    integers of 2^53 and more fail in every field, also where its type would let them pass.
    """

    def __init__(self, kind: Any, *, max_bytes: int) -> None:
        """Prepare a decoder.

        Args:
            kind: a msgspec struct type or a union of tagged ones, with `forbid_unknown_fields=True`.
            max_bytes: longer input is refused before it is parsed.
        """
        self._openness = {member: _openness(member) for member in getattr(kind, "__args__", (kind,))}
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind, strict=True)
        self._max_bytes = max_bytes

    def decode(self, data: bytes) -> T:
        """Return the value that `data` is the canonical encoding of.

        Raises:
            MalformedError: it is not; `reason` is text of our own.
        """
        if len(data) > self._max_bytes:
            raise MalformedError("too long")
        check_depth(data)
        try:
            value = self._decoder.decode(data)
            encoded = _encoder.encode(value)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            raise MalformedError("wrong fields or types") from None
        if encoded != data:
            raise MalformedError("not canonical JSON")
        _check_encoded(data, self._openness.get(type(value), _ANYTHING))
        return value


def check_depth(data: bytes) -> None:
    """Refuse JSON text nested deeper than `MAX_DEPTH`, without parsing it.

    The common shallow case is settled by two counts. Else what stands in strings is dropped (once escaped backslashes
    and quotes are gone, every second piece between quotes), and each round takes the innermost brackets away: all is
    done in C, in time that grows with the length only. Text whose brackets do not match is refused as well.
    """
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return
    outside = b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside.translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"{}", b"")
        if not brackets:
            return
    raise MalformedError("nested too deep")


def _check_encoded(data: bytes, openness: int) -> None:
    """Refuse what is outside the subset in the encoding of a struct; `data` holds canonical JSON of fitting depth."""
    if openness == _BOUNDED:
        return
    if (
        openness == _ANYTHING
        or (openness == _OPEN_KEYS and not data.isascii())
        or _LONG_NUMBER in data.translate(_SHAPE, b"-")
    ):
        decode_json(data)


@cache
def _openness(kind: Any) -> int:
    """Return how much of the subset a type leaves to be checked value by value."""
    try:
        return _openness_of(inspect.type_info(kind), set())
    except (NameError, TypeError):  # annotations that can only be encoded by, not read
        return _ANYTHING


def _openness_of(info: inspect.Type, seen: set[type]) -> int:
    """Return the widest openness found in a type; `seen` holds the structs that are being looked at already."""
    parts: tuple[inspect.Type, ...]
    if isinstance(info, inspect.StructType):
        if info.cls in seen:
            return _BOUNDED
        seen.add(info.cls)
        names = _BOUNDED if all(field.encode_name.isascii() for field in info.fields) else _ANYTHING
        return max((names, *(_openness_of(field.type, seen) for field in info.fields)))
    if isinstance(info, _BOUNDED_KINDS) or (isinstance(info, inspect.IntType) and _is_bounded(info)):
        return _BOUNDED
    if isinstance(info, _TYPED_KINDS):
        return _TYPED
    if isinstance(info, inspect.DictType) and isinstance(info.key_type, inspect.StrType):
        return max(_OPEN_KEYS, _openness_of(info.value_type, seen))
    if isinstance(info, inspect.UnionType):
        parts = info.types
    elif isinstance(info, inspect.TupleType):
        parts = info.item_types
    elif isinstance(info, (inspect.ListType, inspect.VarTupleType)):
        parts = (info.item_type,)
    elif isinstance(info, inspect.Metadata):
        parts = (info.type,)
    else:
        return _ANYTHING
    return max((_openness_of(part, seen) for part in parts), default=_BOUNDED)


def _is_bounded(info: inspect.IntType) -> bool:
    """Tell whether a field takes safe integers only."""
    low = info.ge if info.ge is not None else info.gt
    high = info.le if info.le is not None else info.lt
    return low is not None and low >= -MAX_SAFE_INTEGER and high is not None and high <= MAX_SAFE_INTEGER


def _check_plain(value: Any, levels: int) -> None:
    """Refuse what is outside the subset in a value built of plain Python types and structs."""
    if value is None or isinstance(value, (bool, str)):
        return
    if isinstance(value, msgspec.Struct):
        _check_encoded(_encoder.encode(value), max(_TYPED, _openness(type(value))))
    elif isinstance(value, int):
        if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            raise MalformedError("integer out of range")
    elif isinstance(value, dict):
        if levels <= 1:
            raise MalformedError("nested too deep")
        for key in value:
            if not isinstance(key, str) or not key.isascii():
                raise MalformedError("key is not ASCII")
            _check_plain(value[key], levels - 1)
    elif isinstance(value, (list, tuple)):
        if levels <= 1:
            raise MalformedError("nested too deep")
        for item in value:
            _check_plain(item, levels - 1)
    else:
        raise MalformedError("not a JSON value of the subset")
