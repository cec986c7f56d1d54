"""Networks of real engines, stopped whatever happens."""

import pytest

from tests.integration.cometbft.network import Network


@pytest.fixture
def make_network(tmp_path):
    """Return a function that makes a network of some validators, started."""
    made = []

    def make(validators=1, **options):
        network = Network(tmp_path / "net", validators, **options)
        made.append(network)
        network.start()
        return network

    yield make
    for network in made:
        network.stop()
