"""The report of a failed test: what nodes wrote meanwhile is in it, and nothing of nodes of other tests."""

from __future__ import annotations

import os

from tests.support.last_words import LINES, last_words


def test_ends_of_the_logs_that_grew(tmp_path):
    (tmp_path / "net").mkdir()
    long = tmp_path / "net" / "bank.log"
    long.write_text("".join(f"line {number}\n" for number in range(1_000)))
    short = tmp_path / "agency.log"
    short.write_bytes(b"half a \xff letter\nthe end")
    before = tmp_path / "before.log"
    before.write_text("of another test\n")
    os.utime(before, (1_000, 1_000))
    (tmp_path / "no.log").mkdir()
    (tmp_path / "000001.log").write_bytes(b"\0 of an engine's database")
    found = dict(last_words(tmp_path, since=2_000.0))
    assert {f"last lines of {short}", f"last lines of {long}"} == set(found)
    assert "half a � letter\nthe end" == found[f"last lines of {short}"]
    lines = found[f"last lines of {long}"].splitlines()
    assert (LINES, "line 999") == (len(lines), lines[-1])


def test_a_huge_log_is_read_from_its_end_only(tmp_path):
    (tmp_path / "huge.log").write_text("x" * 100 + "\n" + "y" * (1 << 20))
    ((_, text),) = last_words(tmp_path, since=0.0)
    assert "y" * (64 << 10) == text


def test_no_logs(tmp_path):
    assert [] == last_words(tmp_path, since=0.0)
    assert [] == last_words(tmp_path / "nowhere", since=0.0)
