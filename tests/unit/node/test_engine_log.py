"""The engine's log as part of the node's: mapped, bounded, and whole to the last word."""

from __future__ import annotations

import json
import os

from tallystick.node.engine_log import MOST_ALIKE, WINDOW_SECONDS, EngineLog, follow, into, translate
from tallystick.node.plain_log import JsonLog


class Heard:
    """Stands for the node's log, and for the clock."""

    def __init__(self):
        self.events = []
        self.now = 0.0
        self.log = EngineLog(lambda: self.now, emit=lambda *event: self.events.append(event))

    def say(self, words, level="error", **more):
        self.log.line(json.dumps({"_msg": words, "level": level, **more}).encode())


def test_a_line_of_the_engine_is_an_event_of_the_node():
    """Level, words and time are mapped; the rest are fields, and none takes the place of the log's own."""
    line = b'{"level":"warn","ts":"2026-01-02T03:04:05.000000006Z","_msg":"Stopping peer","module":"p2p","event":"x","n":3}'
    assert ("warning", "Stopping peer") == translate(line)[:2]
    assert {
        "source": "engine",
        "timestamp": "2026-01-02T03:04:05.000000006Z",
        "module": "p2p",
        "engine_event": "x",
        "n": 3,
    } == translate(line).fields
    assert translate(b"goroutine 1 [running]:") is None
    assert translate(b'{"no":"words"}') is None
    assert translate(b"[1]") is None


def test_long_fields_are_cut():
    """A field of the engine does not fill the disk."""
    line = json.dumps({"_msg": "m", "level": "info", "block": "b" * 10_000, "peers": [{"id": "p" * 10_000}]}).encode()
    fields = translate(line).fields
    assert 501 == len(fields["block"]) == len(fields["peers"])


def test_what_is_said_again_and_again_is_counted():
    """The first few of equal lines are written, then their number when their time is over; others go through."""
    heard = Heard()
    for _ in range(MOST_ALIKE + 40):
        heard.say("dial failed", module="p2p")
    heard.say("another", module="p2p")
    assert MOST_ALIKE + 1 == len(heard.events)
    heard.now = WINDOW_SECONDS
    heard.say("dial failed", module="p2p")
    assert [40] == [fields["repeated"] for _, _, fields in heard.events if "repeated" in fields]
    heard.log.end()
    assert ["dial failed"] * (MOST_ALIKE + 2) == [words for _, words, _ in heard.events if words != "another"]


def test_a_crash_is_one_event_with_its_first_and_last_words():
    """A trace keeps why and where, however long it is, and what came before it stays before it."""
    heard = Heard()
    heard.say("the last good line")
    heard.log.line(b"panic: the beginning")
    for _ in range(2_000):
        heard.log.line(b"\tsome/file.go:1 +0x1")
    heard.log.line(b"exit: the end")
    heard.log.end()
    assert ["the last good line", "engine_said"] == [words for _, words, _ in heard.events]
    level, _, fields = heard.events[1]
    assert ("error", "engine") == (level, fields["source"])
    assert fields["words"].startswith("panic: the beginning")
    assert fields["words"].endswith("exit: the end")
    assert len(fields["words"]) <= 16 << 10
    assert fields["cut_bytes"] > 0


def test_all_that_is_in_the_pipe_is_read_after_the_engine_is_gone():
    """The thread ends with the output, and not before everything in it was heard, half a line too."""
    heard = Heard()
    ear, mouth = os.pipe()
    os.write(mouth, b'{"_msg":"one","level":"info"}\n{"_msg":"two","level":"info"}\npanic: half a li')
    os.close(mouth)
    follow(os.fdopen(ear, "rb"), heard.log).join(30)
    assert ["one", "two", "engine_said"] == [words for _, words, _ in heard.events]
    assert "panic: half a li" == heard.events[2][2]["words"]


def test_the_engines_time_is_kept_in_the_nodes_log(capfd):
    """One stream, one form: a line of the engine has its own time and the names that all lines have."""
    log = EngineLog(lambda: 0.0, emit=into(JsonLog()))
    log.line(b'{"level":"error","ts":"2026-01-02T03:04:05Z","_msg":"CONSENSUS FAILURE!!!","module":"consensus"}')
    written = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert {
        "event": "CONSENSUS FAILURE!!!",
        "level": "error",
        "module": "consensus",
        "source": "engine",
        "timestamp": "2026-01-02T03:04:05Z",
    } == written
