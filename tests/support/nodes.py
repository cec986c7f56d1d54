"""Real nodes: a zone of processes on loopback, started as a user starts them and stopped by their pid."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from tallystick.keys import OpenKeys
from tallystick.keys.files import write_private
from tallystick.keys.sealing import new_kdf, seal_store
from tallystick.keys.stores import STORE_FILE
from tallystick.node.core import Core, now_ms
from tallystick.node.homes import Home, create_zone, open_keys
from tallystick.node.join import invite, join
from tallystick.node.office_process import OfficeProcess
from tallystick.node.operator_key import OperatorFile
from tallystick.node.peers.service import PeerService

if TYPE_CHECKING:
    from tallystick.sdk import Zone

PASSPHRASE = "correct horse battery"
_START_SECONDS = 60.0
_RUN = """
import sys
from pathlib import Path
from tallystick.node.homes import Home
from tallystick.node.supervisor import Supervisor
home = Home(Path(sys.argv[1]))
Supervisor(home, sys.argv[2]).run()
"""


def free_port() -> int:
    """Return a port of loopback that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], Any], what: str, seconds: float = _START_SECONDS) -> Any:
    """Return what `condition` returns as soon as that is true.

    Raises:
        AssertionError: it does not become true.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


class Api:
    """A node's HTTP API as any program may use it."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=75.0, trust_env=False)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request and return the answer, whatever it is."""
        return self._http.request(method, path, **({} if body is None else {"json": body}))

    def get(self, path: str) -> Any:
        """Return what an address answers.

        Raises:
            AssertionError: it refuses.
        """
        return self._good(self.send("GET", path))

    def post(self, path: str, body: Any = None) -> Any:
        """Post and return the answer; where that is a job, wait for its end and return its result.

        Raises:
            AssertionError: it refuses, or the job failed.
        """
        answer = self._good(self.send("POST", path, body))
        return self._finished(answer) if isinstance(answer, dict) and "state" in answer and "what" in answer else answer

    def _finished(self, job: dict[str, Any]) -> Any:
        while job["state"] == "running":
            job = self.get(f"/v1/jobs/{job['id']}?wait=30")
        assert job["state"] == "done", job
        return job["result"]

    @staticmethod
    def _good(response: httpx.Response) -> Any:
        assert response.status_code < 300, f"{response.request.url}: {response.status_code} {response.text}"
        return response.json()


