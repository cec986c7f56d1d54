"""What commands print: text for people, aligned and cut to nothing, or one JSON document with `--json`."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

SHORT_HASH = 12
_SPACES = {ord(sign): " " for sign in "\n\r\t\u2028\u2029"}
# Control, direction and other invisible signs, lone surrogates, and separators of lines: what could move a cursor, turn
# text around or make two names look alike.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


class Word(NamedTuple):
    """A value that is shown in a colour where there are colours."""

    text: str
    colour: str


def clean(value: object) -> str:
    """Return a value as one line of text without control or direction characters."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(sign for sign in text.translate(_SPACES) if unicodedata.category(sign) not in _HIDDEN)


def width_of(text: str) -> int:
    """Return how many columns a clean text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def pad(text: str, width: int) -> str:
    """Return a text filled up to a width."""
    return text + " " * (width - width_of(text))


def show_time(time_ms: int | None) -> str:
    """Return a time to the second, UTC; nothing for none or 0."""
    from tallystick.codec.times import iso_time

    return iso_time(time_ms).split(".")[0].replace("T", " ") + "Z" if time_ms else ""


def show_size(size: int) -> str:
    """Return a number of bytes for people."""
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def count_of(number: int, what: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def plain(value: Any) -> Any:
    """Return a view, or anything made of views, as plain JSON values."""
    import msgspec

    return msgspec.to_builtins(value, enc_hook=str)


class Screen:
    """Where one command prints to; in JSON mode only `document` prints."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def document(self, value: Any) -> None:
        """Print the result as JSON, where that was asked for."""
        if self.as_json:
            _print(_visible(json.dumps(plain(value), indent=2, ensure_ascii=False)))

    def line(self, text: str = "") -> None:
        """Print a line for people."""
        if not self.as_json:
            _print(clean(text))

    def fields(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Print names and values; empty values are left out."""
        shown = [(name, value) for name, value in pairs if value not in ("", None)]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            if not self.as_json:
                _print(f"{name + ':':<{width + 1}} {_painted(value)}")

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        empty: str = "Nothing yet.",
        upper: bool = True,
    ) -> None:
        """Print a table: with rules on a terminal, plain aligned columns elsewhere.

        Args:
            columns: their names.
            rows: their values.
            empty: what to say where there are none.
            upper: show the names of columns in capitals where there are no rules; not those of somebody's data.
        """
        if self.as_json:
            return
        cells = list(rows)
        if not cells:
            _print(empty)
        elif sys.stdout.isatty():
            _print_rich(columns, cells)
        else:
            texts = [
                [clean(name.upper() if upper else name) for name in columns],
                *([clean(_text(cell)) for cell in row] for row in cells),
            ]
            widths = [max(width_of(row[at]) for row in texts) for at in range(len(columns))]
            for row in texts:
                _print("  ".join(pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def next(self, command: str) -> None:
        """Name what to type next."""
        if not self.as_json:
            _print(f"next: {clean(command)}")

    @contextmanager
    def progress(self, what: str) -> Iterator[Progress]:
        """Show a bar while long work runs, on a terminal only."""
        if self.as_json or not sys.stderr.isatty():
            yield Progress()
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(escape(clean(what)), total=None)
            yield _Bar(bars, task)


class Progress:
    """Takes `(done, total)` and shows nothing."""

    def __call__(self, done: int, total: int) -> None:
        """Tell how far the work is."""


class _Bar(Progress):
    def __init__(self, bars: Any, task: Any) -> None:
        self._bars = bars
        self._task = task

    def __call__(self, done: int, total: int) -> None:
        self._bars.update(self._task, completed=done, total=total or None)


def _text(value: object) -> str:
    return value.text if isinstance(value, Word) else str(value)


def _painted(value: object) -> str:
    """Return a value, clean, in its colour where standard output shows colours."""
    text = clean(_text(value))
    if isinstance(value, Word) and value.colour and sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        import typer

        return typer.style(text, fg=value.colour)
    return text


def _print(text: str) -> None:
    """Print a line, whatever the encoding of standard output."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "replace").decode(encoding))


def _visible(document: str) -> str:
    """Return a JSON text with what is invisible in it escaped: it is read on terminals too."""
    if document.isascii():
        return document.replace("\x7f", "\\u007f")
    unspeakable = not _speaks_unicode()
    return "".join(
        json.dumps(sign)[1:-1]
        if sign != "\n" and (unicodedata.category(sign) in _HIDDEN or (unspeakable and not sign.isascii()))
        else sign
        for sign in document
    ).replace("\x7f", "\\u007f")


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for at, name in enumerate(columns):
        # What comes first is what one types next: it is never broken.
        table.add_column(Text(clean(name)), overflow="fold", no_wrap=at == 0)
    for row in rows:
        table.add_row(*(Text(clean(_text(cell)), style=cell.colour if isinstance(cell, Word) else "") for cell in row))
    Console(highlight=False).print(table)
