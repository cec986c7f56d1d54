"""Who is at the other end: the registered key and nothing else, certificates that renew themselves, and impostors."""

import time

import pytest

from tallystick.dataplane.refusals import WrongPeerError
from tallystick.node.homes import open_keys
from tallystick.node.peers.client import PeerClient
from tallystick.node.peers.identity import NodeIdentity
from tallystick.node.peers.server import Answer, Endpoint, PeerServer
from tests.support.nodes import PASSPHRASE, LocalNode, make_zone

YEAR = 365 * 86_400


class Nobody:
    """A directory in which nobody is registered."""

    def find_organisation(self, pin, claimed=""):
        return None


async def _zone(call):
    return Answer(b'{"genesis":"00","trust":{}}')


@pytest.fixture
async def server():
    """Start servers that answer anybody; returns a function that makes one of an identity."""
    started = []

    async def start(identity):
        made = PeerServer(identity.server_context(), Nobody(), [Endpoint("GET", "/zone", _zone, open=True)])
        await made.start("127.0.0.1:0")
        started.append(made)
        return f"127.0.0.1:{made.port}"

    yield start
    for made in started:
        await made.stop()


async def ask(identity, address, pin):
    client = PeerClient(identity, lambda shown: shown == pin, address=address, name="bank")
    try:
        return await client.zone()
    finally:
        await client.close()


async def test_impostor_at_a_registered_address_is_refused_before_a_byte_is_sent(tmp_path, server):
    """Whoever answers there without the registered key is named, with what to do."""
    registered = NodeIdentity(tmp_path / "bank", "bank", b"x" * 16)
    impostor = NodeIdentity(tmp_path / "impostor", "bank", b"x" * 16)
    own = NodeIdentity(tmp_path / "own", "clinic", b"x" * 16)
    assert (b"\x00", b"{}") == await ask(own, await server(registered), registered.pin)
    with pytest.raises(WrongPeerError) as caught:
        await ask(own, await server(impostor), registered.pin)
    assert "has registered" in caught.value.message
    assert caught.value.remedy


async def test_expired_certificates_do_not_keep_nodes_apart(tmp_path, server):
    """A node that was off for two years still catches up: its key counts, and the certificate renews itself."""
    now = time.time() - 2 * YEAR
    old = NodeIdentity(tmp_path / "old", "bank", b"x" * 16, clock=lambda: now)
    own = NodeIdentity(tmp_path / "own", "clinic", b"x" * 16, clock=lambda: now)
    assert time.time() > old.expires_s
    address = await server(old)
    assert (b"\x00", b"{}") == await ask(own, address, old.pin)
    pin, ended = old.pin, old.expires_s
    now = time.time()
    assert old.renew_if_due()
    assert not old.renew_if_due()
    assert (pin, True) == (old.pin, old.expires_s > max(ended, time.time()))
    assert (b"\x00", b"{}") == await ask(own, address, pin)


async def test_node_renews_at_its_start_and_tells_when_the_next_is_due(tmp_path):
    """The certificate that a home was left with long ago is replaced before anybody connects, under the same key."""
    home = make_zone(tmp_path).home
    keys = open_keys(home, PASSPHRASE)
    async with LocalNode(home, keys) as node:
        pin = node.peers.identity.pin
        folder = next((home.keys_path / "tls").iterdir())
        password = node.peers.identity._password
    (folder / "tls-certificate.pem").unlink()
    then = time.time() - YEAR
    left = NodeIdentity(folder, "city-hospital", password, clock=lambda: then)
    assert time.time() > left.expires_s
    async with LocalNode(home, keys) as node:
        assert pin == node.peers.identity.pin
        assert time.time() * 1000 < node.office.standing().certificate_expires
