"""Local networks as `tally network` makes them: several validators and replicas, each a node of real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from tallystick.keys import OpenKeys
from tallystick.machine import Parameters
from tallystick.node import network
from tallystick.node.homes import Home, open_keys
from tallystick.node.operator_key import OperatorFile
from tallystick.sdk import Zone, connect
from tests.support.components import require
from tests.support.nodes import Api, wait_for

PARTS = ("core_main", "cometbft", "office_main")


class NetworkNode:
    """One node of a network: its supervisor and what that started."""

    def __init__(self, directory: Path, organisation: str) -> None:
        self.directory = directory
        self.organisation = organisation
        self.home = Home(directory / organisation)

    @property
    def pid(self) -> int | None:
        """Of its supervisor, while it runs."""
        return next(each.pid for each in network.members(self.directory) if each.organisation == self.organisation)

    def parts(self) -> dict[str, int]:
        """Return the pids of what its supervisor runs, by name: `core_main`, `cometbft`, `office_main`."""
        pid = self.pid
        found: dict[str, int] = {}
        if pid is None:
            return found
        for each in _children(pid):
            command = _command(each)
            found |= {name: each for name in PARTS if any(word.endswith(name) for word in command[:3])}
        return found

    def kill(self, *names: str) -> None:
        """Kill -9 parts of it, those that run."""
        parts = self.parts()
        for name in names:
            if name in parts:
                _kill(parts[name])

    def kill_all(self) -> None:
        """Kill all of it at once, as a power cut does; `network.up` starts it again."""
        pid = self.pid
        if pid is not None:
            parts = self.parts()
            _kill(pid)
            for each in parts.values():
                _kill(each)
            wait_for(
                lambda: not any(Path(f"/proc/{each}").exists() for each in parts.values()), "the killed parts to go"
            )

    def pause(self) -> Callable[[], None]:
        """Stop all of it where it stands, as a machine that is frozen; return what lets it go on."""
        pid = self.pid
        stopped = [] if pid is None else [pid, *self.parts().values()]
        for each in stopped:
            _send(each, signal.SIGSTOP)

        def go_on() -> None:
            for each in stopped:
                _send(each, signal.SIGCONT)

        return go_on

    def operator(self) -> OperatorFile:
        """Return address and key of its API."""
        return msgspec.json.decode(self.home.operator_path.read_bytes(), type=OperatorFile)

    def is_ready(self) -> bool:
        """Tell whether its core and office answer."""
        try:
            return httpx.get(f"{self.operator().url}/readyz", trust_env=False, timeout=5).status_code == 200
        except (OSError, httpx.TransportError, msgspec.DecodeError):
            return False

    def is_connected(self) -> bool:
        """Tell whether its engine is connected to those of all other validators."""
        with self.api() as api:
            engine = api.get("/v1/status")["engine"]
        return bool(0 < engine["validators"] == engine["reachable"])

    def api(self) -> Api:
        """Return plain HTTP with the operator's key."""
        operator = self.operator()
        return Api(operator.url, operator.key)

    def client(self) -> Zone:
        """Return a client with the operator's key."""
        return connect(home=self.home.path)

    def keys(self) -> OpenKeys:
        """Return its keys, unlocked."""
        return open_keys(self.home, (self.directory / "passphrase").read_text().strip())

    @property
    def log_path(self) -> Path:
        """What it wrote."""
        return self.directory / "logs" / f"{self.organisation}.log"


def nodes_of(directory: Path) -> dict[str, NetworkNode]:
    """Return the nodes of a network by organisation, validators first."""
    listed = sorted(network.members(directory), key=lambda member: member.role != "validator")
    return {member.organisation: NetworkNode(directory, member.organisation) for member in listed}


def wait_until_ready(nodes: Sequence[NetworkNode], seconds: float = 90.0) -> None:
    """Wait until all answer.

    Raises:
        AssertionError: one does not.
    """
    for node in nodes:
        wait_for(node.is_ready, f"{node.organisation} to answer; see {node.log_path}", seconds)


def wait_until_connected(nodes: Sequence[NetworkNode], seconds: float = 90.0) -> None:
    """Wait until each of these validators' engines is connected to all others.

    A node is ready as soon as a block could be made, so some of the connections may come later.

    Raises:
        AssertionError: one is not.
    """
    for node in nodes:
        wait_for(node.is_connected, f"{node.organisation}'s engine to find the others; see {node.log_path}", seconds)


@contextmanager
def running_network(
    directory: Path, *, validators: int = 4, replicas: int = 0, parameters: Parameters | None = None
) -> Iterator[list[NetworkNode]]:
    """Yield the nodes of a network, all running, validators first; stop them all in the end."""
    require("cometbft")
    network.create_network(directory, validators=validators, replicas=replicas, parameters=parameters)
    try:
        network.up(directory)
        nodes = list(nodes_of(directory).values())
        wait_until_ready(nodes)
        yield nodes
    finally:
        network.down(directory)


def processes_of(directory: Path) -> list[list[str]]:
    """Return the commands of all processes that have to do with a network."""
    mark = str(directory)
    commands = [_command(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [command for command in commands if any(mark in word for word in command)]


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command(pid: int) -> list[str]:
    try:
        return [word.decode("utf-8", "replace") for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    except OSError:
        return []


def _kill(pid: int) -> None:
    _send(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
