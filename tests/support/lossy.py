"""A slow and lossy network between nodes on one machine: real TCP over IP packets that come late, or never.

Each node has a network namespace whose only way to the others is a TUN device. Its packets come to this process, which
drops some and hands the rest on later: what `netem delay 300ms loss 5%` does, which few kernels of test machines have.
Nodes meet lost handshakes, timeouts, retransmissions and slow windows as they are.

Tests stand outside. They reach a node's loopback, where its API is, by a port of the same number on theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import random
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

from tests.support.components import require

_NETWORK = "10.77.8"
_DEVICE = "lossy0"
_MTU = 1_500
# linux/if_tun.h, linux/sched.h.
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_PIECE_BYTES = 1 << 16

T = TypeVar("T")


class Place(NamedTuple):
    """Where one node runs: the name of its namespace, and its address on the lossy network."""

    namespace: str
    address: str


class LossyNetwork:
    """Several namespaces and the network between them, from `with` to its end.

    Attributes:
        places: of the nodes.
        lost, passed: packets so far.
    """

    def __init__(self, count: int, *, delay_s: float, loss: float, seed: int) -> None:
        """Prepare.

        Args:
            count: of nodes.
            delay_s: one way.
            loss: share of the packets that are lost, 0 to 1.
            seed: of the choice which.
        """
        self._ip = str(require("network-namespaces"))
        self._tun = require("tun")
        self._delay_s = delay_s
        self._loss = loss
        self._chance = random.Random(seed)
        self.places = [Place(f"tally-{os.getpid()}-l{at}", f"{_NETWORK}.{at}") for at in range(1, count + 1)]
        self._devices: dict[bytes, int] = {}
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.lost = self.passed = 0

    def heal(self) -> None:
        """Let every packet pass at once from now on; those under way arrive when they are due."""
        self._delay_s = self._loss = 0.0

    def start(
        self, place: Place, command: list[str], log: Path, environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a program in a namespace."""
        with log.open("ab") as file:
            return subprocess.Popen(
                [self._ip, "netns", "exec", place.namespace, *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,
            )

    def lead_in(self, place: Place, port: int) -> None:
        """Lead connections to a port of this loopback to the same one on that of a namespace, without delay or loss."""
        asyncio.run_coroutine_threadsafe(self._lead_in(place, port), self._loop).result(10)

    # --- packets -----------------------------------------------------------------------------------------------------

    def _read(self, device: int) -> None:
        """Take what a node has sent, and drop it or hand it on."""
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = os.read(device, _MTU)
                # IPv4 alone; its destination are the bytes 16 to 19 (RFC 791 section 3.1).
                to = self._devices.get(packet[16:20]) if packet[0] >> 4 == 4 else None
                if to is None:
                    continue
                if self._chance.random() < self._loss:
                    self.lost += 1
                    continue
                self.passed += 1
                self._loop.call_later(self._delay_s, self._write, to, packet)

    @staticmethod
    def _write(device: int, packet: bytes) -> None:
        # A node that takes no more loses it, as on any network.
        with contextlib.suppress(OSError):
            os.write(device, packet)

    # --- the way in --------------------------------------------------------------------------------------------------

    async def _lead_in(self, place: Place, port: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                inner = await asyncio.to_thread(
                    _inside, place.namespace, lambda: socket.create_connection(("127.0.0.1", port), 5)
                )
                there, back = await asyncio.open_connection(sock=inner)
            except OSError:
                writer.close()
                return
            await asyncio.gather(_pump(reader, back), _pump(there, writer))

        self._servers.append(await asyncio.start_server(serve, "127.0.0.1", port))

    # --- beginning and end -------------------------------------------------------------------------------------------

    def __enter__(self) -> LossyNetwork:
        self._thread.start()
        try:
            for place in self.places:
                self._add(place)
        except BaseException:
            self._end()
            raise
        return self

    def _add(self, place: Place) -> None:
        self._run("netns", "add", place.namespace)
        device = _inside(place.namespace, lambda: _open_device(self._tun))
        self._devices[socket.inet_aton(place.address)] = device
        self._run("-n", place.namespace, "address", "add", f"{place.address}/24", "dev", _DEVICE)
        self._run("-n", place.namespace, "link", "set", _DEVICE, "mtu", str(_MTU), "up")
        self._run("-n", place.namespace, "link", "set", "lo", "up")
        self._loop.call_soon_threadsafe(self._loop.add_reader, device, self._read, device)

    def _run(self, *words: str) -> None:
        subprocess.run([self._ip, *words], check=True, capture_output=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        for device in self._devices.values():
            os.close(device)
        for place in self.places:
            subprocess.run([self._ip, "netns", "delete", place.namespace], check=False, capture_output=True)

    async def _stop(self) -> None:
        for device in self._devices.values():
            self._loop.remove_reader(device)
        for server in self._servers:
            server.close()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


def _inside(namespace: str, work: Callable[[], T]) -> T:
    """Do something in a network namespace: in a thread of its own, which never leaves it."""
    done: Future[T] = Future()

    def enter() -> None:
        try:
            system = ctypes.CDLL(None, use_errno=True)
            with Path("/run/netns", namespace).open("rb") as file:
                if system.setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=enter, daemon=True).start()
    return done.result(20)


def _open_device(path: Path) -> int:
    """Make the TUN device of the namespace that this thread is in; return what its packets are read from."""
    device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH14x", _DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(device)
        raise
    return device
