"""The engine's process: `python -m tallystick.node.engine_main HOME`; it prepares the engine's home and becomes the engine.

The engine waits for the core's socket by itself, and ends when the core goes: so it needs no lifeline of its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

import structlog

from tallystick.errors import NodeError, PeerError, StorageError
from tallystick.node.engine import find_engine
from tallystick.node.engine_beginning import clear_blocks, has_to_begin, read_beginning
from tallystick.node.engine_home import prepare_engine
from tallystick.node.homes import Home
from tallystick.node.logs import set_up_logs
from tallystick.node.scheduling import run_in_short_turns, run_on_one_processor

_CORE_SECONDS = 120.0
_LOOK_SECONDS = 0.1
_PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def _wait_for(core: Path) -> None:
    """Wait until the core answers; the engine itself would try only every three seconds.

    Raises:
        PeerError: it does not.
    """
    deadline = time.monotonic() + _CORE_SECONDS
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(str(core))
            return
        time.sleep(0.02)
    raise PeerError(f"the core does not answer at {core}", remedy="Look at the node's log for why it did not start.")


def _wait_for_office(home: Home) -> None:
    """Wait until the office has found out where the engine begins, however long that takes: it needs the others."""
    while read_beginning(home) is None:
        time.sleep(_LOOK_SECONDS)


def main() -> int:
    """Become the engine; return 3 where it cannot run."""
    try:
        home = Home(Path(sys.argv[1]))
        set_up_logs(home.settings.log)
        program = find_engine()
        if program is None:
            raise StorageError("the distributed engine is not installed", remedy="Type: tally engine install")
        # The core writes who the other validators are before it answers.
        _wait_for(home.abci_path)
        if has_to_begin(home):
            _wait_for_office(home)
            clear_blocks(home)
        arguments = prepare_engine(home)
        # What a killed engine left; a new one cannot listen there.
        home.engine_rpc_path.unlink(missing_ok=True)
        # The engine needs no passphrase. All that it writes goes to the supervisor, which makes it part of the node's log.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(1, 2)
        for name in _PROXIES:
            # What it asks when it begins, it asks this node.
            os.environ.pop(name, None)
        run_on_one_processor()
        run_in_short_turns()
        os.execv(program, [str(program), *arguments])  # noqa: S606 - a fixed program, no shell
    except (NodeError, OSError) as error:
        message, remedy = (
            (error.message, error.remedy) if isinstance(error, NodeError) else (str(error), "Check the home's disk.")
        )
        structlog.get_logger("engine").error("engine_cannot_run", message=message, remedy=remedy)
    return 3


if __name__ == "__main__":
    sys.exit(main())
