"""What messages, records and events are made of.

Every struct is frozen, refuses unknown fields, and leaves out fields that hold their default, so that one value has one
canonical encoding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, dataclass_transform

import msgspec

from tallystick.codec import encode_own


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Message(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"
):
    """What an organisation asks for: one operation. Subclasses give `tag="verb_noun"`."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Event(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"
):
    """What an operation caused. Subclasses give `tag="noun_verbed"` (past tense)."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value in the state."""


R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Collection(Generic[R]):
    """A named set of records of one type.

    Attributes:
        name: lower-case plural, unique over all modules; also the name of its SQL view.
        record: the struct of its values.
        doc: one line for the reference of tables.
        bookkeeping: the machine's own housekeeping, which alone may be removed again.
    """

    name: str
    record: type[R]
    doc: str
    bookkeeping: bool = False
    decoder: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder", msgspec.json.Decoder(self.record))

    def decode(self, value: bytes) -> R:
        """Return the record of bytes that this machine wrote itself."""
        record: R = self.decoder.decode(value)
        return record

    def encode(self, record: R) -> bytes:
        """Return the canonical bytes of a record."""
        return encode_own(record)
