"""Types of values that requests carry, with their bounds."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tallystick.office import FieldOfWork

# The end of a value: here `$` alone would let a line break pass behind it, in other languages there is no `\Z`.
END = r"$(?!\n)"
# No control characters, so that nothing reaches a file system, a log or a terminal that a person could not have typed.
_PLAIN = r"^[^\x00-\x1f\x7f]*" + END
_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*" + END

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=30)]
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}" + END)]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=_PLAIN)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=_PLAIN)]
KeyName = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=_PLAIN)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_PLAIN)]
Line = Annotated[str, msgspec.Meta(max_length=200, pattern=_PLAIN)]
Text = Annotated[str, msgspec.Meta(max_length=2_000, pattern=_TEXT)]
Said = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000, pattern=_TEXT)]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096, pattern=_PLAIN)]
Keyword = Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=_PLAIN)]
Keywords = Annotated[tuple[Keyword, ...], msgspec.Meta(max_length=20)]
Terms = str | dict[str, Any]

__all__ = [
    "END",
    "Count",
    "FieldOfWork",
    "Hash",
    "Identifier",
    "KeyName",
    "Keyword",
    "Keywords",
    "Limit",
    "Line",
    "Name",
    "Path",
    "Said",
    "Seconds",
    "Terms",
    "Text",
    "Title",
]
