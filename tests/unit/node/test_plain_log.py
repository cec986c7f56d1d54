"""The supervisor's log: what it writes is what every other process of the node would have written."""

from __future__ import annotations

import io
import json
import re

import pytest
import structlog

from tallystick.node.config import LogSection
from tallystick.node.logs import set_up_logs
from tallystick.node.plain_log import JsonLog, Log, open_log

LEVELS = ("debug", "info", "warning", "error")


def say_everything(log: Log) -> None:
    """Write one event of each level, with values of all kinds."""
    log.debug("looked", after_seconds=0.5)
    log.info("child_started", child="core", pid=7, last_exit=None)
    log.warning("odd", path="å \u2028\n", places=[1, "two"], found={1: True})
    log.error("child_died", exit_code=-9, kind=ValueError)
    log.error("said", timestamp="2026-01-02T03:04:05Z", source="engine")


@pytest.mark.parametrize("level", LEVELS)
def test_lines_are_those_that_the_other_processes_write(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Same fields in the same order and form, same threshold, same kind of time."""
    section = LogSection(level=level, format="json")
    say_everything(open_log(section, "supervisor"))
    plain = capsys.readouterr().err
    try:
        set_up_logs(section)
        say_everything(structlog.get_logger("supervisor"))
        usual = capsys.readouterr().err
    finally:
        structlog.reset_defaults()
    time = r'"timestamp": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"'
    assert plain.count("\n") == {"debug": 5, "info": 4, "warning": 3, "error": 2}[level]
    assert re.sub(time, "TIME", usual) == re.sub(time, "TIME", plain)


def test_a_trace_has_no_values_of_variables() -> None:
    """What a developer needs is there; a key that some function held is not."""
    written = io.StringIO()
    secret = "-".join(["seven", "herons"])
    try:
        _fail(secret)
    except ValueError as error:
        JsonLog(stream=written).error("failed", exc_info=error)
    line = json.loads(written.getvalue())
    assert "ValueError: out of luck" in line["exception"]
    assert secret not in written.getvalue()


def _fail(secret: str) -> None:
    raise ValueError("out of luck" if secret else "")


def test_a_terminal_gets_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for text gets it in the form of the other processes."""
    try:
        open_log(LogSection(format="text"), "supervisor").info("child_started", child="core")
    finally:
        structlog.reset_defaults()
    assert re.search(r"child_started\s+child=core", capsys.readouterr().err)
