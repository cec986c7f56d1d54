"""What a validator's node tells a member whose engine begins: to whom, and that the height is on offer from then on."""

import json

import pytest

from tallystick.codec import encode_json
from tallystick.errors import AccessError, PeerError
from tallystick.node.peers.engine_desk import EngineDesk
from tallystick.node.peers.messages import EngineHeights, EngineSpan, span_decoder, told_decoder
from tallystick.node.peers.server import Call
from tallystick.ordering.cometbft.rpc import EngineStatus
from tests.support.lightblocks import PARAMETERS, commit, validators
from tests.support.seated import SeatedZone, make_home
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY

KEYS = {b"a" * 32: 10}


class Engine:
    """A validator's engine, as its RPC is."""

    async def status(self):
        return EngineStatus(60, "", False, 20)

    async def light_block(self, height):
        return commit("zone", height, "ab" * 32).encode(), validators(height, KEYS).encode()

    async def parameters(self, height):
        return json.dumps({"block_height": str(height), "consensus_params": PARAMETERS}).encode()

    async def close(self):
        pass


class Core:
    """Takes what the office tells it."""

    def __init__(self):
        self.told = []

    async def ask(self, kind, body=None):
        self.told.append((kind, body))
        return True


@pytest.fixture
def zone(tmp_path):
    """Three members, of whom two have announced engines."""
    made = SeatedZone(tmp_path / "home", (HOSPITAL, UNIVERSITY, BANK), validators=(HOSPITAL, UNIVERSITY), together=True)
    made.home.engine_genesis_path.write_text("{}")
    yield made
    made.store.close()


def asked(endpoint, organisation, body=b""):
    """Ask at an address, as a member's node does."""
    return endpoint.answer(Call(organisation, "127.0.0.1", body, {}, {}))


async def test_member_with_an_engine_is_told_and_its_height_is_on_offer(zone):
    """The span of blocks; three headers and what belongs to them; the core hears who asked for which height."""
    core = Core()
    desk = EngineDesk(zone.home, zone.store, core)
    desk._rpc = Engine()
    span, begin = desk.endpoints()

    assert EngineSpan(first=20, last=60) == span_decoder.decode((await asked(span, UNIVERSITY)).body)
    told = told_decoder.decode((await asked(begin, UNIVERSITY, encode_json(EngineHeights(height=30)))).body)

    heights = [json.loads(each)["signed_header"]["header"]["height"] for each in told.commits]
    assert (["30", "31", "32"], 3) == (heights, len(told.validators))
    assert "31" == json.loads(told.parameters)["block_height"]
    assert [("engine_begins", [UNIVERSITY, 30])] == core.told
    await desk.close()


async def test_member_without_an_engine_is_refused(zone):
    """It has no use for it, and nothing is offered."""
    core = Core()
    for endpoint in EngineDesk(zone.home, zone.store, core).endpoints():
        with pytest.raises(AccessError, match="has announced no engine"):
            await asked(endpoint, BANK, encode_json(EngineHeights(height=30)))
    assert [] == core.told


async def test_replica_has_no_engine(zone, tmp_path):
    """Whoever asks is sent to the validators."""
    desk = EngineDesk(make_home(tmp_path / "replica", BANK, "replica"), zone.store, Core())
    for endpoint in desk.endpoints():
        with pytest.raises(PeerError, match="this node has no engine"):
            await asked(endpoint, UNIVERSITY, encode_json(EngineHeights(height=30)))
