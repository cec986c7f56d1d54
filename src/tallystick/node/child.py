"""The edge of a child process of a node: it opens its home, runs, and says in its log why it ended."""

from __future__ import annotations

import tallystick.node.lean  # noqa: F401 - first of all

# isort: split
import asyncio
import faulthandler
import gc
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import structlog
import uvloop

from tallystick.errors import NodeError
from tallystick.keys import OpenKeys
from tallystick.node.homes import Home, open_keys
from tallystick.node.logs import set_up_logs
from tallystick.node.processes import (
    ENGINE_STALLED,
    HANDED_OVER,
    PART_CHANGED,
    EngineStalledError,
    PartChangedError,
)


def run_child(name: str, run: Callable[[Home, OpenKeys], Coroutine[None, None, None]]) -> int:
    """Run a process of the home that its first argument names; return its exit code.

    Args:
        name: for the log.
        run: runs until it is told to stop.

    Returns:
        0 stopped as told, 3 cannot run, `ENGINE_STALLED` where the engine is to be started again with it, `PART_CHANGED`
        where all processes of the node are.
    """
    log = structlog.get_logger(name)
    # A supervisor that finds this process standing still aborts it: where its threads are is then in the log.
    faulthandler.enable()
    try:
        home = Home(Path(sys.argv[1]))
        set_up_logs(home.settings.log)
        uvloop.run(run(home, read_keys(home)))
    except EngineStalledError as error:
        log.error("engine_stalled", message=error.message, remedy=error.remedy)
        return ENGINE_STALLED
    except PartChangedError as error:
        log.info("part_changed", message=error.message)
        return PART_CHANGED
    except NodeError as error:
        log.error(f"{name}_cannot_run", message=error.message, remedy=error.remedy)
        return 3
    except asyncio.CancelledError:
        return 0
    except Exception as error:  # the edge of the process: the log keeps what only a developer can use
        log.error(f"{name}_failed", kind=type(error).__name__, exc_info=error)
        return 3
    return 0


def read_secret() -> str:
    """Return the secret that the supervisor wrote to this child's standard input.

    Raises:
        NodeError: there is none; the child was not started by a supervisor.
    """
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        raise NodeError("no passphrase came from the supervisor", remedy="Start the node with `tally node run`.")
    return line[:-1].decode()


def read_keys(home: Home) -> OpenKeys:
    """Return the node's keys, opened by what the supervisor wrote to this child's standard input.

    Raises:
        NodeError: it wrote nothing, or that does not open them.
    """
    secret = read_secret()
    return home.key_store.take_over(secret) if HANDED_OVER in sys.argv[2:] else open_keys(home, secret)


def rest_of_collecting(objects: int) -> None:
    """Set aside what is in memory for good, and let a collection wait until it pays.

    Args:
        objects: new ones before the next collection.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(objects, 20, 20)
