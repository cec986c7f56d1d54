"""One process of a node as its supervisor sees it: started, heard, started again, stopped.

What it says on its standard output, where that is an engine, becomes part of the supervisor's log. Its standard input is a
socket: to it goes what opens the keys, from it come signs of life (`lifeline`).
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from tallystick.node.engine_log import EngineLog, follow, into
from tallystick.node.plain_log import JsonLog, Log
from tallystick.node.processes import ENGINE_STALLED, PART_CHANGED, Process

STOP_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""One that ran for so long had been started well."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
# One that a signal ended did not fail by itself, nor did an engine whose core died, which ends with code 0: they are
# wanted back soon.
_LONGEST_PAUSE_OF_THE_BLAMELESS = 0.5
# What reading the last words of one that ended may take: they are in the pipe already.
_LAST_WORDS_SECONDS = 5.0
# A signal or the end of a child wakes the supervisor; it looks by itself only in case one was missed.
_LOOK_SECONDS = 1.0
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
        if now - self._started > STEADY_SECONDS:
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
