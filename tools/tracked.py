"""The files that belong to the project."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Where there is no git to ask: what .gitignore leaves out, roughly.
_NOT_OURS = frozenset({".git", ".venv", "build", "dist", "__pycache__", "tally-home"})


def project_files(root: Path = ROOT) -> list[Path]:
    """Return all files that are tracked, or would be if added, in order of their paths.

    Without git, or in a folder that is no clone (an unpacked archive), all files but those that tools leave behind.
    """
    try:
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        found = [path for path in root.rglob("*") if not _is_left_behind(path.relative_to(root))]
    else:
        found = [root / name for name in listed.decode().split("\0") if name]
    return sorted(path for path in found if path.is_file())


def _is_left_behind(path: Path) -> bool:
    return any(part in _NOT_OURS or part.endswith(("_cache", ".egg-info")) for part in path.parts)
