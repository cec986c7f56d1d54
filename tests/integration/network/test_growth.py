"""A zone that one organisation ordered alone grows: four order together from then on, and nothing of before is lost.

Each test leaves the zone running, and begins with it as the test before has left it.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.node.engine_home import signed_height
from tallystick.node.homes import Home, open_keys
from tallystick.node.inspection import check
from tallystick.node.validating import change_settings
from tallystick.proofs.headers import decode_header
from tests.support.components import require
from tests.support.copies import on_disk
from tests.support.growing import (
    announce,
    asked,
    heads_of,
    promote,
    receipt_since,
    record,
    signers_of,
    typed,
    wait_for_part,
    wait_for_same,
)
from tests.support.liars import Liar, blocks_of, evidence_of, next_block
from tests.support.nodes import PASSPHRASE, LocalNode, RunningNode, join_zone, make_zone, until, wait_for

pytestmark = pytest.mark.timeout(600)

FIRST, UNIVERSITY, BANK, AGENCY = "city-hospital", "river-university", "harbour-bank", "city-agency"
FOUR = (FIRST, UNIVERSITY, BANK, AGENCY)
REPLICA, LATE = "port-authority", "north-energy"


class Grown:
    """The zone.

    Attributes:
        folder: where files are kept.
        nodes: by organisation, those of the four first.
        before: the first organisation's home as it was before the handover, with its trust file.
        blocks: how many the first one ordered alone.
        old: a receipt from before.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: dict[str, RunningNode] = {}
        self.before = folder / "before"
        self.old = folder / "old.receipt.json"
        self.blocks = 0

    @property
    def four(self) -> list[RunningNode]:
        """Those who order together."""
        return [self.nodes[name] for name in FOUR]

    def begin(self) -> None:
        """Make a zone of one that orders, three more validators, and a replica; record at each."""
        self.nodes[FIRST] = make_zone(self.folder, FIRST).start()
        for name in (*FOUR[1:], REPLICA):
            self.nodes[name] = join_zone(self.folder, self.nodes[FIRST], name)
        for count, name in enumerate(FOUR[1:], start=1):
            promote(name, [self.nodes[each] for each in FOUR[:count]])
        for node in self.nodes.values():
            record(node, self.folder, f"before-{node.organisation}")
        typed("receipt", "export", REPLICA, "--out", self.old, home=self.nodes[REPLICA].home)

    def grow(self) -> None:
        """Let each of the four announce its engine and agree."""
        for node in self.four:
            announce(node)
        self.nodes[FIRST].stop()
        shutil.copytree(self.nodes[FIRST].home.path, self.before)
        self.nodes[FIRST].start()
        for node in self.four:
            typed("zone", "grow", home=node.home)
        for node in self.four:
            wait_for_part(node, "validator")
        genesis = json.loads(self.nodes[FIRST].home.engine_genesis_path.read_bytes())
        self.blocks = int(genesis["initial_height"]) - 1

    def stop(self) -> None:
        """Stop all that run."""
        for node in self.nodes.values():
            node.stop()


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    """A zone that has just grown."""
    require("cometbft")
    made = Grown(tmp_path_factory.mktemp("grown"))
    try:
        made.begin()
        made.grow()
        yield made
    finally:
        made.stop()


def test_history_goes_on(grown: Grown) -> None:
    """Chain id and blocks of before are what they were, the next block follows them, and all five copies are the same."""
    heights = [record(node, grown.folder, f"after-{name}")[1][0] for name, node in grown.nodes.items()]
    assert grown.blocks < min(heights)
    height = wait_for_same(grown.nodes, max(heights))
    heads = heads_of(grown.nodes[REPLICA].home)
    assert list(range(1, height + 1)) == [at for at, _ in heads][:height]
    old = heads_of(Home(grown.before))
    assert old == heads[: len(old)]
    genesis = {(node.home.path / "genesis.json").read_bytes() for node in grown.nodes.values()}
    assert {(grown.before / "genesis.json").read_bytes()} == genesis
    assert 1 == len({node.home.engine_genesis_path.read_bytes() for node in grown.four})
    assert {decode_header(header).chain for _, header in heads} == {Home(grown.before).read_trust().chain}


def test_receipts_of_before_and_after(grown: Grown) -> None:
    """A new receipt holds with either trust file; an old one is refused with the remedy, and holds once it is made anew."""
    new, first, now = grown.folder / "new.receipt.json", grown.before / "zone.json", grown.nodes[BANK].home.trust_path
    wait_for(lambda: 1 < len(json.loads(now.read_bytes())["versions"]), "the next trust file")
    name, _ = record(grown.nodes[UNIVERSITY], grown.folder, "new")
    wait_for_same(grown.nodes)
    receipt_since(grown.nodes[BANK], name, new)
    assert 3 <= len(signers_of(new)) <= 4
    for trust in (first, now):
        assert asked("receipt", "verify", new, "--zone", trust)["accepted"]

    said = typed("receipt", "verify", grown.old, "--zone", now, code=1)
    assert "tally receipt refresh" in said
    assert "the order was handed over" in said
    fresh = grown.folder / "fresh.receipt.json"
    typed("receipt", "refresh", grown.old, "--out", fresh, home=grown.nodes[REPLICA].home)
    for trust in (first, now):
        assert asked("receipt", "verify", fresh, "--zone", trust)["accepted"]
    same = [json.loads(path.read_bytes()) for path in (grown.old, fresh)]
    assert same[0]["operation"] == same[1]["operation"]


