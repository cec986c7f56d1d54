"""The program as a whole: its names, its help, and how it fails."""

from __future__ import annotations

import errno
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tallystick.cli import main
from tallystick.codec.canonical import MalformedError
from tallystick.errors import (
    AccessError,
    ConfigurationError,
    IntegrityError,
    PeerError,
    RejectedError,
    StorageError,
    UsageError,
)
from tests.unit.cli.conftest import Tally
from tests.unit.cli.simulated_zone import SimulatedZone

FIXED_NAMES = """
demo
zone create, zone status, zone invite
node run, node status, node join, node backup, node restore
organisation admit, organisation list, organisation show
key create, key list, key rotate, key revoke
dataset offer, dataset find, dataset list, dataset show, dataset preview, dataset withdraw
request send, request list, request show, request approve, request counter, request reject, request cancel
agreement list, agreement show, agreement terminate
delivery fetch, delivery list, delivery dispute
evidence record, evidence verify, evidence list
receipt export, receipt verify
ledger check, ledger log, ledger show, ledger compare, ledger export
"""
# What does not print a result: one runs until it is stopped, the other writes JSON anyway.
WITHOUT_JSON = {"node run", "ledger export"}


def commands(command: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    command = command or typer.main.get_command(main.app)
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, each in below.items():
        yield from commands(each, f"{path} {name}".strip())


COMMANDS = dict(commands())


def test_every_fixed_name_is_there() -> None:
    """Scripts rely on these names."""
    fixed = [name.strip() for line in FIXED_NAMES.strip().splitlines() for name in line.split(",")]

    assert [name for name in fixed if name not in COMMANDS] == []


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself(path: str) -> None:
    """A command, and each of its arguments and options, has a sentence of help."""
    command = COMMANDS[path]

    assert command.help
    assert [each.name for each in command.params if not getattr(each, "help", None)] == []


@pytest.mark.parametrize("path", sorted(set(COMMANDS) - WITHOUT_JSON))
def test_every_command_that_prints_can_print_json(path: str) -> None:
    """There is a --json wherever there is a result."""
    assert "--json" in {option for each in COMMANDS[path].params for option in each.opts}


@pytest.mark.parametrize("path", ["", *COMMANDS])
def test_help_of_every_command_can_be_shown(path: str, tally: Tally) -> None:
    """--help exits 0 and names the command."""
    ran = tally(*path.split(), "--help")

    assert ran.code == 0
    assert f"Usage: tally {path}".strip() in ran.out


def test_a_list_of_commands_is_not_cut_short(tally: Tally) -> None:
    """In lists of commands each is described by a whole sentence."""
    nouns = sorted({path.split()[0] for path in COMMANDS} - {"demo"})

    for noun in ["", *nouns]:
        lines = tally(*noun.split(), "--help").out.splitlines()[1:]
        assert [line for line in lines if line.endswith("...")] == []


def test_help_imports_nothing_heavy() -> None:
    """`tally --help` answers at once: the client, the node and their libraries are not loaded for it."""
    heavy = ("httpx", "rich.console", "aiohttp", "fastapi", "cryptography", "nacl", "sqlite3", "asyncio", "msgspec")
    rooms = ("sdk", "node", "fsck", "modules", "machine", "codec", "views")
    script = (
        "import sys; from tallystick.cli.main import run; run(['--help']);"
        f"print([name for name in {(*heavy, *(f'tallystick.{room}' for room in rooms))} if name in sys.modules])"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert shown.stdout.splitlines()[-1] == "[]"


def test_version_is_shown(tally: Tally) -> None:
    """--version prints the version alone."""
    from tallystick import __version__

    assert tally("--version") == (0, f"tally {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-such",),
        ("nonsense",),
        ("dataset", "lst"),
        ("dataset", "show"),
        ("request", "reject", "req-0001"),
        ("ledger", "log", "--limit", "many"),
        ("ledger", "log", "--limit", "0"),
    ],
)
def test_bad_usage_is_told_in_one_line(arguments: tuple[str, ...], tally: Tally) -> None:
    """What cannot be understood exits 2 and points to --help."""
    ran = tally(*arguments)

    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert ran.err.startswith("error: ")
    assert "--help" in ran.err


@pytest.mark.parametrize("arguments", [(), ("dataset",)])
def test_a_noun_alone_shows_its_help(arguments: tuple[str, ...], tally: Tally) -> None:
    """A noun without a verb is no command: its help goes to stderr, and it exits 2."""
    ran = tally(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert "Usage: tally" in ran.err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            RejectedError(3_014, "request_already_decided", "decided already"),
            1,
            "(request_already_decided, 3014) — see `tally request list`",
        ),
        (RejectedError(12, "quota", "too many"), 1, "see `tally ledger log`"),
        (IntegrityError("changed", remedy="Ask again."), 1, "changed — Ask again."),
        (AccessError("not allowed", remedy="Ask for a role."), 1, "not allowed — Ask for a role."),
        (UsageError("nonsense", remedy="Make sense."), 2, "nonsense — Make sense."),
        (MalformedError("not an id"), 2, "not an id — correct it"),
        (PeerError("does not run", remedy="Start it."), 3, "does not run — Start it."),
        (StorageError("disk full", remedy="Make room."), 3, "disk full — Make room."),
        (ConfigurationError("unknown key", remedy="Remove it."), 3, "unknown key — Remove it."),
        (
            OSError(errno.ENOSPC, "No space left on device", "/a\x1bb"),
            3,
            "/ab: No space left on device — check the path",
        ),
        (ModuleNotFoundError("No module", name="aiohttp"), 3, "aiohttp, which is not installed — type: pip install"),
        (KeyboardInterrupt(), 130, "stopped — type the command again"),
    ],
)
def test_failures_have_their_exit_codes(
    error: BaseException, code: int, said: str, zone: SimulatedZone, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused is 1, bad usage 2, trouble 3; the reason is one line on stderr, with a remedy."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(zone, "find", fail)

    ran = tally("dataset", "list")

    assert (ran.code, ran.out, len(ran.err.splitlines())) == (code, "", 1)
    assert said in ran.err
    assert zone.closed


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("secret detail"), ModuleNotFoundError("x", name="tallystick.gone")]
)
def test_a_fault_of_the_program_leaves_its_trace_in_a_private_file(
    error: Exception, zone: SimulatedZone, tally: Tally, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A person sees one line with the path to report; only their own account can read the trace."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(zone, "find", fail)

    ran = tally("dataset", "list")
    kept = tmp_path / "state" / "tallystick" / "errors.log"

    assert ran.code == 3
    assert str(kept) in ran.err
    assert "secret detail" not in ran.err
    assert type(error).__name__ in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_reader_that_goes_away_is_no_trouble(tmp_path: Path) -> None:
    """`tally ... | head` ends quietly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tallystick.cli", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()

    assert process.stderr.read() == b""
    assert process.wait(60) == 0
    process.stderr.close()
