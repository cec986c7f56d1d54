"""Gossip in one node: what another node says goes to the core when it is new, and no more often than it has to."""

import asyncio
import base64
from types import SimpleNamespace

import pytest

from tallystick.errors import PeerError
from tallystick.node.core_publishing import SECONDS_A_MEMBER, Publishing
from tallystick.node.peers.gossip import Gossip
from tallystick.node.peers.messages import Head, Witnessed

ROOT, OTHER = b"r" * 32, b"o" * 32
SIZE = 4


def note(root, signer):
    """Return the text of a checkpoint of a size and root, as one that orders signed it."""
    return f"zone\n{SIZE}\n{base64.b64encode(root).decode()}\n\n— {signer} c2lnbmVk\n"


def cosigned(organisation, root=ROOT):
    return Witnessed(organisation=organisation, root=root.hex(), signature="ab" * 64, size=SIZE, time=1)


class Core:
    """Keeps what it is given in the store, as a core does, and remembers that it was asked."""

    def __init__(self, store):
        self.store = store
        self.asked = []

    async def ask(self, kind, body=None):
        self.asked.append((kind, body))
        if kind == "checkpoint":
            self.store.add_checkpoint(SIZE, ROOT, 1, body.decode())
            self.store.add_cosignature(SIZE, "bank", 1, b"s")
        elif kind == "cosignature":
            size, root, fields = body
            if root != ROOT:
                raise PeerError("another history", remedy="Look.")
            self.store.add_cosignature(size, fields["organisation"], fields["time"], b"s")


@pytest.fixture
def make_gossip(make_zone, monkeypatch):
    """Return a function that makes a replica's gossip over a store, in a zone of so many who order and who do not."""

    def make(orderers, others):
        store = make_zone(("hospital", "university", "bank"), validators=("hospital", "university", "bank")).store
        monkeypatch.setattr(store, "last_block", lambda: SimpleNamespace(height=9, size=SIZE))
        names = [f"v{number}" for number in range(orderers)]
        directory = SimpleNamespace(orderers=names, peers=lambda: range(orderers + others))
        settings = SimpleNamespace(node=SimpleNamespace(organisation="bank"), peers=SimpleNamespace(poll_seconds=5))
        core = Core(store)
        return core, Gossip(core, None, directory, store, SimpleNamespace(part="replica", settings=settings))

    return make


def head(*, checkpoints=(), cosignatures=()):
    return Head(
        height=9,
        size=SIZE,
        root=ROOT.hex(),
        checkpoints=tuple(checkpoints),
        cosignatures=tuple(cosignatures),
        trust_signatures=(),
        forks=0,
        restored=False,
    )


async def test_one_checkpoint_is_cosigned_once_whoever_signed_it(make_gossip):
    """All who order sign the same checkpoint: it goes to the core once; another root of that size always does."""
    core, gossip = make_gossip(4, 3)
    assert await gossip.take("v0", head(checkpoints=[note(ROOT, "v0")])) is False
    for signer in ("v1", "v2", "v0"):
        await gossip.take(signer, head(checkpoints=[note(ROOT, signer)]))
    assert ["checkpoint"] == [kind for kind, _ in core.asked]
    for _ in range(2):
        await gossip.take("v3", head(checkpoints=[note(OTHER, "v3")]))
    assert 3 == len(core.asked)


@pytest.mark.parametrize(("orderers", "taken"), [(4, 3), (1, 9)])
async def test_witnesses_that_nobody_needs_are_not_collected(make_gossip, orderers, taken):
    """Where four order, a few cosignatures of a checkpoint are enough; where one does, all count."""
    core, gossip = make_gossip(orderers, 10)
    await gossip.take("v0", head(checkpoints=[note(ROOT, "v0")]))
    for _ in range(2):
        await gossip.take("v0", head(cosignatures=[cosigned(f"m{number}") for number in range(9)]))
    assert taken == sum(kind == "cosignature" for kind, _ in core.asked)
    await gossip.take("v0", head(cosignatures=[cosigned("m20", OTHER)]))
    assert core.asked[-1][1][1] == OTHER


async def test_checkpoints_of_a_large_zone_are_signed_less_often():
    """The time between two follows the number of members; the one that has to wait is asked for again."""
    members = dict.fromkeys(range(10))
    signed = SimpleNamespace(trust=SimpleNamespace(derived=SimpleNamespace(latest=SimpleNamespace(members=members))))
    store = SimpleNamespace(latest_checkpoint=lambda: None)
    publishing = Publishing(SimpleNamespace(store=store, tiles=None), signed, tell=lambda *_: None)
    assert publishing._is_time()
    assert not publishing._is_time()
    async with asyncio.timeout(5):
        await publishing._grown.wait()
    assert publishing._is_time()
    assert SECONDS_A_MEMBER > 0
