"""Engines that begin in the middle: nobody has the engines' first block any more, and validators come and come back.

Four validators forget all but their last blocks; evidence is made to count for a moment only, as their genesis says. Each
test leaves the zone running.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.node.engine_home import read_engine_keys, signed_height
from tallystick.node.homes import Home
from tallystick.node.inspection import check
from tests.support.components import require
from tests.support.growing import (
    announce,
    heads_of,
    network_nodes,
    promote,
    receipt_since,
    record,
    signers_of,
    start_all,
    typed,
    wait_for_part,
    wait_for_same,
)
from tests.support.nodes import RunningNode, wait_for

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("heavy")]

FIRST, HURT, LATE = "city-hospital", "harbour-bank", "port-authority"
KEPT = 12


def forget_soon(home: Home) -> None:
    """Let a home's engine forget all but its last blocks."""
    genesis = json.loads(home.engine_genesis_path.read_bytes())
    genesis["consensus_params"]["evidence"] |= {"max_age_num_blocks": "5", "max_age_duration": "1000000"}
    home.engine_genesis_path.write_text(json.dumps(genesis))
    path = home.path / "tally.toml"
    text = path.read_text()
    section = "" if "[engine]" in text else "\n[engine]\n"
    settings = f"[engine]\nretain_blocks = {KEPT}\nretain_days = 0"
    path.write_text(re.sub(r"\[engine\]", settings, text + section, count=1))


def first_of(node: RunningNode) -> int:
    """Return the first block that a node's engine has."""
    with node.client() as zone:
        engine = zone.status().engine
    return 0 if engine is None else engine.first


