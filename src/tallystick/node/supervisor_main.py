"""The supervisor's process: `python -m tallystick.node.supervisor_main HOME DESCRIPTOR`, which `tally node run` becomes.

The command line asks for the passphrase, takes the home's lock and opens the keys; then it puts this in its own place by
`exec`. So all that it had loaded for that is gone, while the process, its id, its terminal and its lock stay. What it has
to say goes through a pipe whose reading end is inherited; nothing of it is in the arguments or the environment.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

import msgspec

from tallystick.errors import ConfigurationError
from tallystick.node.homes import Home
from tallystick.node.plain_log import open_log
from tallystick.node.supervisor import TOLD_TO_STOP, Supervisor

if TYPE_CHECKING:
    from tallystick.keys import OpenKeys

_MODULE = "tallystick.node.supervisor_main"


class _Handover(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line hands over.

    Attributes:
        secret: what `OpenKeys.hand_over` gave.
        lock: descriptor of the home's lock, held.
        last_words: lines to print when the node has stopped.
    """

    secret: str
    lock: int
    last_words: tuple[str, ...]


def become_supervisor(home: Home, keys: OpenKeys, lock: IO[bytes], *, last_words: Sequence[str] = ()) -> NoReturn:
    """Put the supervisor of a node in the place of this process.

    Args:
        home: the node's.
        keys: its keys, opened.
        lock: on its home, held by this process.
        last_words: lines to print when the node has stopped.

    Raises:
        OSError: the system refuses.
    """
    ear, mouth = os.pipe()
    handover = _Handover(secret=keys.hand_over(), lock=lock.fileno(), last_words=tuple(last_words))
    # Less than a pipe holds, so that nobody needs to read yet.
    os.write(mouth, msgspec.json.encode(handover))
    os.close(mouth)
    os.set_inheritable(ear, True)
    os.set_inheritable(lock.fileno(), True)
    sys.stdout.flush()
    sys.stderr.flush()
    # Who is told to stop before it can hear that hears it then.
    signal.pthread_sigmask(signal.SIG_BLOCK, TOLD_TO_STOP)
    os.execv(sys.executable, [sys.executable, "-m", _MODULE, str(home.path), str(ear)])  # noqa: S606 - no shell


def _take_over(descriptor: int) -> _Handover:
    """Read what was handed over; what was inherited for that goes no further."""
    with os.fdopen(descriptor, "rb") as ear:
        handover = msgspec.json.decode(ear.read(), type=_Handover)
    os.set_inheritable(handover.lock, False)
    return handover


def main() -> int:
    """Run a node until it is told to stop; return the exit code of the command that became this."""
    try:
        home = Home(Path(sys.argv[1]))
        handover = _take_over(int(sys.argv[2]))
    except (IndexError, ValueError, OSError, msgspec.DecodeError):
        print("error: this runs behind `tally node run` — type that", file=sys.stderr)
        return 2
    except ConfigurationError as error:
        print(f"error: {error.message} — {error.remedy}", file=sys.stderr)
        return 3
    log = open_log(home.settings.log, "supervisor")
    try:
        with os.fdopen(handover.lock, "ab"):
            Supervisor(home, handover.secret, handed_over=True, locked=True, log=log).run()
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        log.error(
            "supervisor_cannot_run",
            message=f"{place}{error.strerror}",
            remedy="Check the disk, and how many processes and open files the system allows.",
        )
        return 3
    except Exception as error:  # the edge of the process: the log keeps what only a developer can use
        log.error("supervisor_failed", kind=type(error).__name__, exc_info=error)
        return 3
    _print(handover.last_words)
    return 0


def _print(lines: Sequence[str]) -> None:
    """Print for whoever still reads."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer must not be complained of.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
