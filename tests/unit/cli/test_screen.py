"""What is printed is aligned, readable, and cannot take over a terminal."""

from __future__ import annotations

import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.cli.screen import Screen, Word, clean, count_of, pad, show_size, show_time, width_of

HOSTILE = "a\x1b[2J\u202eb\r\nc\x00\u2028d\ud800\x9b\u200be\x7f"


def test_clean_text_is_one_line_without_hidden_signs() -> None:
    """Controls, directions, separators and lone surrogates go; what separates lines becomes a space."""
    assert clean(HOSTILE) == "a[2Jb  c de"


@given(st.text())
def test_clean_text_cannot_move_a_cursor(text: str) -> None:
    """Whatever somebody wrote, no sign that acts rather than shows is left, and cleaning again changes nothing."""
    shown = clean(text)

    assert not {unicodedata.category(sign) for sign in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert clean(shown) == shown


def test_wide_signs_take_two_columns() -> None:
    """Chinese text takes two columns a sign, a combining accent none."""
    assert [width_of(text) for text in ("abc", "\u51fa\u9662", "e\u0301")] == [3, 4, 1]
    assert pad("\u51fa", 4) == "\u51fa  "


def test_columns_are_aligned_under_wide_signs(capsys: pytest.CaptureFixture[str]) -> None:
    """A table lines up whatever its cells are written in."""
    Screen(False).table(("name", "size"), [("\u51fa\u9662", "1"), ("abc", "22")])

    lines = capsys.readouterr().out.splitlines()

    assert lines == ["NAME  SIZE", "\u51fa\u9662  1", "abc   22"]
    assert {width_of(line[: line.rindex(" ") + 1]) for line in lines} == {6}


def test_columns_of_data_keep_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of columns are put in capitals only where they are ours."""
    Screen(False).table(("iD", "b\x1bb"), [("1", "2")], upper=False)

    assert capsys.readouterr().out.splitlines()[0] == "iD  bb"


def test_hostile_text_is_escaped_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON document holds what was written, and shows none of it raw."""
    hostile = HOSTILE.replace("\ud800", "") + "\U000e0041\u51fa"
    Screen(True).document({"title": hostile})

    out = capsys.readouterr().out

    assert json.loads(out) == {"title": hostile}
    assert not set(out) & set("\x1b\x7f\x9b\u202e\u2028\u200b\r\x00\U000e0041")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_terminal_that_knows_ascii_alone_is_no_trouble(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is replaced, or escaped in JSON, which then says the same."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    screen = Screen(as_json)
    screen.line("\u51fa")
    screen.fields([("title", "\u51fa")])
    screen.document(["\u51fa\U0001f600"])
    sys.stdout.flush()

    assert raw.getvalue().isascii()
    assert json.loads(raw.getvalue()) == ["\u51fa\U0001f600"] if as_json else b"title: ?" in raw.getvalue()


def test_json_mode_prints_the_document_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing that is meant for people mixes with JSON."""
    screen = Screen(True)
    screen.line("a")
    screen.fields([("a", "b")])
    screen.table(("a",), [("b",)])
    screen.table(("a",), [])
    screen.next("tally x")
    screen.document({"n": 1})

    assert capsys.readouterr().out == '{\n  "n": 1\n}\n'


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("colours", [True, False])
def test_words_are_coloured_on_a_terminal_alone(colours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colour comes from this program, never from the text; NO_COLOR switches it off."""
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colours:
        monkeypatch.setenv("NO_COLOR", "1")

    Screen(False).fields([("health", Word("we\x1bll", "green"))])

    assert terminal.getvalue() == ("health: \x1b[32mwell\x1b[0m\n" if colours else "health: well\n")


def test_a_table_on_a_terminal_takes_text_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Markup in a cell is shown, not obeyed, and an id is never broken."""
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")

    Screen(False).table(("[b]id", "title"), [("city-hospital/discharges-2024", "[red]x[/red]\x1b[2J" + "y" * 60)])

    assert "city-hospital/discharges-2024" in terminal.getvalue()
    assert "[red]x[/red]" in terminal.getvalue().replace("\n", "")
    assert "\x1b[2J" not in terminal.getvalue()


def test_a_bar_is_shown_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Elsewhere long work says nothing until it is done."""
    with Screen(False).progress("work") as progress:
        progress(1, 2)
    assert capsys.readouterr() == ("", "")

    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Screen(False).progress("[red]work\x1b[2J") as progress:
        progress(1, 2)
        progress(2, 0)

    assert "[red]work" in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()


def test_numbers_and_times_are_for_people() -> None:
    """Sizes have units, times are UTC to the second, one thing is singular."""
    assert [show_size(size) for size in (0, 1_023, 1_536, 5 << 20, 3 << 40)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 KiB",
        "5.0 MiB",
        "3.0 TiB",
    ]
    assert [show_time(time) for time in (None, 0, 1_714_521_600_999)] == ["", "", "2024-05-01 00:00:00Z"]
    assert [count_of(number, "file") for number in (0, 1, 1_000)] == ["0 files", "1 file", "1,000 files"]
