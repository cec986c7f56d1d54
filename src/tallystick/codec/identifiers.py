"""Names and identifiers: what they may look like, and how short ones are derived.

An organisation id is a DNS label (`city-hospital`); a dataset name is `<organisation>/<slug>`
(`city-hospital/discharges-2024`); a short id is a prefix and lower-case base32 of a hash (`req-7kq2`).
"""

from __future__ import annotations

from tallystick.codec.canonical import MalformedError
from tallystick.codec.hashes import tagged_hash

_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_SLUG = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
# Base32 without the letters that are misread for others (0/o, 1/i/l, u): Crockford's alphabet, lower case.
SHORT_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Two characters stand for ten bits.
_PAIRS = tuple(first + second for first in SHORT_ALPHABET for second in SHORT_ALPHABET)

ORGANISATION_LENGTH = 40
DATASET_NAME_LENGTH = 120


def check_organisation_id(text: str) -> str:
    """Return `text` if it is an organisation id: 2 to 40 of a-z, 0-9 and inner hyphens, a letter first.

    Raises:
        MalformedError: it is not.
    """
    if not 2 <= len(text) <= ORGANISATION_LENGTH or not _LABEL.issuperset(text):
        raise MalformedError("not an organisation id")
    if not "a" <= text[0] <= "z" or text[-1] == "-":
        raise MalformedError("not an organisation id")
    return text


def check_slug(text: str) -> str:
    """Return `text` if it is 1 to 79 of a-z, 0-9, hyphen, dot and underscore, a letter or digit at both ends."""
    if not 1 <= len(text) <= 79 or not _SLUG.issuperset(text) or text[0] in "-._" or text[-1] in "-._":
        raise MalformedError("not a name of lower-case letters, digits, hyphens, dots and underscores")
    return text


def check_dataset_name(text: str) -> str:
    """Return `text` if it is `<organisation id>/<slug>`.

    Raises:
        MalformedError: it is not.
    """
    organisation, slash, slug = text.partition("/")
    if not slash:
        raise MalformedError("a dataset name is organisation/name")
    check_organisation_id(organisation)
    check_slug(slug)
    return text


def check_hash(text: str) -> str:
    """Return `text` if it is 32 bytes in lower-case hex.

    Raises:
        MalformedError: it is not.
    """
    # Upper case and white space, which `fromhex` lets pass, do not come back the same.
    try:
        if len(text) == 64 and bytes.fromhex(text).hex() == text:
            return text
    except ValueError:
        pass
    raise MalformedError("not 32 bytes of lower-case hex")


def short_id(prefix: str, seed: bytes, length: int) -> str:
    """Return `<prefix>-<length characters>` derived from `seed`; a longer one starts with the shorter.

    Args:
        prefix: such as `req`.
        seed: what makes it unique (transaction id and index).
        length: 4 to 50 characters of Crockford base32.
    """
    pairs = (length + 1) // 2
    bits = int.from_bytes(tagged_hash(b"tallystick/short-id", seed), "big") >> (256 - 10 * pairs)
    digits = "".join([_PAIRS[bits >> shift & 1023] for shift in range(10 * (pairs - 1), -1, -10)])
    return f"{prefix}-{digits[:length]}"
