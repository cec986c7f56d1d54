"""A newcomer to a zone with a long history: it begins from a snapshot, follows, and comes to hold everything."""

from contextlib import closing

import pytest

from tallystick.modules import rulebook
from tallystick.node.inspection import check
from tallystick.store import LedgerStore
from tests.support.newcomers import SNAPSHOT_FROM, apply, base_of, fill, height_of
from tests.support.nodes import running_zone, wait_for

pytestmark = pytest.mark.timeout(600)


def blocks_of(home):
    """Return everything that the blocks of a copy hold, and its tables that follow from them."""
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        tables = {
            name: store.query(f"SELECT * FROM {name} ORDER BY 1") for name in ("transactions", "operations", "events")
        }
        return list(store.blocks(1)), tables, list(store.all_records())


def test_newcomer_begins_from_a_snapshot_and_comes_to_hold_everything(tmp_path, monkeypatch):
    """A new copy is of the same state without having executed the blocks, and in the end the same in every row."""
    monkeypatch.setenv(SNAPSHOT_FROM, "200")
    with running_zone(tmp_path) as nodes:
        first = nodes["city-hospital"]
        fill(first, 1_000)
        newcomer = apply(tmp_path, first, "university")
        nodes["university"] = newcomer
        newcomer.start()
        wait_for(lambda: "begun_from_snapshot" in newcomer.log(), f"it to begin; see {newcomer.log_path}")
        fill(first, 200)
        wait_for(lambda: height_of(newcomer.home) == height_of(first.home), "it to follow")
        wait_for(lambda: "older_blocks_complete" in newcomer.log(), "it to hold everything")
        wait_for(lambda: base_of(newcomer.home) is None, "it to hold everything")
        wait_for(lambda: height_of(newcomer.home) == height_of(first.home), "it to follow")
    assert blocks_of(first.home) == blocks_of(newcomer.home)
    for node in (first, newcomer):
        report = check(node.home.path)
        assert (report.ok, report.findings) == (True, ()), report
