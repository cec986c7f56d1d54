"""Take the recovery key out of a node's home, into a file with a passphrase of its own.

    python examples/export_recovery_key.py HOME FILE

Asks for the passphrase of the node's keys, where TALLY_PASSPHRASE or TALLY_PASSPHRASE_FILE do not have it, and for one of
the file, which is made up now. The file is read back before the key leaves the home. Keep it, and its passphrase, apart
from the node and apart from each other.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from tallystick.errors import TallystickError
from tallystick.keys import KeyStore, find_passphrase


def main(home: Path, file: Path, passphrase: str) -> None:
    """Export the key, and keep only its public half in the home."""
    keys = KeyStore(home / "keys").unlock(find_passphrase())
    made = keys.export("recovery", file, passphrase, keep=False)
    print(f"{made.id} is in {file}, and no longer in {home}.")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), getpass.getpass("New passphrase for the file: "))
    except TallystickError as error:
        raise SystemExit(f"error: {error}. {getattr(error, 'remedy', '')}") from None
