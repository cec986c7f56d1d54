"""Several processes write one log: each event goes out whole, in one piece, so that no two lines run together."""

import json
import socket
import subprocess
import sys

import pytest

STRUCTURED = """
import structlog
from tallystick.node.config import LogSection
from tallystick.node.logs import set_up_logs
set_up_logs(LogSection(format="{form}"))
log = structlog.get_logger("one")
"""
PLAIN = """
from tallystick.node.plain_log import JsonLog
log = JsonLog()
"""
EVENTS = """
log.error("engine_stalled", message="m" * 300, remedy="r")
try:
    1 / 0
except ZeroDivisionError as error:
    log.error("request_failed", exc_info=error)
log.info("large", value="v" * 20_000)
"""


def pieces_of(code):
    """Return what a process writes to its standard error, each piece as it was written."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        subprocess.run([sys.executable, "-c", code], stderr=theirs.fileno(), check=True, timeout=60)
        theirs.close()
        found = []
        while piece := ours.recv(1 << 20):
            found.append(piece.decode())
        return found


@pytest.mark.parametrize("log", [STRUCTURED.format(form="json"), PLAIN])
def test_each_event_is_written_in_one_piece(log):
    """A line and its end are one piece, whatever is in it."""
    pieces = pieces_of(log + EVENTS)
    assert [True] * 3 == [piece.endswith("\n") and piece.count("\n") == 1 for piece in pieces]
    assert ["engine_stalled", "request_failed", "large"] == [json.loads(piece)["event"] for piece in pieces]


def test_each_event_for_people_is_written_in_one_piece():
    """So is one with its trace, which has several lines."""
    pieces = pieces_of(STRUCTURED.format(form="text") + EVENTS)
    assert 3 == len(pieces)
    assert all(piece.endswith("\n") for piece in pieces)
    assert "ZeroDivisionError" in pieces[1]
