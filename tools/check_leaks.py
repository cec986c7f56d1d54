"""Refuse what ties the tree to one place: `python -m tools.check_leaks`.

Packages come by name through whatever the reader's own tools are set up to use, so no file, lock files included, names
a registry's host, an index or a resolved address; and no file names a path of a private machine. Each finding is
printed as `file:line: what`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools.tracked import ROOT, project_files

# Taken apart, so that this file passes its own check.
_HOSTS = (
    ("py", "pi.org"),
    ("pythonhosted", ".org"),
    ("registry.", "npmjs.org"),
    ("registry.", "yarnpkg.com"),
    ("proxy.", "golang.org"),
    ("sum.", "golang.org"),
    ("crates", ".io"),
    ("repo.maven", ".apache.org"),
    ("repo1.maven", ".org"),
    ("rubygems", ".org"),
    ("deb.", "debian.org"),
    ("security.", "debian.org"),
    ("archive.", "ubuntu.com"),
    ("ghcr", ".io"),
    ("docker", ".io"),
)
_PATTERNS = (
    ("the host of a package registry", "|".join(re.escape(a + b) for a, b in _HOSTS)),
    ("a package index", "-".join(("index", "url")) + "|" + "-".join(("find", "links")) + "|trusted" + "-host"),
    ("a resolved address in a lock file", r'"resolved"' + r"\s*:\s*" + r'"http'),
    ("a path of a private machine", r"(?<![\w.])/(?:work|home/[a-z]\w*|Users/[a-z]\w*|tmp/venv)/"),
    ("a private key", "-----BEGIN " + r"(?:[A-Z]+ )*PRIVATE " + "KEY-----"),
)
PATTERNS = tuple((what, re.compile(pattern, re.IGNORECASE)) for what, pattern in _PATTERNS)


@dataclass(frozen=True)
class Leak:
    """One line that names what it should not."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: names {self.what}"


def check_text(text: str, path: str) -> list[Leak]:
    """Return the leaks in a file's text."""
    return [
        Leak(path, number, what)
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in PATTERNS
        if pattern.search(line)
    ]


def check_files(files: Iterable[Path], root: Path) -> list[Leak]:
    """Return the leaks in files; those that are not UTF-8 text are passed over."""
    leaks: list[Leak] = []
    for file in files:
        content = file.read_bytes()
        if b"\0" in content:
            continue
        try:
            leaks += check_text(content.decode(), str(file.relative_to(root)))
        except UnicodeDecodeError:
            continue
    return leaks


def main() -> int:
    """Print the leaks of the project; return 1 if there are any."""
    files = project_files()
    leaks = check_files(files, ROOT)
    for leak in leaks:
        print(leak)
    print(f"leaks: {len(leaks)} lines" if leaks else f"leaks: none in {len(files)} files")
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
