"""Short free text on the ledger: what it may not contain, judged without Unicode tables.

Refused are control characters (C0, DEL, C1), line and paragraph separators, and the controls that reorder what is seen.
"""

from __future__ import annotations

_REORDERING = (
    0x061C,
    0x200E,
    0x200F,
    0x2028,
    0x2029,
    0x202A,
    0x202B,
    0x202C,
    0x202D,
    0x202E,
    0x2066,
    0x2067,
    0x2068,
    0x2069,
)
# RFC 6838, section 4.2: restricted-name-chars.
_MEDIA = "abcdefghijklmnopqrstuvwxyz0123456789!#$&-^_.+"


def is_line(text: str) -> bool:
    """Tell whether `text` is a line without control characters and without a space at either end."""
    if not text or text[0] == " " or text[-1] == " ":
        return False
    return _is_visible(text)


def is_text(text: str) -> bool:
    """Tell whether `text` is lines without control characters; empty is fine."""
    return all(_is_visible(line) for line in text.split("\n"))


def is_media_type(text: str) -> bool:
    """Tell whether `text` is a lower-case media type without parameters (RFC 6838, section 4.2)."""
    kind, slash, subtype = text.partition("/")
    return bool(slash) and _is_media_name(kind) and _is_media_name(subtype)


def _is_media_name(text: str) -> bool:
    if not 1 <= len(text) <= 127 or not ("a" <= text[0] <= "z" or "0" <= text[0] <= "9"):
        return False
    return all(character in _MEDIA for character in text)


def _is_visible(text: str) -> bool:
    if text.isascii():
        return all(" " <= character <= "~" for character in text)
    for character in text:
        point = ord(character)
        if point < 0x20 or 0x7F <= point <= 0x9F or point in _REORDERING:
            return False
    return True
