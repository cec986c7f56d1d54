"""What the demo prints: scenes with what happened in them, as it happens; or one JSON document in the end."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from tallystick.cli.screen import clean

WIDTH = 100
_INDENT = "     "
_SECONDS_WIDTH = 8


@dataclass
class Scene:
    """A part of the demo.

    Attributes:
        name: stable, for scripts.
        title: for people.
        seconds: that it took.
        facts: what came of it, plain JSON values.
        held: whether all of it held.
    """

    name: str
    title: str
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    held: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"name": self.name, "seconds": round(self.seconds, 3), "held": self.held, "facts": self.facts}


class Teller:
    """Tells the scenes to whoever watches.

    Attributes:
        scenes: told so far.
    """

    def __init__(self, as_json: bool, stream: TextIO | None = None) -> None:
        """Prepare.

        Args:
            as_json: print nothing but a document in the end.
            stream: where to; standard output by default.
        """
        self.as_json = as_json
        self._stream = sys.stdout if stream is None else stream
        self._coloured = self._stream.isatty() and "NO_COLOR" not in os.environ
        self._unicode = (self._stream.encoding or "").lower().replace("-", "") == "utf8"
        self._began = self._last = time.monotonic()
        self.scenes: list[Scene] = []

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._began

    @contextmanager
    def scene(self, name: str, title: str) -> Iterator[Scene]:
        """Tell a scene: its title now, its time when it is over."""
        scene = Scene(name, title)
        self.scenes.append(scene)
        began = self._last = time.monotonic()
        self.blank()
        self._print(self._bold(f"{len(self.scenes):>3}  {title}"))
        try:
            yield scene
            scene.held = True
        finally:
            scene.seconds = time.monotonic() - began

    def done(self, text: str) -> None:
        """Tell what has just happened and holds, with the time since the line before."""
        now = time.monotonic()
        took, self._last = f"{now - self._last:.1f} s", now
        mark = "✓ " if self._unicode else "* "
        lines = _wrap(text, WIDTH - len(_INDENT) - len(mark) - _SECONDS_WIDTH)
        for number, line in enumerate(lines):
            start = _INDENT + (self._green(mark) if number == 0 else "  ")
            if number == len(lines) - 1:
                room = WIDTH - len(_INDENT) - len(mark) - len(line)
                self._print(f"{start}{line}{self._dim(took.rjust(room))}")
            else:
                self._print(start + line)

    def note(self, text: str) -> None:
        """Tell what explains a line, or what somebody said."""
        for line in _wrap(text, WIDTH - len(_INDENT) - 2):
            self._print(f"{_INDENT}  {line}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show the beginning of a table."""
        cells = [[clean(cell) for cell in row] for row in (columns, *rows)]
        widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
        for number, row in enumerate(cells):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            shown = f"{_INDENT}    {line}"[:WIDTH]
            self._print(self._dim(shown) if number == 0 else shown)

    def heading(self, text: str) -> None:
        """Print a line that begins a part."""
        self.blank()
        self._print(self._bold(text))

    def text(self, text: str) -> None:
        """Print a paragraph."""
        for line in _wrap(text, WIDTH):
            self._print(line)

    def command(self, command: str) -> None:
        """Show a command to type, whole: it is not cut into lines."""
        self._print(f"  {clean(command)}")

    def blank(self) -> None:
        """Print an empty line."""
        self._print("")

    def document(self, **values: Any) -> None:
        """Print the one document of `--json`."""
        if self.as_json:
            scenes = [scene.to_json() for scene in self.scenes]
            document = {**values, "seconds": round(self.seconds, 3), "scenes": scenes}
            print(json.dumps(document, indent=2, ensure_ascii=not self._unicode), file=self._stream, flush=True)

    def _print(self, line: str) -> None:
        if not self.as_json:
            data = line if self._unicode else line.encode("ascii", "replace").decode("ascii")
            print(data, file=self._stream, flush=True)

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._coloured else text

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._coloured else text

    def _green(self, text: str) -> str:
        return f"\x1b[32m{text}\x1b[0m" if self._coloured else text


def _wrap(text: str, width: int) -> list[str]:
    """Return a text in lines; ids and paths are not cut at their hyphens."""
    return textwrap.wrap(clean(text), width, break_on_hyphens=False)
