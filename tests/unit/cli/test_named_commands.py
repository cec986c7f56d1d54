"""Commands that the project's texts and remedies name are commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.cli.test_main import COMMANDS
from tools.tracked import ROOT

NOUNS = {path.split()[0] for path in COMMANDS}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "src").rglob("*.md"))]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
NAMED = re.compile(r"\btally ([a-z]+) ([a-z][a-z-]*)")


@pytest.mark.parametrize("files", [PAGES, SOURCES], ids=["pages", "remedies"])
def test_named_commands_exist(files: list[Path]) -> None:
    """Whoever types what a page or an error tells them to type finds that command."""
    named = {
        (str(file.relative_to(ROOT)), f"{noun} {verb}")
        for file in files
        for noun, verb in NAMED.findall(file.read_text(encoding="utf-8"))
        if noun in NOUNS - {"demo"}
    }

    assert len(named) > 20
    assert sorted(each for each in named if each[1] not in COMMANDS) == []
