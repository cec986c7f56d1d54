"""What a node's home takes of its disk, and how much that grows a day.

The node keeps a sample an hour in `disk-samples.json`, a week of them, so that the growth is known also after a restart.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from tallystick.errors import StorageError
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home
from tallystick.views import DiskUse

log = structlog.get_logger("office")
FILE = "disk-samples.json"
SAMPLE_MS = 3_600_000
DAY_MS = 24 * SAMPLE_MS
# Over less than this, what was received once or cleared away would pass for a habit.
APART_MS = 3 * SAMPLE_MS
_MOST_SAMPLES = 7 * 24
_FRESH_SECONDS = 15.0

Sample = tuple[int, int]
"""Time in ms, and bytes that the home took then."""


def disk_use(home: Home) -> DiskUse:
    """Return what a home takes of its disk now, with the growth that its samples tell."""
    use = DiskUse(
        ledger=_size_of(*home.path.glob("ledger.db*")),
        log=_size_of(home.log_path),
        engine=_size_of(home.path / "engine"),
        office=_size_of(*home.path.glob("office.db*")),
        data=_size_of(home.inbox_path, home.outbox_path),
        free=shutil.disk_usage(home.path).free,
    )
    return msgspec.structs.replace(use, growth_a_day=growth_a_day(read_samples(home.path), use.used, _now_ms()))


def growth_a_day(samples: Sequence[Sample], used: int, now_ms: int) -> int | None:
    """Return by how many bytes a day a home grew lately, or None while that is not known.

    It is measured against the sample closest to a day ago, if that is old enough to say anything.
    """
    old = [sample for sample in samples if now_ms - sample[0] >= APART_MS]
    if not old:
        return None
    then, before = min(old, key=lambda sample: abs(now_ms - sample[0] - DAY_MS))
    return round((used - before) * DAY_MS / (now_ms - then))


def read_samples(home: Path) -> list[Sample]:
    """Return the samples of a home, oldest first; none where there are none that can be read."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=list[Sample])
    except (OSError, msgspec.DecodeError):
        return []


def add_sample(home: Path, used: int, now_ms: int) -> None:
    """Keep a sample, unless the last one is less than an hour old.

    Raises:
        StorageError: the disk refuses.
    """
    # One of the future was taken while the clock was wrong.
    samples = [sample for sample in read_samples(home) if sample[0] <= now_ms]
    if samples and now_ms - samples[-1][0] < SAMPLE_MS:
        return
    write_atomically(home / FILE, msgspec.json.encode([*samples, (now_ms, used)][-_MOST_SAMPLES:]))


class DiskWatch:
    """Looks at the disk for whoever asks, not more often than it pays, and takes the samples."""

    def __init__(self, home: Home, *, clock_ms: Callable[[], int]) -> None:
        """Prepare.

        Args:
            home: the node's.
            clock_ms: UTC time, ms.
        """
        self._home = home
        self._clock_ms = clock_ms
        self._seen: DiskUse | None = None
        self._seen_at = 0.0
        self._looking = asyncio.Lock()

    async def look(self) -> DiskUse:
        """Return what the home takes; some seconds old at most."""
        async with self._looking:
            if self._seen is None or time.monotonic() - self._seen_at > _FRESH_SECONDS:
                self._seen = await asyncio.to_thread(disk_use, self._home)
                self._seen_at = time.monotonic()
            return self._seen

    async def keep_samples(self) -> None:
        """Take a sample an hour, for ever."""
        while True:
            try:
                add_sample(self._home.path, (await self.look()).used, self._clock_ms())
            except StorageError as error:
                log.warning("disk_sample_not_kept", message=error.message, remedy=error.remedy)
            await asyncio.sleep(SAMPLE_MS / 1000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _size_of(*paths: Path) -> int:
    """Return the bytes of files and of all files in folders; what goes away meanwhile counts for nothing."""
    total = 0
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else (path,):
            with suppress(OSError):
                total += file.lstat().st_size if file.is_file() else 0
    return total
