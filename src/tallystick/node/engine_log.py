"""The engine's log as part of the node's: one stream, one form, and none of the engine's last words lost.

The engine writes JSON lines, and where it crashes a trace that is none. The supervisor reads both to the end, also when
the engine is dead already: a line is an event of the node's own log, with `source="engine"`; lines that are no JSON
belong together and become one event. What it says again and again is counted instead of written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

import msgspec

from tallystick.node.plain_log import Log

MOST_ALIKE = 5
WINDOW_SECONDS = 10.0
# Of one field, and of what a crash leaves: its first words say why, its last ones where.
_FIELD_CHARACTERS = 500
_WORDS_BYTES = 8 << 10
_LINE_BYTES = 64 << 10
_MOST_KINDS = 256
_LEVELS = {"debug": "debug", "info": "info", "warn": "warning", "warning": "warning", "error": "error"}
_decoder = msgspec.json.Decoder(dict[str, Any])

Emit = Callable[[str, str, dict[str, Any]], None]


class Line(NamedTuple):
    """One line of the engine, as an event of the node's log.

    Attributes:
        level: debug, info, warning or error.
        event: what happened, the engine's own constant words.
        fields: the rest, `source` and the engine's time among them.
    """

    level: str
    event: str
    fields: dict[str, Any]


def translate(line: bytes) -> Line | None:
    """Return what a JSON line of the engine says, or None where it is none."""
    try:
        said = _decoder.decode(line)
    except msgspec.DecodeError:
        return None
    words = said.pop("_msg", None)
    if not isinstance(words, str):
        return None
    level = _LEVELS.get(str(said.pop("level", "")), "info")
    fields: dict[str, Any] = {"source": "engine"}
    time = said.pop("ts", None)
    if isinstance(time, str):
        fields["timestamp"] = time
    for name, value in said.items():
        # These names are the log's own; a field of the engine must not take their place.
        free = f"engine_{name}" if name in ("event", "level", "timestamp", "source", "exc_info") else name
        fields[free] = value if isinstance(value, (int, float, bool)) else _short(value)
    return Line(level, words.strip() or "engine_said", fields)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _FIELD_CHARACTERS else text[:_FIELD_CHARACTERS] + "…"


def into(log: Log) -> Emit:
    """Return what writes events to a log."""
    return lambda level, event, fields: getattr(log, level)(event, **fields)


class Repeats:
    """Lets the first few of equal events through, and counts the others until their time is over."""

    def __init__(self, emit: Emit, clock: Callable[[], float]) -> None:
        """Prepare.

        Args:
            emit: writes an event.
            clock: seconds, never going back.
        """
        self._emit = emit
        self._clock = clock
        self._open: dict[tuple[str, str, str], list[Any]] = {}

    def take(self, line: Line) -> None:
        """Write an event, or count it."""
        now = self._clock()
        self.expire(now)
        kind = (line.level, line.event, str(line.fields.get("module", "")))
        known = self._open.get(kind)
        if known is None:
            if len(self._open) >= _MOST_KINDS:
                self.flush()
            known = self._open[kind] = [now, 0, line]
        known[1] += 1
        known[2] = line
        if known[1] <= MOST_ALIKE:
            self._emit(line.level, line.event, line.fields)

    def expire(self, now: float) -> None:
        """Say how often what was held back was said, where its time is over."""
        for kind in [kind for kind, (began, _, _) in self._open.items() if now - began >= WINDOW_SECONDS]:
            self._close(kind)

    def flush(self) -> None:
        """Say it of all."""
        for kind in tuple(self._open):
            self._close(kind)

    def _close(self, kind: tuple[str, str, str]) -> None:
        _, count, line = self._open.pop(kind)
        if count > MOST_ALIKE:
            self._emit(line.level, line.event, {**line.fields, "repeated": count - MOST_ALIKE})


class EngineLog:
    """Turns what one run of the engine writes into events, in order."""

    def __init__(self, clock: Callable[[], float], *, emit: Emit) -> None:
        """Prepare.

        Args:
            clock: seconds, never going back.
            emit: writes an event.
        """
        self._emit = emit
        self._repeats = Repeats(emit, clock)
        self._words = bytearray()
        self._cut = 0

    def line(self, raw: bytes) -> None:
        """Take a line without its end."""
        found = translate(raw)
        if found is None:
            self._keep(raw)
            return
        self._say_words()
        self._repeats.take(found)

    def end(self) -> None:
        """Write what is left: the engine has closed its output."""
        self._say_words()
        self._repeats.flush()

    def _keep(self, raw: bytes) -> None:
        """Keep a line that is no JSON; what is too much is cut out of the middle."""
        self._words += raw + b"\n"
        if len(self._words) > 2 * _WORDS_BYTES:
            more = len(self._words) - 2 * _WORDS_BYTES
            del self._words[_WORDS_BYTES : _WORDS_BYTES + more]
            self._cut += more

    def _say_words(self) -> None:
        text = self._words.decode("utf-8", "replace").strip()
        if text:
            fields: Mapping[str, Any] = {"cut_bytes": self._cut} if self._cut else {}
            self._emit("error", "engine_said", {"source": "engine", "words": text, **fields})
        self._words.clear()
        self._cut = 0


def follow(output: IO[bytes], into: EngineLog) -> threading.Thread:
    """Read an engine's output to its end in a thread, so that the engine never waits for the log.

    The thread ends with the last process that has the output open; it is no reason for the node to go on running.
    """

    def read() -> None:
        with output:
            for raw in iter(lambda: output.readline(_LINE_BYTES), b""):
                into.line(raw.rstrip(b"\r\n"))
        into.end()

    thread = threading.Thread(target=read, name="engine-log", daemon=True)
    thread.start()
    return thread
