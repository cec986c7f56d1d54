"""How what only the parties of something may read is shown, and where on the ledger something is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tallystick.cli.screen import SHORT_HASH, Screen

if TYPE_CHECKING:
    from tallystick.views import PrivateValues, Recorded

_WITHOUT_VALUES = {
    "waiting": "has not arrived here yet",
    "other": "only the parties can read it",
    "lost": "its values are lost here; ask the other party for them",
}


def show_private(screen: Screen, private: Iterable[PrivateValues]) -> None:
    """Print what was said between the parties, each with who said it."""
    for said in private:
        commitment = f"commitment {said.commitment[:SHORT_HASH]}"
        if said.status in ("own", "verified"):
            checked = "your own words" if said.status == "own" else "as committed to on the ledger"
            screen.line(f"{said.about} by {said.author} ({checked}, {commitment}):")
            for name, value in said.fields.items():
                for at, line in enumerate(value.splitlines() or [""]):
                    screen.line(f"  {name + ':' if at == 0 else ' ' * (len(name) + 1)} {line}")
        else:
            why = f"refused: {said.reason}" if said.status == "refused" else _WITHOUT_VALUES[said.status]
            screen.line(f"{said.about} by {said.author}: {why} ({commitment})")


def show_terms(screen: Screen, summary: Iterable[str]) -> None:
    """Print what terms say, a sentence a line."""
    screen.line("terms:")
    for sentence in summary:
        screen.line(f"  {sentence}")


def show_recorded(screen: Screen, recorded: Recorded | None) -> None:
    """Print where on the ledger an operation is, if it was just recorded."""
    if recorded is not None:
        screen.line(
            f"Recorded in block {recorded.height}, entry {recorded.leaf}, "
            f"transaction {recorded.transaction[:SHORT_HASH]}/{recorded.index}."
        )
