"""Four validators on a slow and lossy network: 300 ms each way, and one packet in twenty lost.

All that nodes say to each other, engines and offices alike, travels as packets that `tests/support/lossy.py` holds back or
drops. `TALLY_FAULT_ROUNDS` asks for more operations under it.
"""

import os
import signal
import sys

import pytest

from tallystick.node import network
from tests.support.components import require
from tests.support.load import Load
from tests.support.lossy import LossyNetwork
from tests.support.networks import nodes_of, wait_until_ready
from tests.support.nodes import wait_for

pytestmark = pytest.mark.timeout(3_600)
ROUNDS = int(os.environ.get("TALLY_FAULT_ROUNDS", "4"))
DELAY_S, LOSS = 0.3, 0.05
SECONDS = 240.0


@pytest.fixture
def lossy(tmp_path):
    """The nodes of a network of four validators, running, and what is between them."""
    require("cometbft")
    directory = tmp_path / "net"
    running = []

    def stop():
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(90)
        running.clear()

    with LossyNetwork(4, delay_s=DELAY_S, loss=LOSS, seed=7) as between:
        network.create_network(directory, validators=4, hosts=[place.address for place in between.places])
        nodes = list(nodes_of(directory).values())
        (directory / "logs").mkdir(exist_ok=True)
        try:
            for node in nodes:
                host = node.home.settings.peers.listen.rpartition(":")[0]
                place = next(each for each in between.places if each.address == host)
                command = [sys.executable, "-m", "tallystick.cli", "node", "run", "--home", str(node.home.path)]
                command += ["--passphrase-file", str(directory / "passphrase")]
                running.append(between.start(place, command, node.log_path, dict(os.environ)))
                between.lead_in(place, int(node.home.settings.api.listen.rpartition(":")[2]))
            yield nodes, between, stop
        finally:
            stop()


def test_slow_and_lossy_network(lossy):
    """Every node records under it, at its pace; healed, they go on at once; and all copies are the same."""
    nodes, between, stop = lossy
    wait_until_ready(nodes, SECONDS)
    with Load(nodes) as load:
        load.go_on(ROUNDS, SECONDS * max(1, ROUNDS // 10))
        assert between.lost > 0
        for node in nodes:
            with node.api() as api:
                assert api.get("/v1/status")["alarm"] is None
        tried = load.recorded
        between.heal()
        recovery = load.go_on()
    wait_for(lambda: load.are_level(), "all copies to have the same", SECONDS)
    stop()
    load.check("bad-network", tried, [recovery])
