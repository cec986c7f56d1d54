"""`tally node repair` on nodes that lost something: the node says what, and is as whole as the others after it.

Four validators and a replica run; one of them at a time is stopped, damaged, started, stopped and repaired, while the
others go on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tallystick.node.engine_home import read_engine_keys, signed_height
from tallystick.node.homes import Home
from tallystick.node.inspection import check
from tests.support.components import require
from tests.support.copies import on_disk
from tests.support.growing import (
    announce,
    asked,
    network_nodes,
    receipt_since,
    record,
    signers_of,
    start_all,
    typed,
    wait_for_part,
    wait_for_same,
)
from tests.support.nodes import RunningNode, running_zone, wait_for

pytestmark = pytest.mark.timeout(600)

WITNESS, HURT, REPLICA = "city-hospital", "harbour-bank", "port-authority"
_PAGE = 4096


def wipe_engine(home: Home) -> None:
    """Lose the engine's own blocks."""
    shutil.rmtree(home.engine_path)


def wipe_ledger(home: Home) -> None:
    """Lose the ledger."""
    for path in home.path.glob("ledger.db*"):
        path.unlink()


def flip_ledger(home: Home) -> None:
    """Change bits in every page of the ledger but the first."""
    data = bytearray(home.ledger_path.read_bytes())
    for at in range(_PAGE, len(data), _PAGE):
        for place in range(at, at + 16):
            data[place] ^= 0xFF
    home.ledger_path.write_bytes(data)


