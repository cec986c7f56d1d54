"""Identifiers, hashes and times."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tallystick.codec import (
    MalformedError,
    check_dataset_name,
    check_hash,
    check_organisation_id,
    check_slug,
    iso_time,
    parse_iso_time,
    sha256,
    short_id,
    tagged_hash,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "codec" / "frames.json").read_text())


@pytest.mark.parametrize("case", VECTORS["tagged_hashes"], ids=repr)
def test_tagged_hashes(case: dict[str, Any]) -> None:
    """A tagged hash is that of tag and parts behind their lengths, so that no border can move."""
    assert case["hash"] == tagged_hash(case["tag"].encode(), *(bytes.fromhex(part) for part in case["parts"])).hex()


def test_tagged_hashes_differ() -> None:
    """Moving a border, adding an empty part or another tag gives another hash."""
    hashes = [
        tagged_hash(b"t", b"ab", b"c"),
        tagged_hash(b"t", b"a", b"bc"),
        tagged_hash(b"t", b"abc"),
        tagged_hash(b"t", b"abc", b""),
        tagged_hash(b"ta", b"bc"),
        tagged_hash(b"t"),
    ]

    assert len(hashes) == len(set(hashes))


def test_sha256_is_that_of_fips_180() -> None:
    """The FIPS 180 example holds."""
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" == sha256(b"abc").hex()
    assert hashlib.sha256(b"").digest() == sha256(b"")


@pytest.mark.parametrize("case", VECTORS["short_ids"], ids=repr)
def test_short_ids(case: dict[str, Any]) -> None:
    """A short id is its prefix and the first bits of a hash, five a character."""
    assert case["id"] == short_id(case["prefix"], bytes.fromhex(case["seed"]), case["length"])


def test_longer_short_ids_begin_with_the_shorter() -> None:
    """An id that had to be made longer is still recognised."""
    assert short_id("req", b"seed", 30).startswith(short_id("req", b"seed", 4))


@pytest.mark.parametrize("text", ["ab", "city-hospital", "a1", "x" * 40, "a--b"])
def test_organisation_ids(text: str) -> None:
    """Labels of 2 to 40 lower-case letters, digits and inner hyphens are organisation ids."""
    assert text == check_organisation_id(text)


@pytest.mark.parametrize(
    "text", ["", "a", "1a", "-ab", "ab-", "Ab", "a b", "a.b", "a_b", "é-b", "x" * 41, "ab\n", "a/b", "\u0430\u0431"]
)
def test_other_organisation_ids_are_refused(text: str) -> None:
    """Upper case, other characters, a digit first and other lengths are no organisation ids."""
    with pytest.raises(MalformedError, match="not an organisation id"):
        check_organisation_id(text)


@pytest.mark.parametrize("text", ["city-hospital/discharges-2024", "ab/c", "ab/c.d_e-f", "x" * 40 + "/" + "y" * 79])
def test_dataset_names(text: str) -> None:
    """A dataset name is an organisation id, a slash and a slug."""
    assert text == check_dataset_name(text)


@pytest.mark.parametrize(
    "text", ["", "ab", "/a", "ab/", "a/b", "ab/c/d", "ab/C", "ab/-c", "ab/c.", "ab/" + "y" * 80, "ab/c\n"]
)
def test_other_dataset_names_are_refused(text: str) -> None:
    """Names without an organisation, with two slashes or other characters are refused."""
    with pytest.raises(MalformedError):
        check_dataset_name(text)


@pytest.mark.parametrize("text", ["", ".a", "a.", "_", "A", "a b", "y" * 80])
def test_other_slugs_are_refused(text: str) -> None:
    """A slug has a letter or digit at both ends and nothing else than its alphabet."""
    with pytest.raises(MalformedError):
        check_slug(text)


def test_hashes_in_text() -> None:
    """A hash is 64 lower-case hex characters and nothing else."""
    assert "0123456789abcdef" * 4 == check_hash("0123456789abcdef" * 4)
    for text in ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 63 + "\n", " " + "0" * 63, "٣" * 64]:
        with pytest.raises(MalformedError):
            check_hash(text)


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_714_564_800_999, "2024-05-01T12:00:00.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
    ],
)
def test_times_go_both_ways(time_ms: int, text: str) -> None:
    """A ledger time has one text, which reads back as it."""
    assert text == iso_time(time_ms)
    assert time_ms == parse_iso_time(text)


def test_other_offsets_are_read() -> None:
    """An offset is taken into account; a time without one is refused."""
    assert parse_iso_time("2024-05-01T12:00:00Z") == parse_iso_time("2024-05-01T20:00:00+08:00")
    for text in ["2024-05-01T12:00:00", "2024-05-01", "yesterday", "", "2024-13-01T00:00:00Z"]:
        with pytest.raises(MalformedError):
            parse_iso_time(text)


@pytest.mark.parametrize("time_ms", [253_402_300_800_000, 2**53 - 1, -(2**53) + 1, 2**70])
def test_times_beyond_the_calendar_are_malformed(time_ms: int) -> None:
    """An integer of the ledger that is no time of the calendar is refused by name."""
    with pytest.raises(MalformedError):
        iso_time(time_ms)
