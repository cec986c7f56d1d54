"""`tally node run`: starts the core and the office, watches both, and stops them in order.

The two are processes of their own: a crash of the office does not touch the core. Whichever dies is started again, with
growing pauses if it dies at once. Each child holds one end of a socket to this process: when this process is gone, however
it went, the socket closes and the child stops by itself. What opens the keys travels over it, never in arguments or the
environment. The other way come signs of life (`lifeline`): a child that has given some and then gives none for long stands
still, whatever the reason, and is killed and started again like one that died. A child itself is in `supervised`.

A validator's engine is a third child, and one with its core: it ends with code 0 when its core dies, which is a fault all
the same; one that does not end is killed; and where the core finds that the engine stands still, both are started again.
What the engine writes becomes part of this process's log (`engine_log`).

This process lives as long as its node, so that it loads little (`supervisor_main`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from types import FrameType

from tallystick.errors import StorageError
from tallystick.node.homes import Home
from tallystick.node.locks import lock_home
from tallystick.node.plain_log import JsonLog, Log
from tallystick.node.processes import (
    ENGINE_STALLED,
    HANDED_OVER,
    PART_CHANGED,
    Processes,
    patience_seconds,
    write_processes,
)
from tallystick.node.supervised import STEADY_SECONDS, Child

TOLD_TO_STOP = (signal.SIGTERM, signal.SIGINT)
# What an engine has to end by itself when its core is gone.
_ENGINE_SECONDS = 10.0
# A child gives no sign of life while it does one large thing: it is waited for so many times as long as an engine.
_STUCK_PATIENCES = 10


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
            self._stalls = 1 if core.ran_seconds > 2 * patience + STEADY_SECONDS else self._stalls + 1
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
