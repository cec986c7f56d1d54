"""The link to the core: requests, answers, news, and a core that goes away."""

import asyncio
import stat

import pytest

from tallystick.errors import PeerError, QueueFullError
from tallystick.ordering import Submitted
from tallystick.ordering.link import LinkClient, LinkServer
from tests.support.toy import PutNote


@pytest.fixture
async def linked(bench, tmp_path):
    engine = bench.solo()
    engine.start()

    async def fail(body):
        raise PeerError("no", remedy="Try yes.")

    path = tmp_path / "core.sock"
    server = LinkServer(path, {"fail": fail}, submit=engine.submit)
    await server.start()
    client = LinkClient(path)
    yield server, client, path
    await client.close()
    await server.stop()
    await engine.stop()


async def test_submissions_cross_the_link_with_their_outcomes(bench, linked):
    """Acceptance, rejection and refusal arrive as they were, in order."""
    _, client, _ = linked
    good = bench.toy.sign("bank", PutNote(key="a", text="x"), PutNote(key="a", text="y"), atomic=False)
    accepted, refused, garbage = await client.submit(
        [good, bench.toy.sign("bank", PutNote(key="b", text="x"), claim="clinic"), b"garbage"]
    )
    assert isinstance(accepted, Submitted)
    assert [0, 9001] == [outcome.code for outcome in accepted.outcomes]
    assert {"key": "a"} == accepted.outcomes[1].error.fields
    assert ["unknown_key", "malformed"] == [refused.name, garbage.name]


async def test_news_reaches_everybody(linked):
    """News is told to all who are connected."""
    server, _, path = linked
    heard = asyncio.Queue()
    clients = [LinkClient(path, lambda kind, body: heard.put_nowait((kind, body))) for _ in range(2)]
    for client in clients:
        await client.connect()
    await asyncio.sleep(0.05)
    server.tell("block", {"height": 7})
    assert [("block", {"height": 7})] * 2 == [await asyncio.wait_for(heard.get(), 5) for _ in clients]
    for client in clients:
        await client.close()


async def test_core_that_is_away_is_named_with_a_remedy_and_found_again(bench, linked):
    """While the core is away each request says so; when it is back they work without a new client."""
    server, client, _ = linked
    with pytest.raises(PeerError, match="no"):
        await client.ask("fail")
    await server.stop()
    await asyncio.sleep(0.05)
    with pytest.raises(PeerError, match="does not answer") as caught:
        await client.ask("fail")
    assert "tally node run" in caught.value.remedy
    await server.start()
    with pytest.raises(PeerError, match="no"):
        await client.ask("fail")


async def test_socket_is_private_and_unknown_requests_are_refused(linked):
    """Only the owner of the home may open the socket; an unknown request is refused, not a crash."""
    _, client, path = linked
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    with pytest.raises(PeerError, match="does not know dance"):
        await client.ask("dance")


async def test_full_queue_crosses_the_link(bench, linked):
    """That an organisation has its share waiting arrives with the time after which to come again."""
    server, client, _ = linked

    def full(raw, source):
        raise QueueFullError(f"{source or 'this node'} has enough", remedy="Wait.", retry_after_s=9)

    server._submit = full
    (refused,) = await client.submit([b"x"])
    assert isinstance(refused, QueueFullError)
    assert (9, "this node has enough", "Wait.") == (refused.retry_after_s, refused.message, refused.remedy)
    (refused,) = await client.ask("relay", ["clinic", [b"x"]])
    assert "clinic has enough" == refused["message"]
