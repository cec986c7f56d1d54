"""Validators that do not keep to the rules, in networks of real nodes: started beside honest ones, stopped by their pid."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tallystick.machine import Parameters
from tallystick.node import network
from tallystick.node.homes import Home
from tallystick.ordering.cometbft.rpc import EngineRpc
from tests.support.components import require
from tests.support.dishonest_core import HOW
from tests.support.networks import NetworkNode, nodes_of, wait_until_ready
from tests.support.wiring import NOBODY, engine_at, rewrite

ROOT = Path(__file__).parents[2]
_RUN = """
import sys
from pathlib import Path
from tallystick.node.homes import Home
from tallystick.node.supervisor import Supervisor
home = Home(Path(sys.argv[1]))
places = {"core": "tests.support.dishonest_core"}
parts = [(name, places.get(name, f"tallystick.node.{name}_main")) for name in sys.argv[3:]]
Supervisor(home, sys.argv[2], modules=parts).run()
"""


def start_dishonest(
    home: Path, how: str, *, passphrase: str, log: Path, parts: tuple[str, ...] = ("core", "engine", "office")
) -> subprocess.Popen[bytes]:
    """Start a node whose core is dishonest; its supervisor is returned, and stops its parts when it is told to.

    Args:
        home: of the node.
        how: see `dishonest_core`.
        passphrase: of its keys.
        log: what it writes goes there.
        parts: which of its processes to run.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-c", _RUN, str(home.resolve()), passphrase, *parts],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, HOW: how, "PYTHONPATH": path},
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a node in order, by its pid."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def network_with_dishonest(
    directory: Path, how: str, *, parameters: Parameters | None = None
) -> Iterator[tuple[list[NetworkNode], NetworkNode]]:
    """Yield the three honest nodes of a network of four validators, and the dishonest one, all running.

    Args:
        directory: of the network.
        how: the fourth is dishonest; see `dishonest_core`.
        parameters: limits of the zone, where the defaults will not do.
    """
    require("cometbft")
    network.create_network(directory, validators=4, parameters=parameters)
    *honest, dishonest = nodes_of(directory).values()
    for name in ("logs", "run"):
        (directory / name).mkdir(exist_ok=True)
    secret = (directory / "passphrase").read_text().strip()
    process = start_dishonest(dishonest.home.path, how, passphrase=secret, log=dishonest.log_path)
    (directory / "run" / f"{dishonest.home.path.name}.pid").write_text(f"{process.pid}\n")
    try:
        network.up(directory)
        wait_until_ready(honest)
        yield honest, dishonest
    finally:
        stop(process)
        network.down(directory)


@contextmanager
def network_with_twins(directory: Path) -> Iterator[tuple[list[NetworkNode], NetworkNode]]:
    """Yield the three honest nodes of a network of four validators, and the fourth, which runs twice with the same keys.

    Engines take nobody but who is registered, and each of them once: so the first honest one talks to one of the twins, and
    the two others to the other.
    """
    require("cometbft")
    network.create_network(directory, validators=4)
    *honest, doubled = nodes_of(directory).values()
    secret = (directory / "passphrase").read_text().strip()
    first, *others = [node.home for node in honest]
    twin = make_twin(doubled.home, directory.parent / "twin")
    for home in others:
        rewrite(home, engine={"peers": [engine_at(doubled.home, twin.settings.engine.listen)]})
    rewrite(doubled.home, engine={"peers": [engine_at(home, NOBODY) for home in others]})
    rewrite(twin, engine={"peers": [engine_at(first, NOBODY)]})
    network.up(directory)
    process = start_dishonest(
        twin.path, "twin", passphrase=secret, log=directory.parent / "twin.log", parts=("core", "engine")
    )
    try:
        wait_until_ready(honest)
        yield honest, doubled
    finally:
        stop(process)
        network.down(directory)


def make_twin(home: Home, folder: Path) -> Home:
    """Copy a validator's home that has not run yet, keys and all; the copy listens elsewhere."""
    shutil.copytree(home.path, folder)
    peers, api, engine = (f"127.0.0.1:{port}" for port in network.free_ports(3))
    return rewrite(Home(folder), peers={"listen": peers}, api={"listen": api}, engine={"listen": engine})


async def ask_engine(home: Home, method: str, **params: str) -> Any:
    """Return what a node's engine answers over the socket in the node's home."""
    rpc = EngineRpc(home.engine_rpc_path)
    rpc.open()
    try:
        return await rpc._one(method, **params)
    finally:
        await rpc.close()
