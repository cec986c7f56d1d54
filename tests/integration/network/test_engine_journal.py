"""A validator's node keeps the engine's write-ahead log short, and its supervisor small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.node import network
from tallystick.node.engine_journal import FOLDER, HEAD
from tests.support.networks import NetworkNode, running_network, wait_until_ready
from tests.support.nodes import wait_for

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("heavy")]
LARGEST_SUPERVISOR_KIB = 24 << 10


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkNode]:
    """The only validator of a zone."""
    with running_network(tmp_path_factory.mktemp("journal") / "net", validators=1) as (made,):
        yield made


def test_old_files_go_while_the_engine_runs(node: NetworkNode) -> None:
    """What was put aside before the last height goes by itself, the head stays, and the node goes on after kill -9."""
    journal = node.home.engine_path / FOLDER
    file = node.directory.parent / "minutes.txt"
    file.write_text("decided")
    with node.client() as zone:
        zone.record_evidence([file])
    (journal / "wal.000").write_bytes(b"as if from a rotation")
    wait_for(lambda: not (journal / "wal.000").exists(), "the old file to go")
    assert (journal / HEAD).exists()
    wait_for(lambda: "engine_journal_cut" in node.log_path.read_text(), "a line about it")
    node.kill_all()
    network.up(node.directory)
    wait_until_ready([node])
    file.write_text("decided otherwise")
    with node.client() as zone:
        zone.record_evidence([file])


def test_supervisor_takes_little_memory(node: NetworkNode) -> None:
    """It has loaded nothing of the command line that started it, however the node was started."""
    lines = Path(f"/proc/{node.pid}/smaps_rollup").read_text().splitlines()
    (resident,) = [int(line.split()[1]) for line in lines if line.startswith("Rss:")]
    assert resident < LARGEST_SUPERVISOR_KIB
