"""`tally engine show`: what is there of the distributed engine, and what checks signatures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.node.engine import engine_path
from tests.unit.cli.conftest import Tally


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user who has built nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def program(path: Path) -> Path:
    """Put a program somewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_nothing_is_installed(tally: Tally) -> None:
    """Both are told as they are, and what installs them is named."""
    shown = tally("engine", "show")
    assert "not installed" in shown.out
    assert "libsodium" in shown.out
    assert "tally engine install" == shown.next
    found = tally("engine", "show", "--json").json
    assert (None, None) == (found["path"], found["verifier"])


@pytest.mark.parametrize("with_verifier", [True, False])
def test_what_is_installed_is_named(tally: Tally, with_verifier: bool) -> None:
    """The engine, and the program that checks signatures where there is one: a user may have an engine alone."""
    engine = program(engine_path())
    verifier = program(engine.with_name("verifier_main")) if with_verifier else None
    found = tally("engine", "show", "--json").json
    assert (str(engine), verifier and str(verifier)) == (found["path"], found["verifier"])
    shown = tally("engine", "show").out
    assert str(engine) in shown
    assert (str(verifier) if verifier else "libsodium") in shown
