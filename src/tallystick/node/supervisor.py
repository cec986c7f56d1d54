"""`tally node run`: starts the core and the office, watches both, and stops them in order.

The two are processes of their own: a crash of the office does not touch the core. Whichever dies is started again, with
growing pauses if it dies at once. Each child holds one end of a pipe to this process: when this process is gone, however
it went, the pipe closes and the child stops by itself. The passphrase travels over that pipe, never in arguments or the
environment.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import structlog

from tallystick.errors import NodeError, UsageError
from tallystick.keys import OpenKeys
from tallystick.node.homes import Home, open_keys
from tallystick.node.locks import SUPERVISOR, try_lock

log = structlog.get_logger("supervisor")
STOP_SECONDS = 10.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
# One that a signal ended did not fail by itself, nor did an engine whose core died, which ends with code 0: they are
# wanted back soon.
_LONGEST_PAUSE_OF_THE_BLAMELESS = 0.5
_STEADY_SECONDS = 30.0
# A signal or the end of a child wakes this process; it looks by itself only in case one was missed.
_LOOK_SECONDS = 1.0
# Tells a child that its first line is not a passphrase but what `OpenKeys.hand_over` gave.
HANDED_OVER = "--handed-over"


class Child:
    """One process of a node."""

    def __init__(self, name: str, module: str, home: Path, secret: str | None, *options: str) -> None:
        """Prepare a child; `start` runs it.

        Args:
            name: for the log.
            module: run as `python -m MODULE HOME OPTION...`.
            home: of the node.
            secret: written to its standard input as the first line; None where `entrust` gives it later.
            options: see above.
        """
        self.name = name
        self._command = [sys.executable, "-m", module, str(home), *options]
        self._secret = secret
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._pause = _FIRST_PAUSE
        self._next_try = 0.0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Run it."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)
        self._started = time.monotonic()
        if self._secret is not None:
            self.entrust(self._secret)

    def entrust(self, secret: str) -> None:
        """Give it the secret, for which it waits once it has loaded, and keep it for those started later."""
        self._secret = secret
        process = self._process
        if process is None or process.stdin is None:
            return
        # A child that was killed before it could read is found dead, and started again, by `watch`.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(secret.encode() + b"\n")
        log.info("child_started", child=self.name, pid=process.pid)

    def watch(self) -> float:
        """Start it again if it died, after a pause that grows while it keeps dying at once.

        Returns:
            Seconds until it is to be looked at again, unless it dies before.
        """
        process = self._process
        now = time.monotonic()
        if process is None:
            if now >= self._next_try:
                self.start()
            return max(0.0, min(self._next_try - now, _LOOK_SECONDS)) if self._process is None else _LOOK_SECONDS
        code = process.poll()
        if code is None:
            return _LOOK_SECONDS
        if now - self._started > _STEADY_SECONDS:
            self._pause = _FIRST_PAUSE
        pause = self._pause if code > 0 else min(self._pause, _LONGEST_PAUSE_OF_THE_BLAMELESS)
        log.error("child_died", child=self.name, exit_code=code, again_in_seconds=pause)
        self._next_try = now + pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._process = None
        return pause

    def stop(self) -> None:
        """Ask it to stop; kill it if it does not."""
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("child_killed", child=self.name)
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
        self._process = None


def _modules_of(home: Home) -> list[tuple[str, str]]:
    """Return (name, module) of a node's processes; a validator has the distributed engine between core and office."""
    names = ["core", "engine", "office"] if home.settings.node.role == "validator" else ["core", "office"]
    return [(name, f"tallystick.node.{name}_main") for name in names]


class Supervisor:
    """A node: its processes and the lock on its home."""

    def __init__(
        self,
        home: Home,
        passphrase: str,
        *,
        unlock: Callable[[str], OpenKeys] | None = None,
        modules: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Prepare a node.

        Args:
            home: its home.
            passphrase: of its keys.
            unlock: opens the keys, once for all its processes; without it each process opens them by the passphrase.
            modules: (name, module) of its processes, in the order of starting; the usual two by default.
        """
        self._home = home
        self._passphrase = passphrase
        self._unlock = unlock
        secret, options = (passphrase, ()) if unlock is None else (None, (HANDED_OVER,))
        chosen = modules or _modules_of(home)
        self._children = [Child(name, module, home.path, secret, *options) for name, module in chosen]
        self._stopping = False
        self._lock: IO[bytes] | None = None
        self._bell = -1

    def run(self) -> None:
        """Run until told to stop by SIGTERM or SIGINT.

        Raises:
            UsageError: this home's node is running already.
            NodeError: the keys cannot be opened.
        """
        self._lock_home()
        with self._signals():
            try:
                for child in self._children:
                    child.start()
                if self._unlock is not None:
                    secret = self._unlock(self._passphrase).hand_over()
                    for child in self._children:
                        child.entrust(secret)
                while not self._stopping:
                    self._wait(min(child.watch() for child in self._children))
            finally:
                for child in reversed(self._children):
                    child.stop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Take signals meanwhile: those that tell to stop, and that a child has ended, which is no more than a wake-up."""
        before = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._stop),
                (signal.SIGINT, self._stop),
                (signal.SIGCHLD, lambda *_: None),
            )
        }
        self._bell, ringer = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(ringer, False)
        wakeup_before = signal.set_wakeup_fd(ringer, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup_before)
            os.close(self._bell)
            os.close(ringer)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stopping = True

    def _wait(self, seconds: float) -> None:
        """Wait for a signal, the end of a child being one, but not for longer than this."""
        select.select([self._bell], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 4096)

    def _lock_home(self) -> None:
        """Hold the home as long as this process lives."""
        self._lock = try_lock(self._home.path, SUPERVISOR)
        if self._lock is None:
            raise UsageError(
                f"the node of {self._home.path} is running already",
                remedy="See it with `tally node status`; stop it before you start another.",
            )


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
