"""Looking after the engine: what is a fault of this node, what is others', and when trying again helps nobody."""

from __future__ import annotations

import pytest

from tallystick.errors import PeerError
from tallystick.node.engine_watch import STARTING, UNTOLD, EngineWatch, Look, Patience
from tallystick.node.processes import EngineStalledError, patience_seconds
from tallystick.ordering.cometbft.rpc import EnginePeer, EngineStatus
from tallystick.views import EngineHealth

BOUND = 30.0


def look(height=5, waiting=0, *, reachable=4, answers=True, mempool=0, catching_up=False):
    return Look(
        height,
        waiting,
        EngineHealth(
            answers=answers,
            validators=4,
            reachable=reachable if answers else 0,
            needed=3,
            mempool=mempool,
            catching_up=catching_up,
        ),
    )


def judged(patience, start, until, what):
    """Judge the same look every second; return the findings."""
    return [patience.judge(what, float(now)) for now in range(start, until + 1)]


def test_an_idle_engine_is_well_for_ever():
    """No block without work is no fault."""
    findings = judged(Patience(BOUND, 0, 0.0), 0, 1_000, look())
    assert {("", False)} == set(findings)


@pytest.mark.parametrize("work", [look(waiting=2), look(mempool=2), look(catching_up=True)])
def test_work_without_blocks_is_a_fault_where_enough_are_connected(work):
    """What waits in the queue, in the mempool or to be caught up with, and no block for long: it is started again."""
    findings = judged(Patience(BOUND, 0, 0.0), 0, 31, work)
    assert not any(finding.restart for finding in findings[:31])
    assert findings[31].restart
    assert "consensus stands still" in findings[31].trouble
    assert "4 of 4 validators are reachable" in findings[31].trouble


