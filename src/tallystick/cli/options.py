"""Options that many commands share, and what they lead to."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from tallystick.errors import UsageError

if TYPE_CHECKING:
    from tallystick.sdk import Zone

HomeOption = Annotated[Path, typer.Option("--home", envvar="TALLY_HOME", help="The node's home.", show_envvar=True)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="A file with the passphrase, readable by its owner alone. Otherwise TALLY_PASSPHRASE, "
        "TALLY_PASSPHRASE_FILE, the systemd credential tally-passphrase, or a question.",
    ),
]
HOME = Path("tally-home")
MAX_READ_BYTES = 16 << 20


def is_remote(home: Path) -> bool:
    """Tell whether commands speak to a node elsewhere: `TALLY_URL` names one, and no home was named.

    A home that was named, by `--home` or `TALLY_HOME`, goes before `TALLY_URL`.
    """
    return home == HOME and bool(os.environ.get("TALLY_URL"))


def client(home: Path) -> Zone:
    """Return a client of the running node: that of a home on this machine, or the one that `TALLY_URL` names.

    Raises:
        NodeError: no such node runs, or nothing says what of it to trust.
    """
    from tallystick import sdk

    if is_remote(home):
        trust, fingerprint = os.environ.get("TALLY_ZONE"), os.environ.get("TALLY_FINGERPRINT")
        if not trust and not fingerprint:
            raise UsageError(
                "TALLY_URL names a node, and nothing says which zone it must show",
                remedy="Set TALLY_ZONE to the path of the zone.json that you trust, or TALLY_FINGERPRINT to its fingerprint.",
            )
        memory = _memory_path(os.environ["TALLY_URL"], trust or fingerprint or "")
        return sdk.connect(trust=trust or None, fingerprint=fingerprint or None, memory=memory)
    return sdk.connect(home=home)


def _memory_path(url: str, trusted: str) -> Path | None:
    """Return the file in which commands remember the history of a node elsewhere, so that a later one notices another.

    None where there is no place for it: what one command sees is then held together by that command alone.
    """
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    folder = Path(base) / "tallystick" / "seen"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    from hashlib import sha256

    return folder / f"{sha256(f'{url} {trusted}'.encode()).hexdigest()[:16]}.json"


def at(home: Path) -> str:
    """Return ` --home DIR` for a command to type next; nothing where that is understood anyway."""
    if home == Path(os.environ.get("TALLY_HOME") or HOME):
        return ""
    return f" --home {shlex.quote(str(home))}"


def read_file(path: Path, what: str) -> bytes:
    """Return the bytes of a file that somebody named.

    Args:
        path: of the file.
        what: it should be, for the message.

    Raises:
        UsageError: it cannot be read, or is far too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_READ_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path}: {what} cannot be read: {error.strerror}", remedy="Check the path and its permissions."
        ) from None
    if len(data) > MAX_READ_BYTES:
        raise UsageError(f"{path} is too large for {what}", remedy="Name another file.")
    return data


@contextmanager
def new_file(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Open a file that must not be there yet; it goes away again where writing it fails.

    Raises:
        UsageError: it is there, or cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise UsageError(f"{path} is there already", remedy="Name another file with --out, or remove it.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", remedy="Name another place: --out.") from None
    try:
        with open(descriptor, "wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def read_terms(text: str) -> str | dict[str, Any]:
    """Return terms as they were given: the name of a preset, or the policy in a JSON file.

    Raises:
        UsageError: a file that is no JSON object.
    """
    path = Path(text)
    if "/" not in text and not text.endswith(".json") and not path.is_file():
        return text
    import json

    try:
        policy = json.loads(read_file(path, "the file with the terms"))
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}", remedy="Correct it, or name a preset.") from None
    if not isinstance(policy, dict):
        raise UsageError(
            f"{path} is not an ODRL policy", remedy="It is a JSON object; `tally dataset show` prints one."
        )
    return policy


def full_name(zone: Zone, dataset: str) -> str:
    """Return a dataset's whole name; one without an organisation is one's own."""
    return dataset if "/" in dataset else f"{zone.organisation}/{dataset}"


def trust_path(zone: Path | None, home: Path) -> Path:
    """Return the trust file to verify with: the one that was named, or that of the home.

    Raises:
        UsageError: there is neither.
    """
    if zone is not None:
        return zone
    if (home / "zone.json").is_file():
        return home / "zone.json"
    raise UsageError("nothing says which zone to trust", remedy="Name its trust file: --zone zone.json")
