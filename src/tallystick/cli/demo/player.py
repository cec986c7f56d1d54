"""One organisation of the demo: its home, its node's process, and a client of that node."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tallystick.errors import NodeError, PeerError
from tallystick.sdk import Zone, connect

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_PAUSE_SECONDS = 0.03


@dataclass
class Player:
    """An organisation with a node of its own.

    Attributes:
        organisation: its id.
        name: for people.
        home: of its node.
        passphrase_file: of the node's keys.
        log: what the node writes.
        address: where other nodes reach it.
        api: where its own people and programs reach it.
        pid_file: tells `tally network` that the node runs; None where that does not know it.
    """

    organisation: str
    name: str
    home: Path
    passphrase_file: Path
    log: Path
    address: str
    api: str
    pid_file: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _zone: Zone | None = field(default=None, init=False, repr=False)

    @property
    def passphrase(self) -> str:
        """Of the node's keys."""
        return self.passphrase_file.read_text(encoding="ascii").strip()

    @property
    def operator_file(self) -> Path:
        """Address and key of the API while the node runs."""
        return self.home / "operator.json"

    @property
    def zone(self) -> Zone:
        """A client of the running node, with the key of the operator."""
        if self._zone is None:
            self._zone = connect(home=self.home)
        return self._zone

    def in_another_home(self, home: Path, log: Path) -> Player:
        """Return this organisation running from another home."""
        return dataclasses.replace(self, home=home, log=log)

    @property
    def running(self) -> bool:
        """Whether the node was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def begin_start(self) -> None:
        """Start the node the way that users do; it has a session of its own, so that Ctrl-C reaches the demo alone."""
        command = [sys.executable, "-m", "tallystick.cli", "node", "run", "--home", str(self.home)]
        command += ["--passphrase-file", str(self.passphrase_file)]
        # One that was killed has left it behind.
        self.operator_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TALLY_LOG_FORMAT": "json"},
                start_new_session=True,
            )
        if self.pid_file is not None:
            self.pid_file.write_text(f"{self._process.pid}\n", encoding="ascii")

    def finish_start(self) -> None:
        """Wait until the node answers.

        Raises:
            PeerError: it does not start.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not (self.operator_file.exists() and self._answers()):
            self.check_running()
            if time.monotonic() > deadline:
                raise PeerError(
                    f"the node of {self.name} does not answer after {_START_SECONDS:.0f} s", remedy=f"Read {self.log}."
                )
            time.sleep(_PAUSE_SECONDS)

    def start(self) -> None:
        """Start the node and wait until it answers."""
        self.begin_start()
        self.finish_start()

    def check_running(self) -> None:
        """Go on only if the node runs.

        Raises:
            PeerError: it has ended.
        """
        code = None if self._process is None else self._process.poll()
        if code is not None:
            raise PeerError(f"the node of {self.name} ended with exit code {code}", remedy=f"Read {self.log}.")

    def begin_stop(self) -> None:
        """Ask the node to stop."""
        self._close_client()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def finish_stop(self) -> None:
        """Wait until the node has stopped; kill it if it does not. Its children end when it is gone."""
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._forget_process()

    def stop(self) -> None:
        """Stop the node."""
        self.begin_stop()
        self.finish_stop()

    def kill(self) -> None:
        """Kill every process of the node at once, as a power cut would; none of them can say or write anything more."""
        process = self._process
        if process is None:
            return
        children = _children_of(process.pid)
        # The one that would start the others again goes first.
        process.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.wait()
        self._close_client()
        self._forget_process()

    def _forget_process(self) -> None:
        self._process = None
        if self.pid_file is not None:
            self.pid_file.unlink(missing_ok=True)

    def _close_client(self) -> None:
        if self._zone is not None:
            self._zone.close()
            self._zone = None

    def _answers(self) -> bool:
        try:
            self.zone.status()
        except NodeError:
            self._zone = None
            return False
        return True


def _children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        # Where the system does not list them, they end by themselves once their parent is gone.
        return []
    return [int(each) for each in listed.split()]
