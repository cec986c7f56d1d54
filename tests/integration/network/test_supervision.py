"""Supervision with real engines: dead consensus, frozen and crashed engines, validators away, and the numbers of it.

All of it on one network of four validators, whose nodes are patient for four seconds instead of thirty. Each test leaves
the network running as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallystick.errors import NodeError
from tallystick.node import network
from tallystick.node.log_files import LogFiles
from tallystick.node.processes import ENGINE_STALLED, read_processes
from tests.support.networks import NetworkNode, running_network, wait_until_connected, wait_until_ready
from tests.support.nodes import wait_for

pytestmark = pytest.mark.timeout(400)
PATIENCE_SECONDS = 4


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NetworkNode]]:
    """A network of impatient nodes."""
    before = os.environ.get("TALLY_ENGINE_STALL_SECONDS")
    os.environ["TALLY_ENGINE_STALL_SECONDS"] = str(PATIENCE_SECONDS)
    try:
        with running_network(tmp_path_factory.mktemp("watched") / "net") as made:
            yield made
    finally:
        if before is None:
            del os.environ["TALLY_ENGINE_STALL_SECONDS"]
        else:
            os.environ["TALLY_ENGINE_STALL_SECONDS"] = before


class Work(threading.Thread):
    """Records one thing at a node, as often as it takes, so that there is work that waits."""

    def __init__(self, node: NetworkNode, name: str) -> None:
        super().__init__(daemon=True)
        self._node = node
        self._file = node.directory.parent / name
        self._file.write_text(name)
        self.done = threading.Event()
        self.given_up = threading.Event()

    def run(self) -> None:
        while not self.done.is_set() and not self.given_up.is_set():
            with contextlib.suppress(NodeError, OSError), self._node.client() as zone:
                zone.record_evidence([self._file])
                self.done.set()
            self.given_up.wait(0.5)


@contextlib.contextmanager
def work(node: NetworkNode, name: str) -> Iterator[Work]:
    """Yield work under way; nobody goes on with it in the end."""
    thread = Work(node, name)
    thread.start()
    try:
        yield thread
    finally:
        thread.given_up.set()


def troubles(node: NetworkNode) -> list[str]:
    """Return why a node says that it is not ready; nothing where it says nothing."""
    try:
        answer = httpx.get(f"{node.operator().url}/readyz", trust_env=False, timeout=5)
    except (OSError, httpx.TransportError):
        return []
    assert (answer.status_code == 200) == (answer.json()["troubles"] == [])
    found: list[str] = answer.json()["troubles"]
    return found


def says(node: NetworkNode, words: str) -> Callable[[], bool]:
    """Return a question: does a node say that it is not ready for this reason?"""
    return lambda: any(words in trouble for trouble in troubles(node))


def events(node: NetworkNode, event: str) -> list[dict[str, Any]]:
    """Return what a node's log has of an event."""
    found = []
    for line in node.log_path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            entry = json.loads(line)
            if entry.get("event") == event:
                found.append(entry)
    return found


def restarts(node: NetworkNode) -> dict[str, int]:
    """Return how often each process of a node was started again."""
    return {name: process.restarts for name, process in read_processes(node.home.path).children.items()}


def pids_of(node: NetworkNode) -> list[int]:
    """Return all processes of a node, its supervisor first: that one must not see the others stand still."""
    assert node.pid is not None
    return [node.pid, *node.parts().values()]


def test_frozen_engine_is_started_again_with_its_core(nodes: list[NetworkNode]) -> None:
    """An engine that says nothing is a fault of this node: it says so, kills it, and goes on with a new one."""
    node = nodes[0]
    before, frozen = restarts(node), node.parts()["cometbft"]
    os.kill(frozen, signal.SIGSTOP)
    wait_for(lambda: node.parts().get("cometbft", frozen) != frozen, "another engine", 60)
    wait_until_ready(nodes)
    after = restarts(node)
    assert (before["core"] + 1, before["engine"] + 1, before["office"]) == (
        after["core"],
        after["engine"],
        after["office"],
    )
    told = read_processes(node.home.path)
    assert (ENGINE_STALLED, -signal.SIGKILL) == (told.children["core"].last_exit, told.children["engine"].last_exit)
    assert "the engine does not answer" in events(node, "engine_stalled")[-1]["message"]
    wait_until_connected([node])
    with node.api() as api:
        shown = api.get("/v1/status")
    assert after == {name: process["restarts"] for name, process in shown["processes"].items()}


def test_killed_core_takes_its_engine_along(nodes: list[NetworkNode]) -> None:
    """The engine ends with code 0 when its application dies; that is a fault, and both come back."""
    node = nodes[1]
    before = restarts(node)
    node.kill("core_main")
    wait_for(lambda: restarts(node)["engine"] > before["engine"], "the engine to be started again", 60)
    wait_until_ready(nodes)
    told = read_processes(node.home.path)
    assert (-signal.SIGKILL, 0) == (told.children["core"].last_exit, told.children["engine"].last_exit)
    assert 0 == told.stalls


