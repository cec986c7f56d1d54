"""Four validators whose links are slow and lossy: 300 ms each way, and one segment in twenty lost.

All that nodes say to each other passes a proxy: every link between two engines, and what other nodes send to a node. The
loss is what TCP makes of it, a round trip more for that segment and all behind it (`tests/support/slowlinks.py`; `netem`
is in few kernels of test machines). `TALLY_FAULT_ROUNDS` asks for more operations under it.
"""

import os

import pytest

from tallystick.node import network
from tests.support.components import require
from tests.support.load import Load
from tests.support.networks import nodes_of, wait_until_ready
from tests.support.nodes import wait_for
from tests.support.slowlinks import SlowLinks
from tests.support.wiring import engine_at, rewrite

pytestmark = pytest.mark.timeout(3_600)
ROUNDS = int(os.environ.get("TALLY_FAULT_ROUNDS", "4"))
DELAY_S, LOSS = 0.3, 0.05
SECONDS = 180.0


@pytest.fixture
def wired(tmp_path):
    """A network of four validators that is not running yet, and the slow links between its nodes."""
    require("cometbft")
    directory = tmp_path / "net"
    network.create_network(directory, validators=4)
    homes = [node.home for node in nodes_of(directory).values()]
    with SlowLinks(delay_s=DELAY_S, loss=LOSS, seed=7) as links:
        ports = network.free_ports(len(homes))
        for home, port in zip(homes, ports, strict=True):
            others = [engine_at(other, links.add(other.settings.engine.listen)) for other in homes if other is not home]
            # Others know this node by the address that is registered: that is where its proxy listens.
            registered, own = home.settings.peers.listen, f"127.0.0.1:{port}"
            links.add(own, registered)
            rewrite(home, engine={"peers": others}, peers={"listen": own})
        yield directory, links
        network.down(directory)


def test_slow_and_lossy_links(wired):
    """Every node records under it, at its pace; healed, they go on at once; and all copies are the same."""
    directory, links = wired
    network.up(directory)
    nodes = list(nodes_of(directory).values())
    wait_until_ready(nodes, SECONDS)
    with Load(nodes) as load:
        load.go_on(ROUNDS, SECONDS * max(1, ROUNDS // 10))
        assert links.lost > 0
        for node in nodes:
            with node.api() as api:
                assert api.get("/v1/status")["alarm"] is None
        tried = load.recorded
        links.heal()
        recovery = load.go_on()
    wait_for(lambda: load.are_level(), "all copies to have the same", SECONDS)
    network.down(directory)
    load.check("bad-network", tried, [recovery])
