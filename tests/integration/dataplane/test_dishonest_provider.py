"""A provider that holds the right key and sends what it should not: each is refused by name, and nothing lands."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tallystick.codec import encode_json
from tallystick.dataplane import Fingerprint, Sidecar, StreamCipher, TlsIdentity, build_package, seal_package
from tallystick.dataplane.client import DeliveryClient, Fetched, Order
from tallystick.dataplane.fingerprints import LeafHasher
from tallystick.dataplane.layout import Layout
from tallystick.dataplane.ranges import wanted_range
from tallystick.dataplane.refusals import (
    AccessRefusedError,
    ChunkMismatchError,
    FingerprintError,
    ManifestError,
    PeerAnswerError,
    SegmentAlteredError,
    TransferCutError,
    UnsafePathError,
)
from tallystick.dataplane.sidecars import split_leaves
from tallystick.merkle import root_from_hashes
from tests.support.dataplane import AGREEMENT, IMPATIENT, PASSWORD

KEY = bytes(range(32))
SALT = bytes(32)
PUBLIC_KEY = web.AppKey("public_key", bytes)


@dataclass
class Dishonest:
    """What the provider answers; every part may be replaced before it is served."""

    manifest: bytes
    data: bytes
    delivery: str = field(default_factory=lambda: secrets.token_hex(16))
    declared: dict[str, int] = field(default_factory=dict)
    fake_data: bytes | None = None
    leaves: bytes | None = None
    spoil: Callable[[bytes], bytes] = bytes
    answer: Callable[[web.Request], web.Response | None] = lambda _: None
    lie_in_range: bool = False

    def __post_init__(self) -> None:
        self.layout = Layout(len(self.manifest), [len(self.data)])
        self.stream = self._seal(self.data)
        whole = self.manifest + self.data
        hasher, leaves, at = LeafHasher(SALT), b"", 0
        for chunk in range(self.layout.chunks):
            size = self.layout.place(chunk).size
            leaves += hasher.leaf(chunk, whole[at : at + size])
            at += size
        numbers = {"size": len(self.data), "files": 1, "chunks": self.layout.chunks, **self.declared}
        root = root_from_hashes(split_leaves(leaves))
        self.sidecar = Sidecar(Fingerprint(root=root, salt=SALT, **numbers), self.manifest, leaves)

    def _seal(self, data: bytes) -> bytes:
        whole, cipher, at, stream = self.manifest + data, StreamCipher(KEY, self.delivery), 0, b""
        for chunk in range(self.layout.chunks):
            place = self.layout.place(chunk)
            stream += cipher.seal(place.segment, whole[at : at + place.size], last=place.last)
            at += place.size
        return stream

    async def serve(self, request: web.Request) -> web.Response:
        """Answer."""
        replaced = self.answer(request)
        if replaced is not None:
            return replaced
        what = request.match_info["what"]
        if what == "package":
            package = build_package(
                self.sidecar, delivery=self.delivery, agreement=AGREEMENT, content_key=KEY, expires_ms=0
            )
            return web.Response(body=seal_package(package, request.app[PUBLIC_KEY]))
        if what == "leaves":
            return web.Response(body=self.sidecar.leaves if self.leaves is None else self.leaves)
        stream = self.stream if self.fake_data is None else self._seal(self.fake_data)
        span = wanted_range(request.headers.get("Range"), None, "", len(stream))
        body = stream[span.start : span.end]
        if span.end == len(stream):
            body = self.spoil(body)
        shown = 0 if self.lie_in_range else span.start
        headers = {"Content-Range": f"bytes {shown}-{span.end - 1}/{len(stream)}"}
        return web.Response(status=206, body=body, headers=headers)


@asynccontextmanager
async def serving(folder: Path, dishonest: Dishonest) -> AsyncIterator[Callable[[], object]]:
    """Serve, and give a function that fetches."""
    provider = TlsIdentity(folder / "provider", "hospital", PASSWORD)
    consumer = TlsIdentity(folder / "consumer", "university", PASSWORD)
    private = X25519PrivateKey.generate()
    app = web.Application()
    app[PUBLIC_KEY] = private.public_key().public_bytes_raw()
    app.router.add_get("/dataplane/v1/deliveries/{delivery}/{what}", dishonest.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener, ssl_context=provider.server_context()).start()
    client = DeliveryClient(consumer, {provider.pin}.__contains__, options=IMPATIENT)
    order = Order(f"https://127.0.0.1:{listener.getsockname()[1]}", dishonest.delivery, AGREEMENT)
    try:
        yield lambda: client.fetch(order, folder / "in", private.private_bytes_raw())
    finally:
        await runner.cleanup()


async def fetch_from(folder: Path, dishonest: Dishonest) -> Fetched:
    """Fetch, and check that a refused delivery leaves nothing but its `.part` folder, with nothing outside."""
    async with serving(folder, dishonest) as fetch:
        try:
            return await fetch()  # type: ignore[misc]
        finally:
            names = {path.name for path in folder.rglob("*") if path.is_file()}
            assert not names & {"evil", "passwd"}


def a_manifest(path: str, size: int, *, name: str = "data", kind: str = "folder") -> bytes:
    """Return a manifest of one file."""
    files = [{"media_type": "text/plain", "path": path, "size": size}]
    return encode_json({"files": files, "kind": kind, "name": name, "v": 1})


def honest(**changes: object) -> Dishonest:
    """Return a provider that is honest but for the given changes."""
    data = bytes(range(256)) * 800
    return Dishonest(a_manifest("a.bin", len(data)), data, **changes)  # type: ignore[arg-type]


async def test_honest_one_is_accepted(tmp_path: Path) -> None:
    """Without a change this provider's delivery arrives: the refusals below are for what was changed."""
    fetched = await fetch_from(tmp_path, honest())
    assert (fetched.path / "a.bin").read_bytes() == bytes(range(256)) * 800