class Zone:
    """The nodes, and what was recorded at them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes = network_nodes(folder / "net", validators=4, replicas=1)
        self.recorded: list[str] = []

    @property
    def four(self) -> list[RunningNode]:
        """The validators of the beginning."""
        return [node for name, node in self.nodes.items() if name != LATE]

    def record(self, node: RunningNode) -> int:
        """Record a piece of evidence; return its height."""
        transaction, place = record(node, self.folder, f"record-{len(self.recorded)}")
        self.recorded.append(transaction)
        return place[0]

    def go_on(self, but: str = "") -> None:
        """Make so many blocks that each engine of the four that runs forgets all that it has now."""
        past = max(self.record(self.nodes[FIRST]) for _ in range(2))
        while self.record(self.nodes[FIRST]) < past + 2 * KEPT:
            continue
        running = [node for node in self.four if node.organisation != but]
        wait_for(lambda: all(first_of(node) >= past for node in running), "the engines to forget", 120)

    def signs(self, node: RunningNode) -> bool:
        """Tell whether a validator signs the next header with the others."""
        self.record(node)
        out = self.folder / f"{node.organisation}.receipt.json"
        receipt_since(self.nodes[FIRST], self.recorded[-1], out)
        return node.organisation in signers_of(out)


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zone]:
    """A zone whose engines have forgotten their first blocks."""
    require("cometbft")
    made = Zone(tmp_path_factory.mktemp("middle"))
    for node in made.nodes.values():
        forget_soon(node.home)
    try:
        start_all(made.nodes)
        made.go_on()
        yield made
    finally:
        for node in made.nodes.values():
            node.stop()


def test_replica_is_promoted_though_nobody_has_the_first_block(zone: Zone) -> None:
    """Its ledger has all blocks, its engine begins with the latest, and it signs headers and votes."""
    late = zone.nodes[LATE]
    announce(late)
    wait_for_part(late, "validator")
    promote(LATE, zone.four[:3])
    wait_for(lambda: zone.signs(late), f"{LATE} to sign; see {late.log_path}", 150)
    assert "engine_begins_in_the_middle" in late.log()
    assert 1 < first_of(late)
    height = wait_for_same(zone.nodes)
    assert list(range(1, height + 1)) == [at for at, _ in heads_of(late.home)]
    wait_for(lambda: (signed_height(late.home.keys_path) or 0) >= height, f"{LATE} to vote")
    assert not list(late.home.path.glob("light-*.sock"))


def test_validator_without_its_engine_s_blocks_comes_back(zone: Zone) -> None:
    """Repaired, its engine begins where the others are; its key is the same, and it never forgot what it signed."""
    node = zone.nodes[HURT]
    node.stop()
    key, signed = read_engine_keys(node.home.keys_path), signed_height(node.home.keys_path)
    assert signed
    shutil.rmtree(node.home.engine_path)
    assert "its engine begins where" in typed("node", "repair", home=node.home)
    zone.record(zone.nodes[FIRST])
    assert (key, signed) == (read_engine_keys(node.home.keys_path), signed_height(node.home.keys_path))
    node.start()
    wait_for_part(node, "validator", 150)
    height = zone.record(node)
    wait_for_same(zone.nodes, height)
    wait_for(lambda: (signed_height(node.home.keys_path) or 0) >= height, f"{HURT} to vote again")
    # The node looks at its engine every second or so.
    wait_for(lambda: first_of(node) > 0, f"{HURT} to see its engine")
    assert 1 < first_of(node)
    assert key == read_engine_keys(node.home.keys_path)


def test_validator_killed_as_its_engine_begins_comes_back(zone: Zone) -> None:
    """Whatever the power cut left of the beginning is no beginning: it is made anew."""
    node = zone.nodes[HURT]
    node.stop()
    before = len(node.log())
    typed("node", "repair", "--engine", home=node.home)
    node.launch()
    wait_for(lambda: "engine_begins_in_the_middle" in node.log()[before:], f"{HURT} to begin", 150)
    node.kill()
    zone.record(zone.nodes[FIRST])
    node.start()
    wait_for_part(node, "validator", 150)
    height = zone.record(node)
    wait_for_same(zone.nodes, height)
    wait_for(lambda: (signed_height(node.home.keys_path) or 0) >= height, f"{HURT} to vote again")


def test_validator_that_was_away_for_too_long_follows_first(zone: Zone) -> None:
    """Its ledger ends before the blocks that the engines still have: it follows as a replica, and begins behind that."""
    node = zone.nodes[HURT]
    node.stop()
    before = len(node.log())
    zone.go_on(but=HURT)
    assert "its engine begins where" in typed("node", "repair", "--engine", home=node.home)
    node.start()
    wait_for(lambda: "engine_begins_in_the_middle" in node.log()[before:], f"{HURT} to begin", 150)
    assert "ledger_is_older_than_the_engines_blocks" in node.log()[before:]
    wait_for_part(node, "validator")
    # The node looks at its engine every second or so.
    wait_for(lambda: first_of(node) > 0, f"{HURT} to see its engine")
    assert 1 < first_of(node)


def test_validator_without_its_ledger_comes_back(zone: Zone) -> None:
    """The others' ledgers have all of it; the engine begins once they have been followed."""
    node = zone.nodes[HURT]
    node.stop()
    for path in node.home.path.glob("ledger.db*"):
        path.unlink()
    assert "it follows the others up to block" in typed("node", "repair", home=node.home)
    node.start()
    wait_for_part(node, "validator", 150)
    height = zone.record(node)
    wait_for_same(zone.nodes, height)
    wait_for(lambda: (signed_height(node.home.keys_path) or 0) >= height, f"{HURT} to vote again")


def test_copies_check_out(zone: Zone) -> None:
    """Stopped, every home passes the checker, and all hold the same blocks."""
    wait_for_same(zone.nodes)
    for node in zone.nodes.values():
        node.stop()
    for node in zone.nodes.values():
        report = check(node.home.path)
        assert (report.ok, report.findings) == (True, ()), (node.organisation, report)
    assert 1 == len({tuple(heads_of(node.home)) for node in zone.nodes.values()})
