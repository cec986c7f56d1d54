"""The write-ahead log beside `ledger.db`: what SQLite would pass over without a word.

A reader of a copy takes frames up to the first whose checksum fails: a changed byte there would look like a shorter,
consistent ledger. Checksums are cumulative and stored with every frame, so a bad frame with a good one behind it is
damage, while a bad end is what a crash leaves and is no finding; unless changing one byte back makes it good, for the
checksum has 64 bits and no crash leaves that by chance.
https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = 32
_FRAME_HEADER = 24
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
_WORD = 0xFFFFFFFF
_PASSES_OVER = "so that SQLite passes over it and all that follow"


def find_damage(path: Path) -> str | None:
    """Return what is wrong with a write-ahead log, or None.

    A node that runs may begin the file anew at any time, so damage is damage only if it is there twice.

    Args:
        path: `ledger.db-wal`; it need not exist.
    """
    found = _scan(path)
    return found if found is not None and found == _scan(path) else None


def _scan(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
            if len(header) < _HEADER:
                return None
            magic, _, page_size, _, _, _, *stored = struct.unpack(">8I", header)
            order = _MAGIC.get(magic)
            if order is None or _checksum(order, header[:24], (0, 0)) != tuple(stored):
                return "its header is damaged, so that SQLite passes over all of it"
            if not 512 <= page_size <= 65_536 or page_size & (page_size - 1):
                return "its header names an impossible page size"
            salts = header[16:24]
            last: tuple[int, int] = (stored[0], stored[1])
            bad: int | None = None
            number = 0
            while len(frame := file.read(_FRAME_HEADER + page_size)) == _FRAME_HEADER + page_size:
                number += 1
                kept: tuple[int, int] = struct.unpack(">2I", frame[16:24])
                covered = frame[:8] + frame[_FRAME_HEADER:]
                given = _checksum(order, covered, last)
                good = frame[8:16] == salts and kept == given
                if good and bad is not None:
                    return f"frame {bad} is damaged, {_PASSES_OVER}"
                if not good and bad is None:
                    bad = number
                    if _is_one_byte_off(order, covered, given, frame[8:_FRAME_HEADER], salts):
                        return f"one byte of frame {bad} was changed, {_PASSES_OVER}"
                if bad is not None and number - bad > 64:
                    return None
                last = kept
    except OSError:
        return None
    return None


def _checksum(order: str, data: bytes, start: tuple[int, int]) -> tuple[int, int]:
    """Continue SQLite's cumulative checksum over data of a multiple of 8 bytes."""
    first, second = start
    for left, right in struct.iter_unpack(f"{order}II", data):
        first = (first + left + second) & _WORD
        second = (second + right + first) & _WORD
    return first, second


def _is_one_byte_off(order: str, covered: bytes, given: tuple[int, int], found: bytes, salts: bytes) -> bool:
    """Tell whether a bad frame would be good if one byte of it were another.

    A change of one word by `d` changes the two sums by `d` times two numbers that depend on its place alone: a pair of
    neighbours in Fibonacci's series, one of which is always odd. So for each word there is one `d` to try.

    Args:
        order: of the bytes of a word.
        covered: what the checksum is over.
        given: its checksum.
        found: salts and checksum as the frame has them.
        salts: as they should be.
    """
    if _differing(found, salts + struct.pack(">2I", *given)) == 1:
        return True
    if found[:8] != salts:
        return False
    wanted = struct.unpack(">2I", found[8:])
    sums = ((wanted[0] - given[0]) & _WORD, (wanted[1] - given[1]) & _WORD)
    words = struct.unpack(f"{order}{len(covered) // 4}I", covered)
    factors = {0: (1, 1), 1: (0, 1)}
    for at in range(len(words) - 1, -1, -1):
        first, second = factors[at % 2]
        odd = first % 2
        change = (sums[1 - odd] * pow(first if odd else second, -1, 1 << 32)) & _WORD
        if ((change * first) & _WORD, (change * second) & _WORD) == sums:
            other = (words[at] + change) & _WORD
            if _differing(words[at].to_bytes(4, "big"), other.to_bytes(4, "big")) == 1:
                return True
        factors[at % 2] = ((first + second) & _WORD, (first + 2 * second) & _WORD)
    return False


def _differing(one: bytes, other: bytes) -> int:
    """Return how many bytes differ."""
    return sum(left != right for left, right in zip(one, other, strict=True))
