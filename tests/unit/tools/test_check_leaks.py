"""The leak check finds hosts, indexes, private paths and keys, and nothing in ordinary text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_leaks import check_files, check_text
from tools.tracked import ROOT, project_files


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("the host of a package registry", "see https://" + "py" + "pi.org/project/x"),
        ("the host of a package registry", "https://registry." + "npmjs.org/x.tgz"),
        ("the host of a package registry", "GOPROXY=https://proxy." + "golang.org"),
        ("a package index", "--index" + "-url https://example.org/simple"),
        ("a package index", "find" + "-links = /wheels"),
        ("a path of a private machine", "cd /" + "work/tallystick"),
        ("a path of a private machine", 'x = "/home/' + 'ada/x"'),
        ("a private key", "-----BEGIN " + "PRIVATE KEY-----"),
        ("a private key", "-----BEGIN EC " + "PRIVATE KEY-----"),
    ],
)
def test_leak_is_named_with_its_line(what: str, line: str) -> None:
    """Each kind of leak is found where it stands."""
    assert [f"a.txt:2: names {what}"] == [str(leak) for leak in check_text(f"fine\n{line}\n", "a.txt")]


@pytest.mark.parametrize(
    "line",
    [
        "msgspec==0.21.0 \\",
        "github.com/transparency-dev/tessera/cmd/fsck",
        "https://example.org/" + "work/",
        "x/homework/",
    ],
)
def test_ordinary_text_passes(line: str) -> None:
    """Names, versions, hashes, repositories and other sites are no leaks."""
    assert [] == check_text(line, "a.txt")


def test_binary_files_are_passed_over(tmp_path: Path) -> None:
    """A file that is not text is not read as text."""
    (tmp_path / "a.bin").write_bytes(b"\0/work" + b"/")
    (tmp_path / "b.bin").write_bytes(b"\xff/work" + b"/")

    assert [] == check_files(sorted(tmp_path.iterdir()), tmp_path)


def test_project_has_no_leak() -> None:
    """The tree as it stands is clean."""
    assert [] == check_files(project_files(), ROOT)


def test_files_are_found_without_git(tmp_path: Path) -> None:
    """In an unpacked archive, all files count but those that tools leave behind."""
    for name in ("a.py", "docs/b.md", ".venv/c.py", "x/__pycache__/d.pyc", ".mypy_cache/e.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    assert [tmp_path / "a.py", tmp_path / "docs/b.md"] == project_files(tmp_path)
