"""Fetching deliveries: outgoing connections only, resumed after every cut, verified chunk by chunk.

Rules:

- The peer's key is checked in the handshake, before a byte is sent; every chunk is authenticated, decrypted and compared
  with the fingerprint before it is counted as received.
- A cut is not an error: the fetch goes on from the last verified chunk, and gives up only after several attempts in a row
  that brought nothing. A refusal is an error at once, with the reason that the provider gave.
- Memory does not grow with the delivery: a few batches of about 1 MiB are under way at a time, and a slow disk slows
  the network down.
"""

from __future__ import annotations

import asyncio
import hmac
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import aiohttp

from tallystick.dataplane.answers import Answer, CutError, check_status, odd_answer
from tallystick.dataplane.certificates import PinCheck, TlsIdentity, UnexpectedPinError, wrong_peer
from tallystick.dataplane.fingerprints import Progress
from tallystick.dataplane.landing import Landing
from tallystick.dataplane.layout import Layout, Place
from tallystick.dataplane.package import MAX_PACKAGE_BYTES, KeyPackage, open_package
from tallystick.dataplane.ports import PREFIX
from tallystick.dataplane.receiving import Opener
from tallystick.dataplane.refusals import (
    FingerprintError,
    PackageError,
    TransferCutError,
)
from tallystick.dataplane.sidecars import HASH_BYTES
from tallystick.errors import NodeError

READ_BYTES = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How persistent a fetch is.

    Attributes:
        attempts: in a row without one more verified chunk, before it gives up.
        backoff_s: wait before the second attempt; doubled each time, up to `backoff_limit_s`.
        backoff_limit_s: longest wait.
        connect_s: for a connection to be made.
        stall_s: without a byte, before an attempt counts as cut.
        workers: threads that decrypt, hash and write.
        ahead: batches that may wait for them.
    """

    attempts: int = 8
    backoff_s: float = 0.5
    backoff_limit_s: float = 30.0
    connect_s: float = 15.0
    stall_s: float = 60.0
    workers: int = 2
    ahead: int = 4


@dataclass(frozen=True, slots=True)
class Order:
    """What to fetch, and what it must turn out to be.

    Attributes:
        url: of the provider's node, such as `https://data.hospital.example:7450`.
        delivery: its id on the wire.
        agreement: id of the agreement that it is under.
        fingerprint: root on the ledger, hex; "" where nothing is to be compared.
        package_hash: SHA-256 of the sealed package on the ledger, hex; "" likewise.
    """

    url: str
    delivery: str
    agreement: str
    fingerprint: str = ""
    package_hash: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A delivery that arrived.

    Attributes:
        path: the file or folder.
        root: the fingerprint that this node computed from what it received, hex.
        size: bytes of all files.
        files: how many.
        chunks: leaves of the fingerprint.
        resumed_chunks: how many of them were here from an earlier process.
        cuts: how often the connection was lost on the way.
    """

    path: Path
    root: str
    size: int
    files: int
    chunks: int
    resumed_chunks: int
    cuts: int


class DeliveryClient:
    """Fetches from one provider."""

    def __init__(self, identity: TlsIdentity, expected: PinCheck, *, options: FetchOptions | None = None) -> None:
        """Prepare.

        Args:
            identity: this node's.
            expected: whether a pin is one that the provider has registered.
            options: how persistent to be.
        """
        self._context = identity.client_context(expected)
        self._options = options or FetchOptions()

    async def fetch(
        self, order: Order, to: Path, private_key: bytes, *, name: str | None = None, progress: Progress | None = None
    ) -> Fetched:
        """Fetch a delivery into a folder.

        Args:
            order: what.
            to: the folder that the file or folder appears in, when all of it is there.
            private_key: X25519 key that the package is sealed to.
            name: what to call it; by default as the provider calls it.
            progress: see `Progress`; called from the event loop.

        Raises:
            WrongPeerError: the peer's key is not registered.
            AccessRefusedError: the provider refuses, with its reason.
            SourceChangedError: the provider no longer has what it offered.
            TransferCutError: too many cuts in a row; what came stays for the next fetch.
            IntegrityError: something is not what was agreed; by name.
            StorageError: this node's disk.
        """
        landing = await asyncio.to_thread(Landing, to, order.delivery)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._options.connect_s, sock_read=self._options.stall_s
        )
        try:
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._context, limit=2),
                timeout=timeout,
                read_bufsize=READ_BYTES,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session:
                fetch = _Fetch(session, self._options, order, landing, progress)
                return await fetch.run(private_key, name)
        finally:
            landing.close()


