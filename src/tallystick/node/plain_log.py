"""The supervisor's log: the lines that `logs` makes, without what making them any nicer takes.

A supervisor runs as long as its node and does next to nothing: what it has loaded is what it costs, in every copy of the
zone. structlog, with all that it loads, would be two thirds of that. It is loaded where a terminal reads the log.
"""

from __future__ import annotations

import json
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import IO, Any, Protocol

from tallystick.node.config import LogSection

_LEVELS = ("debug", "info", "warning", "error")


class Log(Protocol):
    """Takes events: constant names plus fields."""

    def debug(self, event: str, **fields: Any) -> None:
        """Take what only a developer looks for."""

    def info(self, event: str, **fields: Any) -> None:
        """Take what is as it should be."""

    def warning(self, event: str, **fields: Any) -> None:
        """Take what may become trouble."""

    def error(self, event: str, **fields: Any) -> None:
        """Take what somebody should look at."""


class JsonLog:
    """Writes each event as one line of JSON; what an event has of the names `level` and `timestamp` is kept."""

    def __init__(self, level: str = "info", stream: IO[str] | None = None) -> None:
        """Prepare.

        Args:
            level: least severe to be written.
            stream: where to; standard error by default.
        """
        self._least = _LEVELS.index(level)
        self._stream = sys.stderr if stream is None else stream
        self._one_at_a_time = threading.Lock()

    def debug(self, event: str, **fields: Any) -> None:
        """Write it where all is wanted."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Write it, unless only trouble is wanted."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Write it, unless only errors are wanted."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Write it; an `exc_info` becomes its trace, without the values of variables, which may be keys."""
        error = fields.pop("exc_info", None)
        if isinstance(error, BaseException):
            fields["exception"] = "".join(traceback.format_exception(error)).rstrip()
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if _LEVELS.index(level) < self._least:
            return
        line = {**fields, "event": event, "level": level}
        line.setdefault("timestamp", datetime.now(UTC).isoformat().replace("+00:00", "Z"))
        written = json.dumps(line, default=repr) + "\n"
        # Whoever reads the engine's log writes here too.
        with self._one_at_a_time:
            self._stream.write(written)
            self._stream.flush()


def open_log(section: LogSection, name: str) -> Log:
    """Return a log in the form that the configuration says.

    Args:
        section: of the configuration.
        name: whose log it is.
    """
    if section.format == "json" or (section.format == "auto" and not sys.stderr.isatty()):
        return JsonLog(section.level)
    import structlog

    from tallystick.node.logs import set_up_logs

    set_up_logs(section)
    log: Log = structlog.get_logger(name)
    return log
