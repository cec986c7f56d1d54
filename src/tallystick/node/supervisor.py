"""`tally node run`: starts the core and the office, watches both, and stops them in order.

The two are processes of their own: a crash of the office does not touch the core. Whichever dies is started again, with
growing pauses if it dies at once. Each child holds one end of a socket to this process: when this process is gone, however
it went, the socket closes and the child stops by itself. What opens the keys travels over it, never in arguments or the
environment. The other way come signs of life (`lifeline`): a child that has given some and then gives none for long stands
still, whatever the reason, and is killed and started again like one that died.

A validator's engine is a third child, and one with its core: it ends with code 0 when its core dies, which is a fault all
the same; one that does not end is killed; and where the core finds that the engine stands still, both are started again.
What the engine writes becomes part of this process's log (`engine_log`).

This process lives as long as its node, so that it loads little (`supervisor_main`).
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

import msgspec

from tallystick.errors import StorageError
from tallystick.node.engine_log import EngineLog, follow, into
from tallystick.node.homes import Home
from tallystick.node.locks import lock_home
from tallystick.node.plain_log import JsonLog, Log
from tallystick.node.processes import (
    ENGINE_STALLED,
    HANDED_OVER,
    PART_CHANGED,
    Process,
    Processes,
    patience_seconds,
    write_processes,
)

TOLD_TO_STOP = (signal.SIGTERM, signal.SIGINT)
STOP_SECONDS = 10.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
# One that a signal ended did not fail by itself, nor did an engine whose core died, which ends with code 0: they are
# wanted back soon.
_LONGEST_PAUSE_OF_THE_BLAMELESS = 0.5
_STEADY_SECONDS = 30.0
# What an engine has to end by itself when its core is gone.
_ENGINE_SECONDS = 10.0
# What reading the last words of one that ended may take: they are in the pipe already.
_LAST_WORDS_SECONDS = 5.0
# A signal or the end of a child wakes this process; it looks by itself only in case one was missed.
_LOOK_SECONDS = 1.0
# A child gives no sign of life while it does one large thing: it is waited for so many times as long as an engine.
_STUCK_PATIENCES = 10
# Who looks only after so long was asleep with all else on this machine: that says nothing about a child.
_ASLEEP_SECONDS = 10.0
# What an aborted child has to write where its threads stand.
_TRACE_SECONDS = 2.0


class Child:
    """One process of a node."""

    def __init__(
        self,
        name: str,
        module: str,
        home: Path,
        secret: str,
        *options: str,
        speaks: bool = False,
        log: Log | None = None,
        patience_seconds: float = math.inf,
    ) -> None:
        """Prepare a child; `start` runs it.

        Args:
            name: for the log.
            module: run as `python -m MODULE HOME OPTION...`.
            home: of the node.
            secret: written to its standard input as the first line.
            options: see above.
            speaks: whether its standard output is the engine's log, to be read here.
            log: of this process.
            patience_seconds: how long it may go without a sign of life after it has given one.
        """
        self.name = name
        self.deaths = 0
        self.last_exit: int | None = None
        self.ran_seconds = 0.0
        self._speaks = speaks
        self._log = JsonLog() if log is None else log
        self._reader: threading.Thread | None = None
        self._deadline: float | None = None
        self._patience = patience_seconds
        self._line: socket.socket | None = None
        # When it last gave a sign of life, if it has, and when this process last looked.
        self._alive: float | None = None
        self._looked = 0.0
        self._facts = Process()
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

    @property
    def facts(self) -> Process:
        """What is told of it."""
        return self._facts

    def start(self) -> None:
        """Run it."""
        ear, mouth = os.pipe() if self._speaks else (-1, None)
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(self._command, stdin=theirs.fileno(), stdout=mouth, start_new_session=True)
        if mouth is not None:
            os.close(mouth)
            self._reader = follow(os.fdopen(ear, "rb"), EngineLog(time.monotonic, emit=into(self._log)))
        self._process = process
        self._hang_up()
        self._line = ours
        self._started = self._looked = time.monotonic()
        self._alive = self._deadline = None
        self._facts = msgspec.structs.replace(self._facts, pid=process.pid, started_at=_now_ms(), restarts=self.deaths)
        # A child that was killed before it could read is found dead, and started again, by `watch`.
        with contextlib.suppress(BrokenPipeError):
            ours.sendall(self._secret.encode() + b"\n")
        ours.setblocking(False)
        self._log.info("child_started", child=self.name, pid=process.pid)

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
            self._look_for_life(process, now)
            return self._look_at_deadline(process, now)
        self._ended(code, now)
        if now - self._started > _STEADY_SECONDS:
            self._pause = _FIRST_PAUSE
        failed = code > 0 and code not in (ENGINE_STALLED, PART_CHANGED)
        pause = self._pause if failed else min(self._pause, _LONGEST_PAUSE_OF_THE_BLAMELESS)
        self._log.error("child_died", child=self.name, exit_code=code, again_in_seconds=pause)
        self._next_try = now + pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._process = None
        return pause

    def _look_for_life(self, process: subprocess.Popen[bytes], now: float) -> None:
        """Abort a process that stands still."""
        asleep = now - self._looked > _ASLEEP_SECONDS
        self._looked = now
        if self._hear_pulse() or (asleep and self._alive is not None):
            self._alive = now
        if self._alive is None or self._deadline is not None or now - self._alive <= self._patience:
            return
        self._log.error("child_stands_still", child=self.name, pid=process.pid, seconds=int(now - self._alive))
        process.send_signal(signal.SIGABRT)
        self.must_end_within(_TRACE_SECONDS)

    def _hear_pulse(self) -> bool:
        """Tell whether it has given a sign of life since the last time."""
        if self._line is None:
            return False
        try:
            return self._line.recv(4096) != b""
        except OSError:
            return False

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def must_end_within(self, seconds: float) -> None:
        """Kill the process that runs now if it has not ended by itself in so long."""
        self._deadline = time.monotonic() + seconds

    def _look_at_deadline(self, process: subprocess.Popen[bytes], now: float) -> float:
        if self._deadline is None:
            return _LOOK_SECONDS
        if now < self._deadline:
            return min(self._deadline - now, _LOOK_SECONDS)
        self._log.error("child_killed", child=self.name, pid=process.pid)
        process.kill()
        self._deadline = None
        return _LOOK_SECONDS

    def _ended(self, code: int, now: float) -> None:
        """Take note of an end, once everything that it wrote is in the log."""
        self._hear_last_words()
        self.deaths += 1
        self.last_exit = code
        self.ran_seconds = now - self._started
        self._facts = msgspec.structs.replace(self._facts, last_exit=code, ended_at=_now_ms())

    def _hear_last_words(self) -> None:
        if self._reader is not None:
            self._reader.join(_LAST_WORDS_SECONDS)
            self._reader = None

    def stop(self) -> None:
        """Ask it to stop; kill it if it does not."""
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._log.error("child_killed", child=self.name)
            process.kill()
            process.wait()
        self._hear_last_words()
        self._hang_up()
        self._process = None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _modules_of(home: Home) -> list[tuple[str, str]]:
    """Return (name, module) of a node's processes; a validator has the distributed engine between core and office."""
    names = ["core", "engine", "office"] if home.part == "validator" else ["core", "office"]
    return [(name, f"tallystick.node.{name}_main") for name in names]


