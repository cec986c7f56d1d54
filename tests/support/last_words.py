"""What nodes wrote last, for the report of a test that failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LINES = 60
_BYTES = 64 << 10


def last_words(folder: Path, *, since: float) -> list[tuple[str, str]]:
    """Return the last lines of each log under a folder, each with where it lies; of those that grew since a time.

    Args:
        folder: searched with all that is below it.
        since: seconds since 1970.
    """
    return [(f"last lines of {path}", _end_of(path)) for path in sorted(_logs(folder, since))]


def _logs(folder: Path, since: float) -> Iterator[Path]:
    for path in folder.rglob("*.log"):
        try:
            # A number is the name of an engine's own files.
            if not path.stem.isdigit() and path.is_file() and path.stat().st_mtime >= since:
                yield path
        except OSError:
            # A test's own folder may be gone, or closed to everybody, by now.
            continue


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-LINES:])
