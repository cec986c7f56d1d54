"""Forms that several proofs share: whole numbers and chain ids."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.codec import MalformedError, check_slug
from tallystick.codec.canonical import MAX_SAFE_INTEGER

CHAIN_SUFFIX = 8
SLUG_LENGTH = 40

_HEX = frozenset("0123456789abcdef")
Natural = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_SAFE_INTEGER)]


def check_chain_id(text: str) -> str:
    """Return `text` if it is a chain id: a slug of at most 40 characters, a hyphen, 8 lower-case hex characters.

    Raises:
        MalformedError: it is not.
    """
    slug, _, suffix = text.rpartition("-")
    if len(suffix) != CHAIN_SUFFIX or not _HEX.issuperset(suffix) or len(slug) > SLUG_LENGTH:
        raise MalformedError("not a chain id")
    check_slug(slug)
    return text