class Supervisor:
    """A node's processes, and the lock on its home."""

    def __init__(
        self,
        home: Home,
        secret: str,
        *,
        handed_over: bool = False,
        locked: bool = False,
        modules: Sequence[tuple[str, str]] = (),
        log: Log | None = None,
    ) -> None:
        """Prepare a node.

        Args:
            home: its home.
            secret: opens its keys.
            handed_over: whether that is what `OpenKeys.hand_over` gave; else it is the passphrase, which each process
                tries for itself.
            locked: whether this process holds the home already.
            modules: (name, module) of its processes, in the order of starting; the usual ones by default.
            log: of this process; JSON on standard error by default.
        """
        self._home = home
        self._secret = secret
        self._handed_over = handed_over
        self._locked = locked
        self._modules = modules
        self._log = JsonLog() if log is None else log
        self._make_children()
        self._stalls = 0
        self._told: Processes | None = None
        self._stopping = False
        self._bell = -1

    def _make_children(self) -> None:
        options = (HANDED_OVER,) if self._handed_over else ()
        patience = _STUCK_PATIENCES * self._home.settings.engine.stall_seconds
        self._children = [
            Child(
                name,
                module,
                self._home.path,
                self._secret,
                *options,
                speaks=name == "engine",
                log=self._log,
                patience_seconds=patience,
            )
            for name, module in self._modules or _modules_of(self._home)
        ]
        self._by_name = {child.name: child for child in self._children}
        self._core_deaths = 0

    def run(self) -> None:
        """Run until told to stop by SIGTERM or SIGINT.

        Raises:
            UsageError: this home's node is running already.
        """
        with nullcontext() if self._locked else lock_home(self._home.path), self._signals():
            try:
                for child in self._children:
                    child.start()
                while not self._stopping:
                    seconds = min(child.watch() for child in self._children)
                    self._keep_together()
                    self._recast()
                    self._tell()
                    self._wait(seconds)
            finally:
                for child in reversed(self._children):
                    child.stop()

    def _keep_together(self) -> None:
        """Let no engine outlive its core: what it knows of the ledger would be of another process."""
        core, engine = self._by_name.get("core"), self._by_name.get("engine")
        if core is None or engine is None or core.deaths == self._core_deaths:
            return
        self._core_deaths = core.deaths
        stalled = core.last_exit == ENGINE_STALLED
        if stalled:
            patience = patience_seconds(self._home.settings.engine.stall_seconds, self._stalls)
            # One that worked for long since the last time did so because that had helped.
            self._stalls = 1 if core.ran_seconds > 2 * patience + _STEADY_SECONDS else self._stalls + 1
            self._log.error("engine_started_again", reason="it stood still", times_in_a_row=self._stalls)
        # One that stands still does not hear a request either.
        engine.must_end_within(0.0 if stalled else _ENGINE_SECONDS)
        engine.watch()

    def _recast(self) -> None:
        """Start all processes anew where the node plays another part from now on."""
        core = self._by_name.get("core")
        if core is None or core.last_exit != PART_CHANGED:
            return
        for child in reversed(self._children):
            child.stop()
        self._home = Home(self._home.path)
        self._make_children()
        self._log.info("part_changed", part=self._home.part, children=list(self._by_name))
        for child in self._children:
            child.start()

    def _tell(self) -> None:
        """Write down how the processes do, where that has changed."""
        now = Processes(children={child.name: child.facts for child in self._children}, stalls=self._stalls)
        if now == self._told:
            return
        try:
            write_processes(self._home.path, now)
            self._told = now
        except StorageError as error:
            self._log.error("processes_not_told", message=error.message, remedy=error.remedy)

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
        # Those that came before anybody could hear them come now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_TO_STOP)
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