class _Fetch:
    """One fetch under way."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        options: FetchOptions,
        order: Order,
        landing: Landing,
        progress: Progress | None,
    ) -> None:
        self._session, self._options, self._order = session, options, order
        self._landing, self._progress = landing, progress
        self._address = f"{order.url.rstrip('/')}{PREFIX}/{order.delivery}"
        self._next = 0
        self._cuts = 0

    async def run(self, private_key: bytes, name: str | None) -> Fetched:
        """Do all of it; see `DeliveryClient.fetch`."""
        package = await self._get_package(private_key)
        leaves = await self._persist(lambda: self._get("leaves", package.chunks * HASH_BYTES))
        opener = await asyncio.to_thread(Opener, package, leaves)
        head = opener.manifest_layout()
        head_bytes = head.place(head.manifest_chunks - 1)
        end = head_bytes.cipher_offset + head_bytes.cipher_size
        ciphertext = await self._persist(lambda: self._get("content", end, f"bytes=0-{end - 1}"))
        manifest, layout = await asyncio.to_thread(opener.open_manifest, ciphertext)
        self._next = await asyncio.to_thread(self._landing.prepare, opener, manifest, layout, name)
        resumed = self._next - layout.manifest_chunks
        with ThreadPoolExecutor(self._options.workers, thread_name_prefix="landing") as pool:
            await self._persist(lambda: self._get_content(layout, pool))
        path = await asyncio.to_thread(self._landing.finish)
        return Fetched(path, package.fingerprint, package.size, package.files, package.chunks, resumed, self._cuts)

    async def _get_package(self, private_key: bytes) -> KeyPackage:
        order = self._order
        sealed = await self._persist(lambda: self._get("package", MAX_PACKAGE_BYTES, exact=False))
        if order.package_hash and not hmac.compare_digest(sha256(sealed).hexdigest(), order.package_hash):
            raise PackageError(
                "the key package is not the one that the provider recorded", remedy="Tell the provider's data officer."
            )
        package = open_package(sealed, private_key, delivery=order.delivery, agreement=order.agreement)
        if order.fingerprint and package.fingerprint != order.fingerprint:
            raise FingerprintError(
                "the provider delivers another fingerprint than the one on the ledger",
                remedy="Nothing was fetched. Tell the provider's data officer, or dispute the delivery.",
            )
        return package

    async def _persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something until it succeeds, is refused, or has failed too often in a row without progress."""
        wait_s = self._options.backoff_s
        failures = 0
        while True:
            before = self._next
            try:
                return await work()
            except UnexpectedPinError:
                raise wrong_peer(self._order.url) from None
            except CutError as cut:
                self._cuts += 1
                if self._next > before:
                    failures, wait_s = 0, self._options.backoff_s
                failures += 1
                if failures >= self._options.attempts:
                    raise TransferCutError(
                        f"{self._order.url} was tried {failures} times in a row without getting further: {cut}",
                        remedy="Check that the provider's node is up, then fetch again: what has arrived is kept.",
                    ) from cut
                # Jitter, so that many consumers of a node that restarts do not all come back at once.
                await asyncio.sleep(max(cut.retry_after_s, wait_s * random.uniform(0.5, 1.0)))
                wait_s = min(wait_s * 2, self._options.backoff_limit_s)

    async def _get(self, what: str, size: int, span: str = "", *, exact: bool = True) -> bytes:
        """Fetch something short whole.

        Args:
            what: the last part of its address.
            size: how many bytes it has, or may have.
            span: value of Range.
            exact: whether any other number of bytes is refused.
        """
        async with Answer(self._session, f"{self._address}/{what}", span) as response:
            await check_status(response, 206 if span else 200)
            parts, got = [], 0
            async for piece in response.content.iter_any():
                got += len(piece)
                if got > size:
                    break
                parts.append(piece)
        if got > size or (exact and got != size):
            raise odd_answer(f"{what} of {got} bytes where {size} were expected")
        return b"".join(parts)

    async def _get_content(self, layout: Layout, pool: ThreadPoolExecutor) -> None:
        """Fetch what is missing of the stream, verify it and write it."""
        self._report(layout)
        if self._next == layout.chunks:
            return
        start = layout.place(self._next).cipher_offset
        async with Answer(self._session, f"{self._address}/content", f"bytes={start}-") as response:
            await check_status(response, 206)
            wanted = f"bytes {start}-{layout.cipher_size - 1}/{layout.cipher_size}"
            if response.headers.get("Content-Range") != wanted:
                raise odd_answer("another part of the stream than was asked for")
            intake = _Intake(self, layout, pool)
            try:
                async for piece in response.content.iter_any():
                    await intake.feed(piece)
            finally:
                await intake.settle()
        if self._next < layout.chunks:
            raise CutError("the answer ended early")

    async def landed(self, places: list[Place], layout: Layout) -> None:
        """Count chunks that were verified and written."""
        due = self._landing.written(places)
        self._next = places[-1].chunk + 1
        self._report(layout)
        if due:
            await asyncio.to_thread(self._landing.record)

    @property
    def next_chunk(self) -> int:
        """The first chunk that has still to come."""
        return self._next

    @property
    def landing(self) -> Landing:
        """Where it lands."""
        return self._landing

    @property
    def ahead(self) -> int:
        """Batches that may wait for the workers."""
        return self._options.ahead

    def _report(self, layout: Layout) -> None:
        if self._progress is None:
            return
        overhead = layout.place(layout.manifest_chunks).cipher_offset
        done = layout.cipher_size if self._next == layout.chunks else layout.place(self._next).cipher_offset
        self._progress(done - overhead, layout.cipher_size - overhead)