@pytest.mark.parametrize(
    "path", ["../evil", "/tmp/evil", "a/../../evil", "..", "a\\..\\evil", "evil\x00", "\x1b[2Jevil"]
)
@pytest.mark.parametrize("where", ["path", "name"])
async def test_hostile_names_are_refused(tmp_path: Path, path: str, where: str) -> None:
    """A manifest whose names lead outside is refused before anything is written."""
    manifest = a_manifest(path, 4) if where == "path" else a_manifest("a", 4, name=path)
    with pytest.raises(UnsafePathError):
        await fetch_from(tmp_path, Dishonest(manifest, b"evil"))


@pytest.mark.parametrize(
    "declared", [{"size": 1}, {"files": 2}, {"size": 2**53 - 1}], ids=["smaller", "more-files", "huge"]
)
async def test_manifest_that_contradicts_the_package_is_refused(tmp_path: Path, declared: dict[str, int]) -> None:
    """Sizes in the sealed package and in the manifest must agree."""
    with pytest.raises(ManifestError):
        await fetch_from(tmp_path, honest(declared=declared))


async def test_other_contents_than_agreed_are_refused(tmp_path: Path) -> None:
    """Data encrypted as it should be, but of other contents, is refused at the chunk."""
    with pytest.raises(ChunkMismatchError, match="chunk 1"):
        await fetch_from(tmp_path, honest(fake_data=bytes(256 * 800)))
    assert not (tmp_path / "in/data").exists()


@pytest.mark.parametrize("leaves", [b"", bytes(64), os.urandom(64)], ids=["none", "zeros", "random"])
async def test_leaves_that_do_not_give_the_fingerprint_are_refused(tmp_path: Path, leaves: bytes) -> None:
    """A list of other leaves, or of too few, is refused."""
    with pytest.raises((FingerprintError, PeerAnswerError)):
        await fetch_from(tmp_path, honest(leaves=leaves))


async def test_altered_bytes_are_refused(tmp_path: Path) -> None:
    """One flipped bit in the stream is refused by name."""

    def flip(body: bytes) -> bytes:
        return body[:1000] + bytes((body[1000] ^ 1,)) + body[1001:]

    with pytest.raises(SegmentAlteredError):
        await fetch_from(tmp_path, honest(spoil=flip))


async def test_short_and_long_answers_are_refused(tmp_path: Path) -> None:
    """An answer that ends early again and again is a cut; one that goes on is refused."""
    with pytest.raises(TransferCutError):
        await fetch_from(tmp_path, honest(spoil=lambda body: body[:-1]))
    with pytest.raises(PeerAnswerError, match="more bytes"):
        await fetch_from(tmp_path, honest(spoil=lambda body: body + b"more"))


async def test_another_part_than_asked_for_is_refused(tmp_path: Path) -> None:
    """A range that the answer itself calls another is refused."""
    with pytest.raises(PeerAnswerError, match="another part"):
        await fetch_from(tmp_path, honest(lie_in_range=True))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, b'{"message":"no \\u001b[31m\\u0007way","remedy":5}', AccessRefusedError),
        (403, b"\xff not json", AccessRefusedError),
        (403, b"[1,2]", AccessRefusedError),
        (404, b"", PeerAnswerError),
        (302, b"", PeerAnswerError),
        (200, bytes(100_000), PeerAnswerError),
        (500, b"boom", TransferCutError),
        (503, b"{}", TransferCutError),
    ],
)
async def test_odd_answers_become_errors_by_name(
    tmp_path: Path, status: int, body: bytes, error: type[Exception]
) -> None:
    """Whatever a peer answers becomes one printable error; nothing of it reaches a terminal as it is."""

    def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"Location": "https://127.0.0.1:1/"})

    with pytest.raises(error) as caught:
        await fetch_from(tmp_path, honest(answer=answer))
    assert str(caught.value).isprintable()
