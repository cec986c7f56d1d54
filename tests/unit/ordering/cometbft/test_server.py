"""The socket: framed, answered in order, and each connection on its own."""

import asyncio
import stat

import pytest

from tallystick.codec.bundles import encode_bundle
from tallystick.errors import PeerError, StorageError
from tallystick.ordering.cometbft import AbciServer
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.server import frame, take_frame


class Engine:
    """The other end: writes requests, reads answers."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, *requests):
        self.writer.write(b"".join(frame(abci.Request(**request)) for request in requests))

    async def read(self):
        size = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                return abci.Response.FromString(await self.reader.readexactly(size))
            shift += 7

    async def ask(self, **request):
        self.send(request)
        return await self.read()


@pytest.fixture
async def served(bench, tmp_path):
    """A server over the toy ledger, and a function that connects to it."""
    application = bench.application()
    server = AbciServer(tmp_path / "abci.sock", application)
    await server.start()
    writers = []

    async def connect():
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        writers.append(writer)
        return Engine(reader, writer)

    yield application, server, connect
    for writer in writers:
        writer.close()
    await server.stop()
    assert not server.path.exists()


async def test_requests_are_answered_in_their_order(served, bench):
    """Many requests written at once, checks of transactions among them, come back in the order they went."""
    _, server, connect = served
    assert 0o600 == stat.S_IMODE(server.path.stat().st_mode)
    engine = await connect()
    good = [abci.RequestCheckTx(tx=encode_bundle([bench.note(key=f"k{number}")])) for number in range(20)]
    requests = [{"echo": abci.RequestEcho(message="first")}, {"info": abci.RequestInfo()}]
    requests += [{"check_tx": request} for request in good]
    requests += [{"check_tx": abci.RequestCheckTx(tx=b"nonsense")}, {"flush": abci.RequestFlush()}]
    engine.send(*requests)
    answers = [await engine.read() for _ in requests]
    assert ["echo", "info", *["check_tx"] * 21, "flush"] == [answer.WhichOneof("value") for answer in answers]
    assert [0] * 20 + [1] == [answer.check_tx.code for answer in answers[2:-1]]
    assert "first" == answers[0].echo.message


async def test_every_request_of_the_interface_is_answered(served):
    """Each of the sixteen has an answer of its own kind, or an exception that says why not."""
    _, _, connect = served
    engine = await connect()
    kinds = [field.name for field in abci.Request.DESCRIPTOR.oneofs_by_name["value"].fields]
    assert 16 == len(kinds)
    answered = {}
    for kind in kinds:
        answered[kind] = (await engine.ask(**{kind: getattr(abci, f"Request{_camel(kind)}")()})).WhichOneof("value")
    raised = {"init_chain": "exception", "commit": "exception", "finalize_block": "exception"}
    assert dict(zip(kinds, kinds, strict=True)) | raised == answered


def _camel(kind):
    return "".join(part.capitalize() for part in kind.split("_"))


async def test_requests_may_come_in_pieces(served):
    """A message that arrives byte by byte is answered like any other."""
    _, _, connect = served
    engine = await connect()
    for byte in frame(abci.Request(echo=abci.RequestEcho(message="x" * 200))):
        engine.writer.write(bytes((byte,)))
        await engine.writer.drain()
    assert "x" * 200 == (await engine.read()).echo.message


@pytest.mark.parametrize("garbage", [b"\xff" * 20, b"\x05abcde", b"\xff\xff\xff\x7f" + b"x" * 50])
async def test_garbage_closes_that_connection_alone(served, garbage):
    """What is no message ends its own connection; another goes on."""
    _, _, connect = served
    bad, good = await connect(), await connect()
    bad.writer.write(garbage)
    assert b"" == await bad.reader.read()
    assert "still" == (await good.ask(echo=abci.RequestEcho(message="still"))).echo.message


async def test_failure_is_told_with_its_remedy_and_without_a_trace(served, monkeypatch):
    """A node's error is told whole, an unforeseen one only by the request's name; the connection goes on."""
    application, _, connect = served
    engine = await connect()

    async def full(request):
        raise StorageError("the disk is full", remedy="Free some.")

    async def broken(requests):
        raise KeyError("inner detail")

    monkeypatch.setattr(application, "commit", full)
    monkeypatch.setattr(application, "check_transactions", broken)
    said = (await engine.ask(commit=abci.RequestCommit())).exception.error
    assert "the disk is full. Free some." == said
    said = (await engine.ask(check_tx=abci.RequestCheckTx(tx=b"x"))).exception.error
    assert "inner detail" not in said
    assert "check_tx failed" in said
    assert "y" == (await engine.ask(echo=abci.RequestEcho(message="y"))).echo.message


async def test_block_being_committed_when_the_engine_goes_is_whole(served, bench):
    """A connection that is cut in the middle of its requests leaves what it was answered, and no half of a block."""
    application, _, connect = served
    engine = await connect()
    engine.send({"finalize_block": bench.finalize(application, bench.note())}, {"commit": abci.RequestCommit()})
    assert 1 == len((await engine.read()).finalize_block.tx_results)
    engine.writer.transport.abort()
    again = await connect()
    height = (await again.ask(info=abci.RequestInfo())).info.last_block_height
    assert height == bench.application().state.height


def test_length_in_more_bytes_than_any_message_needs():
    """A frame is read when it is whole, and refused when it is longer than any message."""
    data = bytearray(frame(abci.Request(echo=abci.RequestEcho(message="x" * 300))))
    assert all(take_frame(data[:size], 0) is None for size in range(len(data)))
    assert len(data) == take_frame(data, 0)[1]
    for bad in (b"\xff" * 5, b"\x80\x80\x80\x80\x7f"):
        with pytest.raises(PeerError):
            take_frame(bytearray(bad), 0)