def test_last_words_of_a_crashed_engine_are_in_the_nodes_log(nodes: list[NetworkNode]) -> None:
    """What an engine writes as it dies is one event of the node's log, in the stream that `network logs` shows."""
    node = nodes[2]
    before = restarts(node)
    os.kill(node.parts()["cometbft"], signal.SIGQUIT)
    wait_for(lambda: restarts(node)["engine"] > before["engine"], "the engine to be started again", 60)
    wait_until_ready(nodes)
    words = events(node, "engine_said")[-1]
    assert ("engine", "error") == (words["source"], words["level"])
    assert words["words"].startswith("SIGQUIT: quit")
    written = node.log_path.read_text().splitlines()
    died = next(at for at, line in enumerate(written) if '"child_died"' in line and '"exit_code": 2' in line)
    assert any("SIGQUIT: quit" in line for line in written[:died])
    shown = LogFiles(node.directory).newest(10_000)
    assert any(line.organisation == node.organisation and "SIGQUIT: quit" in line.line for line in shown)
    assert {each.organisation for each in nodes} == {line.organisation for line in shown}


def test_core_and_office_that_stand_still_are_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's RPC and the sockets go on, and nothing behind them: the supervisor misses the signs of life."""
    monkeypatch.setenv("TALLY_ENGINE_STALL_SECONDS", "2")
    with running_network(tmp_path / "net", validators=1) as (node,):
        # Signs of life come every five seconds, from when all is up.
        wait_for(lambda: _has_run_for(node, 10), "each to have given a sign of life")
        before = node.parts()
        for name in ("core_main", "office_main"):
            os.kill(before[name], signal.SIGSTOP)
        wait_for(lambda: len(events(node, "child_stands_still")) == 2, "both to be missed", 90)
        wait_until_ready([node])
        assert {"core": 1, "engine": 1, "office": 1} == restarts(node)
        told = read_processes(node.home.path).children
        assert (-signal.SIGKILL, 0, -signal.SIGKILL) == tuple(
            told[name].last_exit for name in ("core", "engine", "office")
        )
        file = tmp_path / "after.txt"
        file.write_text("recorded by those that took their place")
        with node.client() as zone:
            assert zone.record_evidence([file]).recorded


def _has_run_for(node: NetworkNode, seconds: float) -> bool:
    started = max(process.started_at for process in read_processes(node.home.path).children.values())
    return time.time() > started / 1_000 + seconds


def test_validators_that_are_away_are_waited_for_without_restarts(nodes: list[NetworkNode]) -> None:
    """Two of four away: the others say for whom they wait, start nothing again, and go on when they are back."""
    here, away = nodes[:2], nodes[2:]
    for node in away:
        node.kill_all()
    before = [restarts(node) for node in here]
    with work(here[0], "while-away.txt") as waiting:
        for node in here:
            wait_for(says(node, "waiting for others: 2 of 4 validators reachable, 3 are needed"), "the reason", 60)
        wait_for(lambda: not _is_idle(here[0]), "work to wait", 60)
        seen = events(here[0], "engine_stalled")
        # Several times as long as the node is patient with an engine of its own.
        waiting.done.wait(4 * PATIENCE_SECONDS)
        assert not waiting.done.is_set()
        assert seen == events(here[0], "engine_stalled")
        assert before == [restarts(node) for node in here]
        for node in here:
            assert says(node, "waiting for others")()
            assert 200 == httpx.get(f"{node.operator().url}/healthz", trust_env=False, timeout=5).status_code
        network.up(nodes[0].directory)
        assert waiting.done.wait(120)
    wait_until_ready(nodes)


def _is_idle(node: NetworkNode) -> bool:
    with node.api() as api:
        status = api.get("/v1/status")
    return not status["waiting"] and not status["engine"]["mempool"]


def test_dead_consensus_behind_open_connections_is_noticed(nodes: list[NetworkNode]) -> None:
    """Connections are open and the RPC answers, but no block comes: the node says so and tries once, with both sides.

    Two machines of four stand still as a whole, so that nothing closes their connections. The engines that were started
    again find out who is really there, and wait for them; when the machines go on, so does the zone.
    """
    wait_until_connected(nodes)
    here, frozen = nodes[0], nodes[2:]
    before = len(events(here, "engine_stalled"))
    stopped = [pid for node in frozen for pid in pids_of(node)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        with work(here, "while-frozen.txt") as waiting:
            wait_for(lambda: len(events(here, "engine_stalled")) > before, "the node to notice", 60)
            assert "consensus stands still" in events(here, "engine_stalled")[-1]["message"]
            wait_for(says(here, "waiting for others"), "the node to find out for whom it waits", 90)
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            assert waiting.done.wait(120)
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    wait_until_ready(nodes)


def test_metrics_of_a_validator(nodes: list[NetworkNode]) -> None:
    """Blocks, engine, validators, disk and processes are in the numbers, and agree with the status."""
    node = nodes[3]
    with node.client() as zone:
        file = node.directory.parent / "measured.txt"
        file.write_text("measured")
        zone.record_evidence([file])
    wait_until_connected([node])
    operator = node.operator()
    headers = {"Authorization": f"Bearer {operator.key}"}
    text = httpx.get(f"{operator.url}/metrics", headers=headers, trust_env=False, timeout=10).text
    numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    with node.api() as api:
        status = api.get("/v1/status")
    assert float(status["size"]) == float(numbers["tallystick_history_size"])
    assert ("4.0", "3.0", "4.0") == (
        numbers["tallystick_engine_validators"],
        numbers["tallystick_engine_peers"],
        numbers["tallystick_engine_validators_reachable"],
    )
    for name in ("apply_seconds", "commit_seconds", "block_operations"):
        assert float(numbers[f"tallystick_{name}_count"]) >= 1
    assert float(numbers['tallystick_disk_bytes{part="engine"}']) > 0
    assert float(numbers["tallystick_disk_free_bytes"]) > 0
    for name, process in status["processes"].items():
        assert float(process["restarts"]) == float(numbers[f'tallystick_process_restarts_total{{process="{name}"}}'])
