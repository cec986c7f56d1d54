"""Commands run in this process, against a simulated zone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog

from tallystick.cli.main import run
from tests.unit.cli.simulated_zone import SimulatedZone


class Ran(NamedTuple):
    """What a command did.

    Attributes:
        code: exit code.
        out: standard output.
        err: standard error.
    """

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def next(self) -> str:
        """The command that it names at its end, or nothing."""
        last = self.out.splitlines()[-1] if self.out else ""
        return last.removeprefix("next: ") if last.startswith("next: ") else ""


Tally = Callable[..., Ran]


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimulatedZone:
    """The zone that commands are connected to, in an empty folder of their own."""
    simulated = SimulatedZone()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tallystick.sdk.connect", lambda *_, **__: simulated)
    return simulated


@pytest.fixture
def tally(capsys: pytest.CaptureFixture[str]) -> Iterator[Tally]:
    """Run a command; the log that it may set up goes to a stream of this test's own, and ends with it."""

    def type_(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run(list(arguments))
        out, err = capsys.readouterr()
        assert not re.search(r"Traceback|File \"", err)
        return Ran(code, out, err)

    yield type_
    structlog.reset_defaults()
