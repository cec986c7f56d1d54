"""What the nodes of a local network wrote, as one stream: every node's own log, its engine's lines in it, by time."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from tallystick.node.network import members

_decoder = msgspec.json.Decoder(dict[str, object])


class LogLine(NamedTuple):
    """A line of a node's log, and whose node it is."""

    organisation: str
    line: str


class LogFiles:
    """The logs of a network's nodes, read on as they grow."""

    def __init__(self, directory: Path) -> None:
        """Find them.

        Raises:
            UsageError: there is no network.
        """
        self._paths = {
            member.organisation: directory / "logs" / f"{member.home.name}.log" for member in members(directory)
        }
        self._places = dict.fromkeys(self._paths, 0)

    def newest(self, count: int) -> list[LogLine]:
        """Return the newest lines of each node, in the order of their times; `more` goes on behind them."""
        return _by_time({organisation: lines[-count:] for organisation, lines in self._read().items()})

    def more(self) -> list[LogLine]:
        """Return the whole lines that were written since the last call."""
        return _by_time(self._read())

    def _read(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for organisation, path in self._paths.items():
            # A node that was never started has written nothing.
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(self._places[organisation])
                data = file.read()
                whole = data[: data.rfind(b"\n") + 1]
                self._places[organisation] += len(whole)
                found[organisation] = whole.decode("utf-8", "replace").splitlines()
        return found


def _by_time(found: dict[str, list[str]]) -> list[LogLine]:
    """Return lines of several nodes by their times; one without a time stays behind the line before it."""
    timed: list[tuple[str, LogLine]] = []
    for organisation, lines in found.items():
        latest = ""
        for line in lines:
            latest = max(latest, _time_of(line))
            timed.append((latest, LogLine(organisation, line)))
    return [line for _, line in sorted(timed, key=lambda item: item[0])]


def _time_of(line: str) -> str:
    try:
        return str(_decoder.decode(line).get("timestamp", ""))
    except msgspec.DecodeError:
        return ""
