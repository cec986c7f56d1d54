"""The ceiling of one validator: the engine with its own built-in key-value store, in Go, in its process, without signatures.

It has the settings that a node's engine has, and transactions of 250 bytes.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import subprocess
import time
from pathlib import Path

from tallystick.errors import PeerError
from tallystick.node.engine import find_engine
from tallystick.node.network import free_ports
from tallystick.ordering.cometbft.rpc import RPC_SETTINGS, EngineRpc

TRANSACTION_BYTES = 250
_SENDERS = 4
_MOST_WAITING = 12_000
_START_SECONDS = 30
_SETTINGS = {
    "create_empty_blocks": "false",
    "timeout_commit": '"100ms"',
    "recheck": "false",
    "size": "20000",
    "cache_size": "40000",
    "indexer": '"null"',
    "discard_abci_responses": "true",
    "log_level": '"error"',
    "pprof_laddr": '""',
} | {name: str(value) for name, value in RPC_SETTINGS.items()}


async def measure_kvstore(folder: Path, count: int) -> float:
    """Return the transactions a second at which a fresh chain of one commits so many."""
    program = find_engine()
    if program is None:
        raise SystemExit("the distributed engine is not installed: type `tally engine install`")
    home = folder / f"kvstore-{secrets.token_hex(4)}"
    subprocess.run([program, "init", "--home", str(home)], check=True, stdout=subprocess.DEVNULL)
    _configure(home / "config" / "config.toml")
    peers, _ = free_ports(2)
    socket = home / "rpc.sock"
    command = [str(program), "start", "--home", str(home), "--proxy_app=kvstore"]
    command += [f"--rpc.laddr=unix://{socket}", f"--p2p.laddr=tcp://127.0.0.1:{peers}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rpc = EngineRpc(socket)
    try:
        await _ready(rpc, process)
        transactions = [_transaction() for _ in range(count)]
        started = time.perf_counter()
        await _send_all(rpc, transactions)
        while (await rpc.mempool())[0]:
            await asyncio.sleep(0.01)
        return count / (time.perf_counter() - started)
    finally:
        await rpc.close()
        process.terminate()
        process.wait(30)


def _configure(path: Path) -> None:
    text = path.read_text()
    for name, value in _SETTINGS.items():
        text = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
    path.write_text(text)


async def _ready(rpc: EngineRpc, process: subprocess.Popen[bytes]) -> None:
    rpc.open()
    started = time.perf_counter()
    while True:
        try:
            await rpc.status()
            return
        except PeerError:
            if process.poll() is not None or time.perf_counter() - started > _START_SECONDS:
                raise
            await asyncio.sleep(0.05)


def _transaction() -> bytes:
    key = secrets.token_hex(16)
    return f"{key}={'v' * (TRANSACTION_BYTES - len(key) - 1)}".encode()


async def _send_all(rpc: EngineRpc, transactions: list[bytes]) -> None:
    """Send with several requests under way, and never more waiting than the mempool takes."""
    portions = [transactions[at : at + 100] for at in range(0, len(transactions), 100)]
    portions.reverse()

    async def work() -> None:
        while portions:
            for answer in await rpc.send(portions.pop(), wait=False):
                assert answer.code == 0, answer
            while (await rpc.mempool())[0] > _MOST_WAITING:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(work() for _ in range(_SENDERS)))