class _Intake:
    """Gathers bytes into batches of whole chunks and hands them to the workers, in order."""

    def __init__(self, fetch: _Fetch, layout: Layout, pool: ThreadPoolExecutor) -> None:
        self._fetch, self._layout, self._pool = fetch, layout, pool
        self._runs: Iterator[list[Place]] = layout.batches(fetch.next_chunk, layout.chunks)
        self._jobs: deque[tuple[list[Place], asyncio.Future[None]]] = deque()
        self._begin()

    def _begin(self) -> None:
        self._places = next(self._runs, [])
        self._buffer = memoryview(bytearray(sum(place.cipher_size for place in self._places)))
        self._filled = 0

    async def feed(self, data: bytes) -> None:
        """Take bytes; waits while the workers are behind."""
        view = memoryview(data)
        while view:
            if not self._places:
                raise odd_answer("more bytes than it announced")
            taken = min(len(view), len(self._buffer) - self._filled)
            self._buffer[self._filled : self._filled + taken] = view[:taken]
            self._filled += taken
            view = view[taken:]
            if self._filled == len(self._buffer):
                write = self._fetch.landing.write
                job = asyncio.get_running_loop().run_in_executor(self._pool, write, self._places, self._buffer)
                self._jobs.append((self._places, job))
                self._begin()
                while self._jobs and (len(self._jobs) > self._fetch.ahead or self._jobs[0][1].done()):
                    await self._oldest()

    async def settle(self) -> None:
        """Wait for the workers, count what they wrote up to the first refusal, and write the journal."""
        refusal: NodeError | None = None
        while self._jobs:
            try:
                if refusal is None:
                    await self._oldest()
                else:
                    await asyncio.gather(self._jobs.popleft()[1], return_exceptions=True)
            except NodeError as error:
                refusal = error
        if self._fetch.next_chunk < self._layout.chunks:
            await asyncio.to_thread(self._fetch.landing.record)
        if refusal is not None:
            raise refusal

    async def _oldest(self) -> None:
        places, job = self._jobs.popleft()
        await job
        await self._fetch.landed(places, self._layout)