def test_newcomer_gets_all_of_it_and_is_promoted(grown: Grown) -> None:
    """Who joins after the handover has the blocks of before too; promoted, it validates with an engine that began later."""
    late = grown.nodes[LATE] = _admit(grown, LATE)
    height = wait_for_same(grown.nodes)
    assert list(range(1, height + 1)) == [at for at, _ in heads_of(late.home)]

    announce(late)
    promote(LATE, grown.four[:3])
    wait_for_part(late, "validator")
    name, _ = record(late, grown.folder, "by-the-late-one")
    wait_for_same(grown.nodes)
    out = grown.folder / "late.receipt.json"

    def signed() -> bool:
        receipt_since(late, name, out)
        return LATE in signers_of(out)

    wait_for(signed, f"{LATE} to sign; see {late.log_path}")
    assert asked("receipt", "verify", out, "--zone", grown.before / "zone.json")["accepted"]
    assert f'"initial_height": "{grown.blocks + 1}"' in late.home.engine_genesis_path.read_text()


def _admit(grown: Grown, name: str) -> RunningNode:
    """Let an organisation join, with the votes of three of the four."""
    from tests.support.newcomers import applied

    node, fingerprint = applied(grown.folder, grown.nodes[FIRST], name)
    for voter in grown.four[:3]:
        waiting = lambda voter=voter: asked("organisation", "list", home=voter.home)["applications"]  # noqa: E731
        wait_for(waiting, "the card")
        typed("organisation", "admit", name, "--fingerprint", fingerprint, home=voter.home)
    node.start()
    with node.api() as api:
        wait_for(lambda: not api.get("/v1/standing")["application"], f"{name} to be a member in its own copy")
    return node


async def test_old_orderer_alone_is_refused(grown: Grown, tmp_path: Path) -> None:
    """A block that the old orderer signs alone is taken by no copy, though it follows from the last in all else."""
    wait_for_same(grown.nodes)
    grown.stop()
    ends = {name: on_disk(node) for name, node in grown.nodes.items()}
    assert 1 == len(set(ends.values()))
    first = grown.nodes[FIRST].home
    keys = open_keys(first, PASSPHRASE)
    now = time.time_ns() // 1_000_000
    forged = next_block(
        first, keys.signer("system"), [evidence_of(first, keys, secrets.token_hex(32), time=now)], now, by=FIRST
    )
    for name, node in grown.nodes.items():
        home = Home(Path(shutil.copytree(node.home.path, tmp_path / name)))
        change_settings(home.path, [("node", "role", "replica")])
        async with (
            Liar(first, keys, [*blocks_of(first), forged]) as alone,
            LocalNode(home, follow=[alone.address], poll_seconds=1, listen="127.0.0.1:0") as copy,
        ):
            told = await copy.office.link.ask("apply", list(forged))
            assert ("too_few_signatures", "source") == (told["refused"], told["blame"])
            await until(lambda copy=copy: copy.peers.follower.trouble, "the follower to say what is wrong")
            assert ends[name][0] == copy.height
    for node in grown.nodes.values():
        node.start()
    for node in grown.four:
        wait_for_part(node, "validator")
    record(grown.nodes[BANK], grown.folder, "after-the-old-one")


def test_lost_ledger_is_made_again_through_the_handover(grown: Grown) -> None:
    """A validator without its ledger follows the others up to what it had voted on, and votes again."""
    node = grown.nodes[AGENCY]
    record(node, grown.folder, "before-the-loss")
    node.stop()
    signed = signed_height(node.home.keys_path)
    for path in node.home.path.glob("ledger.db*"):
        path.unlink()
    assert signed
    assert f"follows the others up to block {signed - 1};" in typed("node", "repair", home=node.home)
    assert signed == signed_height(node.home.keys_path)
    record(grown.nodes[BANK], grown.folder, "meanwhile")
    node.start()
    wait_for_part(node, "validator", 150)
    _, (height, _) = record(node, grown.folder, "after-the-loss")
    wait_for_same(grown.nodes, height)
    wait_for(lambda: (signed_height(node.home.keys_path) or 0) >= height, f"{AGENCY} to vote again")


def test_all_copies_check_out(grown: Grown) -> None:
    """Stopped, every home of the zone passes the checker, from the first block of the one to the last of all."""
    wait_for_same(grown.nodes)
    grown.stop()
    for node in grown.nodes.values():
        report = check(node.home.path)
        assert (report.ok, report.findings) == (True, ()), (node.organisation, report)
    assert 1 == len({tuple(heads_of(node.home)) for node in grown.nodes.values()})