def truncate_ledger(home: Home) -> None:
    """Lose the second half of the ledger."""
    os.truncate(home.ledger_path, home.ledger_path.stat().st_size // 2 // _PAGE * _PAGE)


class Damage(NamedTuple):
    """What happens to a home, and what the node says when it is started with it."""

    do: Callable[[Home], None]
    said: str
    done: str


LEDGER = {
    "ledger-wiped": Damage(wipe_ledger, "there is no ledger at", "An empty ledger is in its place"),
    "ledger-flipped": Damage(flip_ledger, "ledger.db", "An empty ledger is in its place"),
    "ledger-truncated": Damage(truncate_ledger, "ledger.db", "An empty ledger is in its place"),
}
ENGINE = {"engine-wiped": Damage(wipe_engine, "the engine's own blocks are gone", "its engine begins where")}


class Network:
    """The nodes, and what was recorded at them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes = network_nodes(folder / "net", validators=4, replicas=1)
        self.recorded: dict[str, tuple[int, int]] = {}

    def record(self, node: RunningNode) -> int:
        """Record a piece of evidence; return its height."""
        name, place = record(node, self.folder, f"record-{len(self.recorded)}")
        self.recorded[name] = place
        return place[0]

    def damage(self, node: RunningNode, damage: Damage) -> str:
        """Damage a stopped home, and start it: it says what is wrong; return what the repair says."""
        damage.do(node.home)
        before = len(node.log())
        node.launch()
        wait_for(
            lambda: damage.said in node.log()[before:] and "tally node repair" in node.log()[before:],
            f"{node.organisation} to say what is wrong; see {node.log_path}",
        )
        assert "Traceback" not in node.log()[before:]
        node.stop()
        return typed("node", "repair", home=node.home)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network that runs and has recorded."""
    require("cometbft")
    made = Network(tmp_path_factory.mktemp("repair"))
    try:
        start_all(made.nodes)
        for node in made.nodes.values():
            made.record(node)
        yield made
    finally:
        for node in made.nodes.values():
            node.stop()


@pytest.mark.parametrize("what", [*ENGINE, *LEDGER])
def test_validator_is_whole_again(net: Network, what: str) -> None:
    """The three others go on meanwhile; repaired, it has what they have, votes again, and never forgot what it signed."""
    node, damage = net.nodes[HURT], (ENGINE | LEDGER)[what]
    net.record(node)
    node.stop()
    key, signed = read_engine_keys(node.home.keys_path), signed_height(node.home.keys_path)
    assert signed
    assert damage.done in net.damage(node, damage)
    assert signed == signed_height(node.home.keys_path)
    net.record(net.nodes[WITNESS])
    node.start()
    wait_for_part(node, "validator")
    height = net.record(node)
    wait_for_same(net.nodes, height)
    assert key == read_engine_keys(node.home.keys_path)
    wait_for(lambda: (signed_height(node.home.keys_path) or 0) >= height, f"{HURT} to vote again")


def test_validator_that_lost_what_it_signed_gets_a_new_key(net: Network) -> None:
    """Its key is retired with all that is left of it; the node follows until it has announced another, and votes then."""
    node = net.nodes[HURT]
    net.record(node)
    node.stop()
    keys = node.home.keys_path
    before = read_engine_keys(keys)
    lost = Damage(
        lambda home: (home.keys_path / "engine" / "last-signed.json").unlink(),
        "what it signed last",
        "never used again",
    )
    said = net.damage(node, lost)
    assert lost.done in said
    assert "tally node validate" in said
    assert not (keys / "engine").exists()
    assert (keys / "engine-retired-1" / "consensus-key.json").exists()
    node.start()
    wait_for_part(node, "replica")
    net.record(node)

    announce(node)
    wait_for_part(node, "validator")
    after = read_engine_keys(keys)
    assert before.consensus != after.consensus
    height = net.record(node)
    wait_for_same(net.nodes, height)
    wait_for(lambda: (signed_height(keys) or 0) >= height, f"{HURT} to vote with its new key")
    name = list(net.recorded)[-1]
    out = net.folder / "after-new-key.receipt.json"

    def signs() -> bool:
        receipt_since(node, name, out)
        return HURT in signers_of(out)

    wait_for(signs, f"{HURT} to sign headers again")


@pytest.mark.parametrize("what", LEDGER)
def test_replica_is_whole_again(net: Network, what: str) -> None:
    """A replica fetches its history anew from the others, and checks all of it."""
    node = net.nodes[REPLICA]
    node.stop()
    assert LEDGER[what].done in net.damage(node, LEDGER[what])
    node.start()
    wait_for_same(net.nodes, net.record(net.nodes[WITNESS]))
    net.record(node)


def test_running_or_whole_node_is_not_repaired(net: Network) -> None:
    """A node that runs is left alone; one that is whole is told so."""
    assert "the node runs" in typed("node", "repair", home=net.nodes[REPLICA].home, code=2)
    net.nodes[REPLICA].stop()
    assert [] == asked("node", "repair", home=net.nodes[REPLICA].home)["done"]
    net.nodes[REPLICA].start()


def test_copies_are_the_same_and_nothing_is_lost(net: Network) -> None:
    """After all of this every copy checks out, and has each entry where its author was told."""
    from tests.support.copies import Compared, compare

    nodes = list(net.nodes.values())
    wait_for_same(net.nodes, max(height for height, _ in net.recorded.values()))
    for node in nodes:
        node.stop()
    assert Compared(0, 0) == compare(nodes, net.recorded)
    for node in nodes:
        report = check(node.home.path)
        assert (report.ok, report.findings) == (True, ()), (node.organisation, report)


@pytest.mark.parametrize("what", LEDGER)
def test_orderer_takes_its_blocks_back_from_the_witnesses(tmp_path: Path, what: str) -> None:
    """Who orders alone and lost its ledger signs nothing until it has from the others all that it had made."""
    with running_zone(tmp_path, "river-university", "harbour-bank") as nodes:
        first = nodes["city-hospital"]
        for node in nodes.values():
            record(node, tmp_path, f"before-{node.organisation}")
        height = wait_for_same(nodes, 5)
        first.stop()
        before = on_disk(first)
        LEDGER[what].do(first.home)
        said = typed("node", "repair", home=first.home)
        assert LEDGER[what].done in said
        assert "orders again once it has all" in said
        assert "tally zone invite" in said
        typed(
            "zone", "invite", "anybody", "--out", first.home.path / "invitation.json", home=nodes["harbour-bank"].home
        )
        first.start()
        wait_for(lambda: not first.home.is_restored, f"it to have all of it; see {first.log_path}")
        _, (after, _) = record(nodes["harbour-bank"], tmp_path, "after")
        assert after == height + 1
        assert wait_for_same(nodes, after) >= after
    for node in nodes.values():
        report = check(node.home.path)
        assert (report.ok, report.findings) == (True, ()), (node.organisation, report)
    heads = dict(_heads(first.home))
    assert before[1] == heads[before[0]]


def _heads(home: Home) -> list[tuple[int, bytes]]:
    from tests.support.growing import heads_of

    return heads_of(home)