def test_each_block_is_progress():
    """However long the queue is, an engine that makes blocks is left alone."""
    patience = Patience(BOUND, 0, 0.0)
    for now in range(0, 600, 20):
        assert patience.judge(look(height=now, waiting=9), float(now % 10 + now // 2)).trouble == ""


def test_too_few_validators_are_waited_for_and_no_restart_helps():
    """This node is not at fault: it says for whom it waits, and its time begins anew when they are back."""
    patience = Patience(BOUND, 0, 0.0)
    findings = judged(patience, 0, 500, look(waiting=3, reachable=2))
    assert {("waiting for others: 2 of 4 validators reachable, 3 are needed", False)} == set(findings)
    back = judged(patience, 501, 530, look(waiting=3))
    assert {("", False)} == set(back)


def test_an_engine_that_is_not_told_where_it_begins_is_waited_for():
    """It is not even started: this says so, no restart helps, and its time to answer begins once it is told."""
    patience = Patience(BOUND, 0, 0.0)
    silent = look(answers=False)
    assert {(UNTOLD, False)} == set(judged(patience, 0, 500, silent._replace(untold=True)))
    findings = judged(patience, 501, 531, silent)
    assert ((STARTING, False), ("the engine does not answer", True)) == (findings[0], findings[-1])
    assert not findings[-2].restart


def test_patience_grows_with_each_validator_that_is_away():
    """With one of four away a round may be lost for it: twice the time."""
    findings = judged(Patience(BOUND, 0, 0.0), 0, 61, look(waiting=1, reachable=3))
    assert [61] == [now for now, finding in enumerate(findings) if finding.restart]


def test_a_restart_that_did_not_help_is_tried_later_and_later_but_said_at_once():
    """The reason is known as early as before; the next try comes after twice the time, an hour at most."""
    findings = judged(Patience(BOUND, 2, 0.0), 0, 121, look(waiting=1))
    assert findings[31].trouble != "" and not findings[31].restart
    assert [121] == [now for now, finding in enumerate(findings) if finding.restart]
    assert [30, 60, 120, 3_600, 3_600] == [patience_seconds(30, stalls) for stalls in (0, 1, 2, 10, 10**6)]


def test_a_restart_that_helped_is_not_held_against_the_engine():
    """Once a block came, the next standstill is met with the patience of the first."""
    patience = Patience(BOUND, 3, 0.0)
    patience.judge(look(height=5), 0.0)
    patience.judge(look(height=6, waiting=1), 1.0)
    findings = judged(patience, 2, 32, look(height=6, waiting=1))
    assert [32] == [now for now, finding in enumerate(findings, 2) if finding.restart]


def test_an_engine_that_says_nothing_is_started_again_whoever_is_connected():
    """Silence is told within seconds, and ended when patience is over; a block meanwhile is a sign of life."""
    patience = Patience(BOUND, 0, 0.0)
    silent = judged(patience, 0, 31, look(answers=False))
    assert STARTING == silent[3].trouble
    assert "the engine does not answer" == silent[4].trouble
    assert silent[31].restart
    patience = Patience(BOUND, 0, 0.0)
    patience.judge(look(), 0.0)
    assert ["", "", ""] == [finding.trouble for finding in judged(patience, 1, 3, look(answers=False))]
    patience = Patience(BOUND, 0, 0.0)
    judged(patience, 0, 29, look(answers=False))
    assert not patience.judge(look(height=6, answers=False), 31.0).restart


def test_a_machine_that_slept_blames_nobody():
    """Who was asleep itself has not seen the engine stand still."""
    patience = Patience(BOUND, 0, 0.0)
    patience.judge(look(waiting=1), 1.0)
    assert ("", False) == patience.judge(look(waiting=1), 500.0)
    assert ("", False) == patience.judge(look(answers=False), 1_000.0)
    assert not judged(Patience(BOUND, 0, 0.0), 0, 5, look(waiting=1, answers=False))[-1].restart


class SimulatedEngine:
    """An engine that answers as it is told."""

    def __init__(self):
        self.names = {}
        self.fails = False
        self.closed = False

    def open(self):
        pass

    async def close(self):
        self.closed = True

    async def status(self):
        if self.fails:
            raise PeerError("the engine does not answer", remedy="Wait.")
        return EngineStatus(7, "", False)

    async def peers(self):
        return [EnginePeer(node, name) for node, name in self.names.items()]

    async def mempool(self):
        return 3, 900


class Bench:
    """A watch over a simulated engine, with a clock that is turned by hand."""

    def __init__(self, **more):
        self.engine = SimulatedEngine()
        self.now = 0.0
        self.trusted = True
        self.tidied = []
        self.watch = EngineWatch(
            self.engine,
            organisation="bank",
            height=lambda: 7,
            waiting=lambda: 1,
            validators=lambda: {"bank", "city", "hospital", "university"},
            engines=lambda: {"aa": "city"},
            trusted=lambda: self.trusted,
            stall_seconds=4.0,
            stalls=0,
            tidy=lambda: self.tidied.append(self.now),
            clock=lambda: self.now,
            **more,
        )

    async def pass_time(self, seconds):
        for _ in range(seconds):
            self.now += 1
            await self.watch.look()


async def test_what_an_engine_waits_for_is_asked_only_while_it_is_silent():
    """The watch says for what it waits until the engine answers."""
    asked = []
    bench = Bench(untold=lambda: asked.append(bench.now) or True)
    bench.engine.fails = True
    await bench.pass_time(9)
    assert (UNTOLD, 9) == (bench.watch.health.trouble, len(asked))
    bench.engine.fails = False
    bench.engine.names = {"aa": "city", "bb": "hospital", "dd": "university"}
    await bench.pass_time(2)
    assert ("", 9) == (bench.watch.health.trouble, len(asked))


async def test_engines_are_known_by_what_the_ledger_says_of_their_node_id():
    """A name counts only where the ledger does not know better, once, and only for one who orders."""
    bench = Bench()
    bench.engine.names = {"aa": "hospital", "bb": "stranger", "cc": "bank", "dd": "university"}
    await bench.watch.look()
    health = bench.watch.health
    assert ("city", "stranger", "university") == health.peers
    assert (3, 4, 3) == (health.reachable, health.validators, health.needed)
    assert (True, 7, 3, 900, "") == (
        health.answers,
        health.height,
        health.mempool,
        health.mempool_bytes,
        health.trouble,
    )


async def test_a_dead_consensus_ends_the_watch_with_the_reason():
    """The error names what stands still, and the remedy; it ends the core, and so both sides."""
    bench = Bench()
    bench.engine.names = {"aa": "", "bb": "hospital", "cc": "university"}
    with pytest.raises(EngineStalledError, match="consensus stands still: 4 transactions wait, no block for 5 s"):
        await bench.pass_time(6)
    assert "consensus stands still" in bench.watch.health.trouble


async def test_a_node_that_trusts_nobody_leaves_its_engine_alone():
    """An alarm is not healed by starting the engine again."""
    bench = Bench()
    bench.trusted = False
    bench.engine.fails = True
    await bench.pass_time(60)
    assert "the engine does not answer" == bench.watch.health.trouble


async def test_waiting_for_others_is_shown_and_passes():
    """The trouble goes with its cause."""
    bench = Bench()
    await bench.pass_time(2)
    assert "waiting for others: 1 of 4" in bench.watch.health.trouble
    bench.engine.names = {"aa": "", "bb": "hospital"}
    await bench.pass_time(1)
    assert "" == bench.watch.health.trouble


async def test_what_the_engine_leaves_behind_is_cleared_away_now_and_then():
    """Not with every look, and whether the engine answers or not."""
    bench = Bench()
    began = bench.now
    await bench.pass_time(35)
    assert [10, 20, 30] == [now - began for now in bench.tidied]
