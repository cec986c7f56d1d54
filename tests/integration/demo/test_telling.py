"""What the demo prints, and how it ends when something does not hold."""

from __future__ import annotations

import io
import json

import pytest

from tallystick.cli.demo import play as playing
from tallystick.cli.demo.stage import Stage, expect, refusal, wait_for
from tallystick.cli.demo.telling import WIDTH, Teller
from tallystick.errors import IntegrityError, PeerError, UsageError

HOSTILE = "fine\x1b[31m\u202e\nprint " + "a-long-name/of-a-dataset " * 12


class Terminal(io.StringIO):
    """A terminal that speaks an encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._speaks = encoding

    @property
    def encoding(self) -> str:
        """What it speaks."""
        return self._speaks


def tell(encoding: str) -> str:
    """Return what is printed of a story with hostile text in it."""
    stream = Terminal(encoding)
    teller = Teller(as_json=False, stream=stream)
    with teller.scene("first", "A scene"):
        teller.done(HOSTILE)
        teller.note(HOSTILE)
        teller.table(("name", HOSTILE), [("x", HOSTILE)])
    teller.text(HOSTILE)
    return stream.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_lines_fit_and_hold_no_control_characters(encoding):
    """Whatever is told, no line is wider than 100 columns, and nothing can move the cursor."""
    told = tell(encoding)
    assert all(len(line) <= WIDTH for line in told.splitlines())
    assert not {"\x1b", "\u202e"} & set(told)
    assert told.encode(encoding).decode(encoding) == told


def test_json_tells_nothing_but_one_document():
    """With `--json` the story is not printed; the document has the scenes and says which one did not hold."""
    stream = Terminal("utf-8")
    teller = Teller(as_json=True, stream=stream)
    with teller.scene("good", "Good") as scene:
        teller.done("said")
        scene.facts["n"] = 1
    with pytest.raises(IntegrityError), teller.scene("bad", "Bad"):
        expect(False, "the sky is green")
    teller.document(ok=False)
    document = json.loads(stream.getvalue())
    assert [("good", True, {"n": 1}), ("bad", False, {})] == [
        (scene["name"], scene["held"], scene["facts"]) for scene in document["scenes"]
    ]


def test_what_does_not_hold_ends_the_demo_with_1(tmp_path, monkeypatch, capsys):
    """A claim that turns out wrong ends the demo with its scene, a remedy and exit code 1."""

    def perform(stage: Stage, teller: Teller) -> None:
        with teller.scene("claim", "A claim"):
            refusal(UsageError, lambda: None, "nothing at all")

    monkeypatch.setattr(playing, "_perform", perform)
    assert 1 == playing.play(tmp_path / "d", serve=False, as_json=True)
    told = capsys.readouterr()
    assert "error: in scene 1 (claim): this was to be refused: nothing at all — " in told.err
    assert (False, "claim") == (json.loads(told.out)["ok"], json.loads(told.out)["scenes"][0]["name"])


def test_waiting_in_vain_names_what_for():
    """What does not come true in time is trouble with a node: it names what was waited for."""
    with pytest.raises(PeerError, match="until pigs fly"):
        wait_for(lambda: False, "pigs fly", seconds=0.05)
