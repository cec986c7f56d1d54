"""Signature checks beside execution: a process of its own, because threads would share the interpreter's lock.

The process holds no state and no secret: a transaction names its key, so a check needs only key, signature and what was
signed. It answers a batch with one byte for each transaction: 1 good, 0 not.

There are two programs for it, which give the same answers: `verifier_main.py`, always there, asks libsodium;
`verifier_main.go`, built with the distributed engine, takes two thirds of its time.

Batches go out at once, into a pipe that holds some two thousand checks, and answers come back in the same order: the
child always has work while this process executes a block, which does not return to its event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tallystick.keys import Check
from tallystick.machine import Transaction
from tallystick.machine.signatures import verify_signature

_PIPE_BYTES = 1 << 20  # what a process without privileges may ask for
_SLOW = (sys.executable, "-m", "tallystick.ordering.verifier_main")


def encode_batch(checks: Sequence[Check]) -> bytes:
    """Return what either program reads: see `verifier_main`."""
    parts = [len(checks).to_bytes(4, "big")]
    for key, signed, signature in checks:
        parts += (key, signature, len(signed).to_bytes(4, "big"), signed)
    return b"".join(parts)


class SignatureVerifier(Protocol):
    """Checks signatures of decoded transactions."""

    async def check(self, transactions: Sequence[Transaction]) -> list[bool]:
        """Return whether each signature is good."""

    async def close(self) -> None:
        """Stop."""


class InlineVerifier:
    """Checks in this process; for tests and tools."""

    async def check(self, transactions: Sequence[Transaction]) -> list[bool]:
        """Return whether each signature is good."""
        return [verify_signature(item.key, item.signed, item.signature) for item in transactions]

    async def close(self) -> None:
        """Nothing to stop."""


class _Child:
    """One run of the child process; batches that it was given, and what it has not answered yet."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it.

        Raises:
            OSError: there is no such program, or it cannot be started.
        """
        self._loop = asyncio.get_running_loop()
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # A smaller pipe works as well, only slower.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._out, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            self.process = subprocess.Popen(command, stdin=theirs_in, stdout=theirs_out, start_new_session=True)
        except OSError:
            os.close(self._out)
            os.close(self._in)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        self._unsent = bytearray()
        self._unread = b""
        self._asked: deque[tuple[asyncio.Future[bytes], int]] = deque()
        self.lost = False
        self._loop.add_reader(self._in, self._read)

    def ask(self, request: bytes, count: int) -> asyncio.Future[bytes]:
        """Send a batch; the future has a byte for each of its `count` checks, or fails if the child is gone."""
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._asked.append((future, count))
        waiting = bool(self._unsent)
        self._unsent += request
        if not waiting:
            self._write()
        return future

    def _write(self) -> None:
        """Write as much as the pipe takes, and the rest when it has room."""
        try:
            del self._unsent[: os.write(self._out, self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.stop()
            return
        if self._unsent:
            self._loop.add_writer(self._out, self._write)
        else:
            self._loop.remove_writer(self._out)

    def _read(self) -> None:
        """Take answers, in the order of the questions."""
        try:
            data = os.read(self._in, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.stop()
            return
        answers = self._unread + data
        at = 0
        while self._asked and len(answers) - at >= self._asked[0][1]:
            future, count = self._asked.popleft()
            if not future.done():
                future.set_result(answers[at : at + count])
            at += count
        self._unread = answers[at:]

    def stop(self) -> None:
        """End it; whoever waits for an answer is told that it is gone."""
        if self.lost:
            return
        self.lost = True
        self._loop.remove_reader(self._in)
        self._loop.remove_writer(self._out)
        os.close(self._in)
        os.close(self._out)
        self.process.kill()
        self.process.wait()
        asked, self._asked = self._asked, deque()
        for future, _ in asked:
            if not future.done():
                future.set_exception(ConnectionError("the process that checks signatures is gone"))


class VerifierProcess:
    """Checks in a child process, which is started with the first batch, and again if it is killed."""

    def __init__(self, program: Path | None = None) -> None:
        """Prepare; nothing runs yet.

        Args:
            program: the fast one, where there is one. If it cannot be started, or dies over a batch again and again, the
                slow one is asked.
        """
        self._fast = _SLOW if program is None else (str(program),)
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child while it runs."""
        return None if self._child is None or self._child.lost else self._child.process.pid

    async def check(self, transactions: Sequence[Transaction]) -> list[bool]:
        """Return whether each signature is good; a batch is sent again if the child died over it.

        Batches may be given while others are not answered yet; they are answered in order.
        """
        if not transactions:
            # A heartbeat block: no answer would ever come for nothing.
            return []
        request = encode_batch([(item.key, item.signed, item.signature) for item in transactions])
        for command in (self._fast, self._fast, _SLOW):
            try:
                if self._child is None or self._child.lost:
                    self._child = _Child(command)
                answer = await self._child.ask(request, len(transactions))
            except OSError:  # it is gone, or does not start
                continue
            return [byte == 1 for byte in answer]
        return await InlineVerifier().check(transactions)

    async def close(self) -> None:
        """Stop the child."""
        if self._child is not None:
            self._child.stop()