class RunningNode:
    """One node: supervisor, core and office, each a process."""

    def __init__(self, home: Home, passphrase: str = PASSPHRASE) -> None:
        self.home = home
        self.passphrase = passphrase
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = home.path.parent / f"{home.path.name}.log"

    @property
    def organisation(self) -> str:
        """Whose node it is."""
        return self.home.settings.node.organisation

    @property
    def address(self) -> str:
        """Where other nodes reach it."""
        return self.home.settings.peers.listen

    def start(self, **environment: str) -> RunningNode:
        """Start it and wait until its API answers."""
        self.launch(**environment)
        wait_for(self._is_up, f"the node of {self.organisation}; see {self.log_path}")
        return self

    def launch(self, **environment: str) -> None:
        """Start it and wait for nothing."""
        self.home.operator_path.unlink(missing_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _RUN, str(self.home.path), self.passphrase],
                stdout=log,
                stderr=log,
                env={**os.environ, "TALLY_LOG_LEVEL": "info", **environment},
            )

    def _is_up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with {self.process.returncode}:\n{self.log()}")
        return self.home.operator_path.exists()

    def log(self) -> str:
        """Return what it wrote."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def operator(self) -> OperatorFile:
        """Return address and key of its API."""
        return msgspec.json.decode(self.home.operator_path.read_bytes(), type=OperatorFile)

    def api(self) -> Api:
        """Return plain HTTP with the operator's key."""
        operator = self.operator()
        return Api(operator.url, operator.key)

    def client(self) -> Zone:
        """Return a client with the operator's key."""
        from tallystick.sdk import connect

        return connect(home=self.home.path)

    def children(self) -> dict[str, int]:
        """Return the pids of its processes by the name of their module."""
        assert self.process is not None
        found: dict[str, int] = {}
        try:
            listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return found
        for pid in map(int, listed):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            for part in command:
                if part.startswith(b"tallystick.node."):
                    found[part.decode().rpartition(".")[2]] = pid
        return found

    def kill(self) -> None:
        """Kill all of it at once, as a power cut does."""
        if self.process is None:
            return
        pids = [self.process.pid, *self.children().values()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        self.process = None

    def kill_child(self, module: str) -> bool:
        """Kill its core (`core_main`) or its office (`office_main`); return whether there was one to kill."""
        pid = self.children().get(module)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def kill_supervisor(self) -> None:
        """Kill the supervisor alone; its children are to end by themselves."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """Stop it in order."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> RunningNode:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class LocalNode:
    """A node whose core and office run in this process's event loop, for tests that look inside or set its clock."""

    def __init__(
        self, home: Home, keys: OpenKeys | None = None, *, clock_ms: Callable[[], int] = now_ms, **peers: Any
    ) -> None:
        """Prepare.

        Args:
            home: of the node; its processes must not run.
            keys: its keys, where they are unlocked already.
            clock_ms: the core's clock.
            peers: other values for the keys of `[peers]`.
        """
        section = msgspec.structs.replace(home.settings.peers, **peers)
        home.settings = msgspec.structs.replace(home.settings, peers=section)
        self.home = home
        self.keys = keys or open_keys(home, PASSPHRASE)
        self._clock_ms = clock_ms
        self.core: Core
        self.office: OfficeProcess

    @property
    def organisation(self) -> str:
        """Whose node it is."""
        return self.home.settings.node.organisation

    @property
    def peers(self) -> PeerService:
        """It among the others."""
        return self.office.peers

    @property
    def height(self) -> int:
        """Of its last block."""
        return self.core.state.height

    async def start(self) -> LocalNode:
        """Start core and office."""
        self.core = Core(self.home, self.keys.signer("system"), clock_ms=self._clock_ms)
        await self.core.start()
        self.office = OfficeProcess(self.home, self.keys)
        await self.office.start()
        return self

    async def stop(self) -> None:
        """Stop both."""
        await self.office.stop()
        await self.core.stop()

    async def __aenter__(self) -> LocalNode:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def until(condition: Callable[[], Any], what: str, seconds: float = _START_SECONDS) -> Any:
    """Return what `condition` returns as soon as that is true, letting the event loop run meanwhile.

    Raises:
        AssertionError: it does not become true.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def open_quickly(home: Home) -> Home:
    """Let a home's keys open quickly from now on: the cost of a passphrase is not what tests of nodes are about."""
    master, _ = home.key_store._open_master(PASSPHRASE)
    write_private(home.keys_path / STORE_FILE, seal_store(master, PASSPHRASE, new_kdf(1 << 10)))
    return home


def make_zone(folder: Path, organisation: str = "city-hospital", **options: Any) -> RunningNode:
    """Make a zone of one and return its node, not started."""
    home = create_zone(
        folder / organisation,
        name="Test Zone",
        organisation=organisation,
        organisation_name=organisation.replace("-", " ").title(),
        passphrase=PASSPHRASE,
        created_ms=time.time_ns() // 1_000_000,
        address=f"127.0.0.1:{free_port()}",
        api_listen="127.0.0.1:0",
        **options,
    )
    return RunningNode(open_quickly(home))


def join_zone(folder: Path, inviter: RunningNode, organisation: str, *, reachable: bool = True) -> RunningNode:
    """Let an organisation join through a running member, be admitted, and run; returns its started node."""
    invitation = invite(inviter.home, organisation)
    home, fingerprint = asyncio.run(
        join(
            folder / organisation,
            invitation,
            organisation.replace("-", " ").title(),
            PASSPHRASE,
            f"127.0.0.1:{free_port()}" if reachable else "",
            "127.0.0.1:0",
        )
    )
    with inviter.api() as api:
        api.post(f"/v1/applications/{organisation}/admit", {"fingerprint": fingerprint})
    node = RunningNode(open_quickly(home)).start()
    with node.api() as api:
        wait_for(lambda: not api.get("/v1/standing")["application"], f"{organisation} to be a member in its own copy")
    return node


@contextmanager
def running_zone(folder: Path, *others: str, first: str = "city-hospital") -> Iterator[dict[str, RunningNode]]:
    """Yield a zone of running nodes by organisation, and stop them all in the end."""
    nodes: dict[str, RunningNode] = {}
    try:
        nodes[first] = make_zone(folder, first).start()
        for organisation in others:
            nodes[organisation] = join_zone(folder, nodes[first], organisation)
        yield nodes
    finally:
        for node in nodes.values():
            node.stop()
