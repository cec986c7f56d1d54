"""Making a node ready to validate: the engine's keys, what it announces, and its role in `tally.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tallystick.codec import MalformedError
from tallystick.codec.cards import check_address
from tallystick.errors import AccessError, ConfigurationError, RejectedError, StorageError, UsageError
from tallystick.modules.organisations.possession import consensus_possession_message
from tallystick.node.config import FILE_NAME, load_settings
from tallystick.node.engine_home import (
    has_engine_keys,
    make_engine_keys,
    read_engine_keys,
    sign_with_consensus_key,
    signed_height,
)
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home


class Announcement(NamedTuple):
    """What an organisation says of its engine on the ledger; all in hex but the address."""

    consensus: str
    node: str
    address: str
    proof: str


def prepare_announcement(home: Home, address: str) -> Announcement:
    """Make the engine's keys if there are none, and return what is to be announced.

    Args:
        home: of a node whose organisation is to validate.
        address: `host:port` where the other validators' engines reach this one's.

    Raises:
        UsageError: the address is not of its form.
        StorageError: the keys cannot be made or read, or nobody knows what they signed last.
    """
    try:
        check_address(address)
    except MalformedError:
        address = ""
    if not address:
        raise UsageError("where the engine is reached is host:port", remedy="Such as node.hospital.example:26656.")
    if not has_engine_keys(home.keys_path):
        make_engine_keys(home.keys_path)
    if signed_height(home.keys_path) is None:
        raise StorageError(
            "it is not known what this engine's key signed last: going on could sign twice",
            remedy="Type: tally node repair   (it makes a new key)",
        )
    identity = read_engine_keys(home.keys_path)
    consensus = identity.consensus.hex()
    message = consensus_possession_message(home.read_trust().chain, home.settings.node.organisation, consensus)
    proof = sign_with_consensus_key(home.keys_path, message)
    return Announcement(consensus, identity.node, address, proof.hex())


@contextmanager
def set_up_role(home: Home, listen: str) -> Iterator[None]:
    """Write into `tally.toml` that this node validates, unless it orders; all else in the file stays as it is.

    A node that runs looks at it when the ledger says something new of engines, so it is there before this node's engine
    is announced, inside. What the ledger refuses leaves the file as it was.

    Args:
        home: the node's.
        listen: `host:port` where its engine listens.

    Raises:
        StorageError: the file cannot be written.
    """
    before = (home.path / FILE_NAME).read_bytes()
    changes = [("engine", "listen", listen)]
    if home.settings.node.role == "replica":
        changes.append(("node", "role", "validator"))
    change_settings(home.path, changes)
    try:
        yield
    except (RejectedError, AccessError):
        write_atomically(home.path / FILE_NAME, before)
        raise


def change_settings(home: Path, changes: list[tuple[str, str, str]]) -> None:
    """Change values in `tally.toml`, and nothing else in it.

    Args:
        home: the node's.
        changes: (section, key, text).

    Raises:
        ConfigurationError: the file is of a form in which the value cannot be found; nothing was changed.
        StorageError: it cannot be written.
    """
    path = home / FILE_NAME
    before = path.read_text(encoding="utf-8")
    text = before
    for section, key, value in changes:
        text = _with_value(text, section, key, value)
    write_atomically(path, text.encode())
    try:
        # A value that is there in another form than was looked for is there twice now: that is no TOML.
        tomllib.loads(text)
        settings = load_settings(home, {})
        changed = all(getattr(getattr(settings, section), key) == value for section, key, value in changes)
    except tomllib.TOMLDecodeError:
        changed = False
    except ConfigurationError:
        write_atomically(path, before.encode())
        raise
    if not changed:
        write_atomically(path, before.encode())
        raise ConfigurationError(
            f"{path} is of a form that is not changed by this program",
            remedy="Write into it: " + ", ".join(f'[{section}] {key} = "{value}"' for section, key, value in changes),
        )


def _with_value(text: str, section: str, key: str, value: str) -> str:
    """Return TOML text with another value, in the place of the one before or at the end of its section."""
    lines = text.splitlines()
    header = re.compile(rf"\s*\[\s*{section}\s*\]\s*(#.*)?$")
    start = next((at for at, line in enumerate(lines) if header.match(line)), None)
    new = f'{key} = "{value}"'
    if start is None:
        return "\n".join([*lines, "", f"[{section}]", new]) + "\n"
    end = next((at for at in range(start + 1, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
    found = next((at for at in range(start + 1, end) if re.match(rf"\s*{key}\s*=", lines[at])), None)
    if found is not None:
        lines[found] = new
    else:
        while end > start + 1 and not lines[end - 1].strip():
            end -= 1
        lines.insert(end, new)
    return "\n".join(lines) + "\n"
