"""A missing component fails the test that needs it, unless it is left out by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import components
from tests.support.components import COMPONENTS, Component, left_out, require
from tools.tracked import ROOT


@pytest.fixture
def _missing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"abacus": Component(lambda: None, "sudo apt-get install abacus"), "python": COMPONENTS["git"]}
    table["python"] = Component(lambda: Path(sys.executable), "-")
    monkeypatch.setattr(components, "COMPONENTS", table)


@pytest.mark.usefixtures("_missing")
def test_missing_component_fails_and_names_the_command() -> None:
    """The failure says what to type."""
    with pytest.raises(pytest.fail.Exception, match="type: sudo apt-get install abacus"):
        require("abacus")


@pytest.mark.usefixtures("_missing")
def test_component_left_out_by_name_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Naming it in the environment skips instead."""
    monkeypatch.setenv(components.VARIABLE, "python, abacus")

    with pytest.raises(pytest.skip.Exception):
        require("abacus")


@pytest.mark.usefixtures("_missing")
def test_present_component_is_returned() -> None:
    """A component that is there is given by its path."""
    assert Path(sys.executable) == require("python")


def test_unknown_name_is_refused() -> None:
    """A misspelt name leaves nothing out by accident."""
    with pytest.raises(ValueError, match="names gti"):
        left_out({components.VARIABLE: "git,gti"})


def test_log_checker_version_is_the_one_that_is_built() -> None:
    """Set-up builds the very version that tests look for."""
    setup = (ROOT / "tools" / "setup.sh").read_text()

    assert f"/cmd/fsck@{components.TESSERA_VERSION}\n" in setup
