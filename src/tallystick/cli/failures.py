"""How a command fails: one line on stderr with a remedy, and an exit code that scripts rely on."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

from tallystick.cli.screen import clean
from tallystick.codec.canonical import MalformedError
from tallystick.errors import AccessError, IntegrityError, NodeError, RejectedError, TallystickError, UsageError

DONE, REFUSED, BAD_USAGE, TROUBLE = 0, 1, 2, 3
# What to look at after a refusal by the ledger, by the thousand of its number (see tallystick.errors).
_LOOK_AT = {
    1: "tally organisation list",
    2: "tally dataset list --all",
    3: "tally request list",
    4: "tally delivery list",
    5: "tally evidence list",
}


def exit_code(error: TallystickError | MalformedError) -> int:
    """Return the exit code of an error that was raised on purpose."""
    if isinstance(error, (UsageError, MalformedError)):
        return BAD_USAGE
    if isinstance(error, (RejectedError, IntegrityError, AccessError)):
        return REFUSED
    return TROUBLE


def describe(error: TallystickError | MalformedError) -> str:
    """Return an error as one line."""
    if isinstance(error, NodeError):
        return f"error: {clean(error.message)} — {clean(error.remedy)}"
    if isinstance(error, RejectedError):
        look = _LOOK_AT.get(error.code // 1_000, "tally ledger log")
        return (
            f"error: the ledger refuses it: {clean(error.message)} ({clean(error.name)}, {error.code}) — see `{look}`"
        )
    if isinstance(error, MalformedError):
        return f"error: {clean(error.reason)} — correct it and type the command again"
    return f"error: {clean(error)} — see docs/README.md"


def explain(error: BaseException, *, usage: str = "") -> int:
    """Say on stderr why a command failed, and return its exit code.

    Args:
        error: what was raised.
        usage: what is wrong with the command as it was typed, where that is why; several lines are its help.
    """
    if usage:
        hint = f"error: {clean(usage)} — add --help to see what the command takes"
        complain(usage if "\n" in usage.strip() else hint)
        return BAD_USAGE
    if isinstance(error, (TallystickError, MalformedError)):
        complain(describe(error))
        return exit_code(error)
    if isinstance(error, KeyboardInterrupt):
        complain("error: stopped — type the command again to go on")
        return 128 + signal.SIGINT
    if isinstance(error, OSError):
        name = f"{clean(error.filename)}: " if error.filename else ""
        complain(f"error: {name}{error.strerror or clean(error)} — check the path, its permissions and the disk")
    elif isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("tallystick"):
        complain(describe_missing(error))
    else:
        kept = keep_trace(error)
        complain(f"error: {type(error).__name__} — this is a fault of the program; please report what is in {kept}")
    return TROUBLE


def describe_missing(error: ModuleNotFoundError) -> str:
    """Return a line about a library that a light install does not have."""
    return (
        f"error: this command needs {clean(error.name)}, which is not installed — type: pip install 'tallystick[node]'"
    )


def complain(text: str) -> None:
    """Print a line on stderr, whatever its encoding."""
    stream = sys.stderr
    data = text.encode(stream.encoding or "ascii", "replace").decode(stream.encoding or "ascii")
    print(data, file=stream)


def keep_trace(error: BaseException) -> str:
    """Write what is only of use to a developer to a private file; return its path, or why there is none."""
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        path = Path(base) / "tallystick" / "errors.log"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
            traceback.print_exception(error, file=file)
    except (OSError, RuntimeError) as refused:
        return f"(its trace cannot be kept: {refused})"
    return str(path)
