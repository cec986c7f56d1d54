"""Strangers at the engines' doors: whoever holds connections open and says nothing keeps no validator out."""

import asyncio
import contextlib
import threading

import pytest

from tallystick.node import network
from tests.support.networks import running_network, wait_until_connected, wait_until_ready
from tests.support.nodes import wait_for

pytestmark = pytest.mark.timeout(600)
# At each door; the engine's own default is 40 in all.
HELD = 200


class Strangers(threading.Thread):
    """Hold connections open, and open another for each that is closed.

    Attributes:
        held: how many are open now.
    """

    def __init__(self, addresses):
        super().__init__(daemon=True)
        self._addresses = addresses
        self._ended = threading.Event()
        self.held = 0

    def run(self):
        asyncio.run(self._run())

    async def _run(self):
        holding = [asyncio.create_task(self._hold(address)) for address in self._addresses for _ in range(HELD)]
        while not self._ended.is_set():
            await asyncio.sleep(0.1)
        for task in holding:
            task.cancel()
        await asyncio.gather(*holding, return_exceptions=True)

    async def _hold(self, address):
        host, _, port = address.rpartition(":")
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(host, int(port))
                self.held += 1
                try:
                    # The engine says its part of the handshake, and waits.
                    while await reader.read(4_096):
                        continue
                finally:
                    self.held -= 1
                    writer.close()
            await asyncio.sleep(0.05)

    def end(self):
        self._ended.set()
        self.join(30)


@contextlib.contextmanager
def strangers_at(nodes):
    """Yield strangers at the doors of these nodes' engines."""
    strangers = Strangers([node.home.settings.engine.listen for node in nodes])
    strangers.start()
    try:
        wait_for(lambda: strangers.held > HELD * len(nodes) * 0.9, "the strangers to have come")
        yield strangers
    finally:
        strangers.end()


def test_validator_comes_back_past_strangers(tmp_path):
    """One that was away is connected to all others again, and the zone goes on with its vote."""
    directory = tmp_path / "net"
    with running_network(directory) as nodes:
        first, _, third, fourth = nodes
        with strangers_at(nodes) as strangers:
            fourth.kill_all()
            network.up(directory)
            wait_until_ready(nodes)
            wait_until_connected([fourth])
            third.kill_all()
            file = tmp_path / "past-strangers.txt"
            file.write_text("recorded by three of four")
            with first.client() as zone:
                assert zone.record_evidence([file]).recorded
            assert strangers.held > HELD
