"""What a person at this machine gives a node: a passphrase, from wherever they keep it."""

from __future__ import annotations

from pathlib import Path

from tallystick.keys import KeyInfo, OpenKeys, find_passphrase, fingerprint
from tallystick.node.homes import Home, open_keys

__all__ = ["KeyInfo", "OpenKeys", "ask_passphrase", "fingerprint", "new_passphrase", "unlock"]


def ask_passphrase(file: Path | None = None, *, purpose: str = "this node's keys") -> str:
    """Return a passphrase that exists: of a file, the environment, a systemd credential, or the terminal.

    Raises:
        AccessError: there is none.
    """
    return find_passphrase(file=file, purpose=purpose)


def new_passphrase(file: Path | None = None, *, purpose: str = "this node's keys") -> str:
    """Return a passphrase for something new; on a terminal it is asked for twice.

    Raises:
        AccessError: there is none.
        UsageError: it is too short, or typed differently twice.
    """
    return find_passphrase(file=file, creating=True, purpose=purpose)


def unlock(home: Home, file: Path | None = None) -> OpenKeys:
    """Return a home's keys, unlocked.

    Raises:
        AccessError: no passphrase, or a wrong one.
    """
    return open_keys(home, ask_passphrase(file))
