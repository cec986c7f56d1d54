"""What is said of a ledger file that cannot be used: a disk that refuses, damage, or a newer format; each its remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tallystick.codec import MalformedError
from tallystick.errors import StorageError
from tallystick.store.schema import FORMAT_VERSION

_CHECK = "`tally ledger check` names what is damaged"
# What helps against damage.
REPAIR = f"Stop the node and type: tally node repair   ({_CHECK}; without other members, restore a backup)"


class DamagedError(StorageError):
    """The file itself is not what was written: no room on the disk and no newer program makes it readable."""


def broken(path: Path, error: Exception) -> StorageError:
    """Return what to raise where a file cannot be read or written."""
    # SQLite calls a full or failing disk operational, as it does a file without tables, which is none of ours.
    disk = isinstance(error, sqlite3.OperationalError) and "no such" not in str(error) and "decode" not in str(error)
    if disk:
        remedy = f"Free disk space or restore the file, then start again; {_CHECK}."
        return StorageError(f"{path} cannot be used: {error}", remedy=remedy)
    return DamagedError(f"{path} cannot be used, it is damaged: {error}", remedy=REPAIR)


def missing(path: Path) -> StorageError:
    """Return what to raise where there is no file."""
    return StorageError(
        f"there is no ledger at {path}",
        remedy="Name the node's home with --home, or make a zone; if it was lost, type: tally node repair",
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say of what is none of ours, wherever it turns up while a file is opened, that the file is damaged.

    Raises:
        StorageError: SQLite, or the form of what it holds, does not let it be read.
    """
    try:
        yield
    except (sqlite3.Error, UnicodeError, MalformedError) as error:
        raise broken(path, error) from None


def read_meta(path: Path, meta: Mapping[str, object]) -> tuple[str, bytes]:
    """Return chain and genesis of a file of this program's format.

    Raises:
        DamagedError: no program wrote it.
        StorageError: a newer program did, or an older one and this file is opened for reading only.
    """
    found, chain, genesis = (meta.get(name) for name in ("format", "chain", "genesis"))
    if isinstance(found, str) and found.isascii() and found.isdecimal() and int(found) > FORMAT_VERSION:
        raise StorageError(
            f"{path} was written by a newer version of Tallystick: its format is {found}, this one reads {FORMAT_VERSION}",
            remedy="Use the version that wrote it, or a newer one. Do not repair it: it is not damaged.",
        )
    if found == "1":
        raise StorageError(
            f"{path} was written by an older version of Tallystick: its format is 1, this one reads {FORMAT_VERSION}",
            remedy="Start the node once, it converts the file: tally node run. It is not damaged.",
        )
    if found != str(FORMAT_VERSION) or not isinstance(chain, str) or not isinstance(genesis, str):
        raise broken(path, ValueError("its meta table is not what any version writes"))
    return chain, genesis.encode()
