"""Fingerprints that people compare by reading them to each other: `4hpy7-eq19z-0kd3w-m8ctx-5rv2j`.

Five groups of five characters of Crockford's base32, lower case: the first 125 bits of a tagged hash. To find other
data with the same fingerprint takes about 2^125 tries. Whoever makes both pieces of data could find two alike in 2^62,
and would gain nothing: a fingerprint tells apart what someone else made from what was meant.
"""

from __future__ import annotations

from tallystick.codec import tagged_hash
from tallystick.codec.identifiers import SHORT_ALPHABET
from tallystick.errors import UsageError

GROUPS = 5
GROUP_CHARACTERS = 5
TAG = b"tallystick/fingerprint"

_CHARACTERS = GROUPS * GROUP_CHARACTERS
_ALPHABET = frozenset(SHORT_ALPHABET)
# Letters that are read as digits (Crockford), and the hyphens and dashes that mail and word processors put in.
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2212"
_READ_AS = str.maketrans({"o": "0", "i": "1", "l": "1"} | dict.fromkeys(_DASHES, ""))


def fingerprint(data: bytes) -> str:
    """Return the fingerprint of public data, such as an organisation's card."""
    number = int.from_bytes(tagged_hash(TAG, data), "big")
    characters = "".join(SHORT_ALPHABET[(number >> (251 - 5 * position)) & 31] for position in range(_CHARACTERS))
    return _grouped(characters)


def parse_fingerprint(text: str) -> str:
    """Return the one spelling of a fingerprint that was typed, read out or pasted.

    Case, spaces and hyphens do not matter; o reads as 0, i and l as 1.

    Raises:
        UsageError: not 25 characters of the alphabet.
    """
    characters = "".join(text.lower().translate(_READ_AS).split())
    if len(characters) != _CHARACTERS or not _ALPHABET.issuperset(characters):
        raise UsageError(
            "this is not a fingerprint",
            remedy="A fingerprint has 25 letters and digits in 5 groups, such as 4hpy7-eq19z-0kd3w-m8ctx-5rv2j.",
        )
    return _grouped(characters)


def _grouped(characters: str) -> str:
    """Return characters in groups with hyphens between."""
    return "-".join(characters[start : start + GROUP_CHARACTERS] for start in range(0, _CHARACTERS, GROUP_CHARACTERS))
