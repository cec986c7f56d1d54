"""The core as a real process: a zone is made, its core runs, orders, proves, and survives being killed."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time

import pytest

from tallystick.codec import encode_json
from tallystick.ledger import Ledger
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops.record_evidence import RecordEvidence
from tallystick.node.homes import create_zone, open_keys
from tallystick.ordering.link import LinkClient
from tallystick.proofs.receipts import verify_receipt
from tallystick.store import LedgerStore

PASSPHRASE = "correct horse battery"


def now_ms():
    return time.time_ns() // 1_000_000


class CoreProcess:
    def __init__(self, home):
        self.home = home
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tallystick.node.core_main", str(self.home.path)], stdin=subprocess.PIPE
        )
        self.process.stdin.write(PASSPHRASE.encode() + b"\n")
        self.process.stdin.flush()

    async def client(self):
        client = LinkClient(self.home.socket_path)
        for _ in range(200):
            try:
                await client.ask("status")
                return client
            except Exception:
                await asyncio.sleep(0.05)
        raise AssertionError("the core did not start")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            assert 0 == self.process.wait(20)


@pytest.fixture
def core(tmp_path):
    home = create_zone(
        tmp_path / "home",
        name="Test Zone",
        organisation="city-hospital",
        organisation_name="City Hospital",
        passphrase=PASSPHRASE,
        created_ms=now_ms(),
    )
    made = CoreProcess(home)
    made.start()
    yield made
    made.stop()


def door(home, client):
    keys = open_keys(home, PASSPHRASE)
    store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
    return Ledger(
        store,
        client,
        organisation="city-hospital",
        signer=keys.signer,
        tiles=lambda path: (home.log_path / path).read_bytes() if (home.log_path / path).is_file() else None,
        trust=home.read_trust,
        clock_ms=now_ms,
    )


def evidence():
    return RecordEvidence(root=secrets.token_hex(32), count=1)


async def test_recorded_operation_has_a_receipt_that_verifies(core):
    """A zone of one: record, wait for the checkpoint, export, verify: ordered by 1, witnessed by nobody yet."""
    client = await core.client()
    ledger = door(core.home, client)
    done = await ledger.submit([evidence()])
    for _ in range(100):
        try:
            receipt = ledger.receipt(done.first_leaf)
            break
        except Exception:
            await asyncio.sleep(0.05)
    verified = verify_receipt(receipt, core.home.read_trust())
    assert ("city-hospital", 0, 0) == (verified.organisation, verified.outcome, verified.leaf_index)
    assert "nobody" in verified.summary
    await client.close()


async def test_killed_core_keeps_all_that_it_acknowledged(core):
    """Kill -9 in the middle of many submissions: every acknowledged one is there after the restart."""
    client = await core.client()
    ledger = door(core.home, client)
    acknowledged = []

    async def submit():
        while True:
            try:
                acknowledged.append((await ledger.submit([evidence()])).id)
            except Exception:
                return

    tasks = [asyncio.create_task(submit()) for _ in range(8)]
    while len(acknowledged) < 50:
        await asyncio.sleep(0.01)
    core.kill()
    await asyncio.gather(*tasks)
    assert acknowledged
    core.start()
    again = await core.client()
    store = LedgerStore(core.home.ledger_path, rulebook(), read_only=True)
    assert all(store.find_transaction(identifier) is not None for identifier in acknowledged)
    assert (await again.ask("status"))["size"] >= len(acknowledged)
    await door(core.home, again).submit([evidence()])
    await client.close()
    await again.close()


async def test_core_stops_when_its_supervisor_is_gone(core):
    """When standard input closes, the core ends by itself."""
    client = await core.client()
    core.process.stdin.close()
    assert 0 == await asyncio.to_thread(core.process.wait, 20)
    assert not os.path.exists(core.home.socket_path)
    await client.close()


async def test_absence_and_presence_are_proved(core):
    """`prove` gives a record with its proof under the signed header."""
    client = await core.client()
    await door(core.home, client).submit([evidence()])
    present = await client.ask("prove", ["organisations", "city-hospital"])
    absent = await client.ask("prove", ["organisations", "nobody"])
    assert present["value"] is not None
    assert absent["value"] is None
    assert encode_json({"x": 1})
    await client.close()
