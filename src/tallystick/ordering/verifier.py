"""Signature checks beside execution: a process of its own, because threads would share the interpreter's lock.

The process holds no state and no secret: a transaction names its key, so a check needs only the transaction's bytes and
the hash of the genesis. It answers a batch with one byte for each transaction: 1 good, 0 not.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Protocol

from tallystick.machine import Transaction
from tallystick.machine.signatures import verify_signature


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


class VerifierProcess:
    """Checks in a child process, one batch after the other; restarts the child if it is killed."""

    def __init__(self, genesis_hash: bytes) -> None:
        self._genesis_hash = genesis_hash
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the child while it runs."""
        return None if self._process is None else self._process.pid

    async def check(self, transactions: Sequence[Transaction]) -> list[bool]:
        """Return whether each signature is good; a batch is sent again if the child died over it."""
        parts = [len(transactions).to_bytes(4, "big")]
        for item in transactions:
            parts += (len(item.raw).to_bytes(4, "big"), item.raw)
        request = b"".join(parts)
        async with self._lock:
            for _ in range(3):
                try:
                    reader, writer = await self._connected()
                    writer.write(request)
                    answer = await reader.readexactly(len(transactions))
                    return [byte == 1 for byte in answer]
                except (OSError, asyncio.IncompleteReadError):
                    await self._stop()
        return await InlineVerifier().check(transactions)

    async def close(self) -> None:
        """Stop the child."""
        async with self._lock:
            await self._stop()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tallystick.ordering.verifier_main", self._genesis_hash.hex()],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            ours.setblocking(False)
            self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 22)
        return self._reader, self._writer

    async def _stop(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._reader = self._writer = self._process = None
