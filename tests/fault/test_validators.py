"""Four validators under faults: nothing acknowledged is lost, no two copies differ, and work goes on by itself.

Parts of nodes are killed at random moments under load: the core, which is the engine's application; the engine; both
at once. Then validators go down one after the other, and one comes back far behind. `TALLY_FAULT_ROUNDS` asks for more
or fewer kills, and for a longer way behind.
"""

import os
import random
import time
from contextlib import contextmanager

import pytest

from tallystick.node import network
from tests.support.copies import assert_same_everywhere, compare, is_sealed, is_still, on_disk
from tests.support.faults import record_fault
from tests.support.networks import running_network, wait_until_ready
from tests.support.nodes import wait_for
from tests.support.submitting import Submitter

pytestmark = pytest.mark.timeout(3_600)
ROUNDS = int(os.environ.get("TALLY_FAULT_ROUNDS", "12"))
SEED = 20_240_717
LONGEST_PAUSE = 3.0
HEAL_SECONDS = 120.0
VICTIMS = {
    "kill-application": ("core_main",),
    "kill-engine": ("cometbft",),
    "kill-both": ("core_main", "cometbft"),
}
# Healing is waited for after every so many kills, so that the others meet a network that is still healing.
LOOK_EVERY = 4
BLOCKS_BEHIND = 5 * ROUNDS
DOWNS = max(1, ROUNDS // 12)


@contextmanager
def submitting(*nodes):
    """Yield a submitter for each node, all at work; stop them in the end."""
    submitters = [Submitter(node, node.keys()) for node in nodes]
    for submitter in submitters:
        submitter.start()
    try:
        yield submitters
    finally:
        for submitter in submitters:
            submitter.ended.set()
    for submitter in submitters:
        submitter.end()


def wait_for_commits(submitter, since, what, more=2):
    """Wait until a submitter was acknowledged more; return the seconds since a moment."""
    count = len(submitter.acknowledged)
    wait_for(
        lambda: len(submitter.acknowledged) >= count + more, f"{submitter.node.organisation}: {what}", HEAL_SECONDS
    )
    return time.monotonic() - since


def record_at(nodes):
    """Return how many operations each copy has where all have the same; else nothing."""
    sizes = set()
    for node in nodes:
        with node.api() as api:
            sizes.add(api.get("/v1/status")["size"])
    return sizes.pop() if len(sizes) == 1 else None


def wait_for_rest(nodes):
    """Wait until all answer, have the same and the last block is signed by a quorum; none raises an alarm."""
    wait_until_ready(nodes)
    wait_for(lambda: record_at(nodes), "all copies to be the same", HEAL_SECONDS)
    wait_for(lambda: all(is_sealed(node, len(nodes)) for node in nodes), "the tail to be signed", HEAL_SECONDS)
    for node in nodes:
        with node.api() as api:
            assert api.get("/v1/status")["alarm"] is None


def acknowledged_by(submitters):
    """Return everything that was acknowledged to any of them."""
    return {name: place for submitter in submitters for name, place in submitter.acknowledged.items()}


def test_kills_at_random_moments_under_load(tmp_path, record_property):
    """Whatever is killed and when, the network heals by itself and every copy has all that was acknowledged."""
    chance = random.Random(SEED)
    tried = dict.fromkeys(VICTIMS, 0)
    healed = {name: [] for name in VICTIMS}
    with running_network(tmp_path / "net") as nodes:
        with submitting(*nodes) as submitters:
            for number in range(ROUNDS):
                time.sleep(chance.uniform(0, LONGEST_PAUSE))
                name = list(VICTIMS)[number % len(VICTIMS)]
                victim = chance.choice(submitters)
                began = time.monotonic()
                victim.node.kill(*VICTIMS[name])
                tried[name] += 1
                if number % LOOK_EVERY == LOOK_EVERY - 1:
                    healed[name].append(wait_for_commits(victim, began, f"to be acknowledged again after {name}"))
            for submitter in submitters:
                wait_for_commits(submitter, 0, "to be acknowledged again")
        wait_for_rest(nodes)
    acknowledged = acknowledged_by(submitters)
    record_property("acknowledged", len(acknowledged))
    print(f"{tried}, {len(acknowledged)} acknowledged, healed in {healed} s")
    found = compare(nodes, acknowledged)
    for name in VICTIMS:
        record_fault(name, tried=tried[name], lost=found.lost, forked=found.forked, recovery_s=healed[name])
    assert_same_everywhere(nodes, acknowledged)


def test_one_down_goes_on_two_down_stop_and_three_go_on_again(tmp_path):
    """One of four away stops nothing; two away stop commits and nothing else; with three it goes on and all catch up."""
    directory = tmp_path / "net"
    acknowledged, one_down, two_down = {}, [], []
    with running_network(directory) as nodes:
        for _ in range(DOWNS):
            with submitting(nodes[0]) as (submitter,):
                wait_for(lambda submitter=submitter: submitter.acknowledged, "the first to be recorded")
                one, two = _take_down_and_bring_back(directory, nodes, submitter)
                one_down.append(one)
                two_down.append(two)
            acknowledged |= submitter.acknowledged
            wait_for_rest(nodes)
    found = compare(nodes, acknowledged)
    record_fault("one-down", tried=DOWNS, lost=found.lost, forked=found.forked, recovery_s=one_down)
    record_fault("two-down", tried=DOWNS, lost=found.lost, forked=found.forked, recovery_s=two_down)
    assert_same_everywhere(nodes, acknowledged)


def _take_down_and_bring_back(directory, nodes, submitter):
    """Kill the fourth validator, then the third; bring back the third, then the fourth.

    Returns:
        Seconds until commits went on with one down, and from the start of the third until they did with two.
    """
    first, second, third, fourth = nodes
    began = time.monotonic()
    fourth.kill_all()
    one_down = wait_for_commits(submitter, began, "commits with one of four down", 4)

    third.kill_all()
    wait_for(lambda: is_still(first), "commits to stop")
    stopped, count = on_disk(first), len(submitter.acknowledged)
    for node in (first, second):
        with node.api() as api:
            assert api.get("/v1/status")["alarm"] is None
            assert 4 == len(api.get("/v1/organisations"))
    time.sleep(3)
    assert (stopped, count) == (on_disk(first), len(submitter.acknowledged))

    began = time.monotonic()
    network.up(directory, [third.organisation])
    two_down = wait_for_commits(submitter, began, "commits with three of them", 1)
    wait_for_commits(submitter, began, "commits to go on", 4)
    network.up(directory)
    return one_down, two_down


def test_validator_far_behind_catches_up(tmp_path):
    """One that was away for many blocks gets them all from the others while they go on, and takes part again."""
    directory = tmp_path / "net"
    with running_network(directory) as nodes:
        *others, away = nodes
        with submitting(*others) as submitters:
            wait_for(lambda: on_disk(away)[0] > 0, "the first block")
            away.kill_all()
            height = on_disk(away)[0]
            wait_for(
                lambda: on_disk(others[0])[0] >= height + BLOCKS_BEHIND,
                f"{BLOCKS_BEHIND} blocks without {away.organisation}",
                60 + 5 * BLOCKS_BEHIND,
            )
            behind, began = on_disk(others[0])[0], time.monotonic()
            network.up(directory)
            wait_for(lambda: on_disk(away)[0] >= behind, f"{away.organisation} to catch up", HEAL_SECONDS + ROUNDS)
            caught_up = time.monotonic() - began
            # Three of four are needed: without one of those who were there, the one that was away is.
            others[0].kill_all()
            wait_for_commits(submitters[1], 0, "commits that need who was away")
            network.up(directory)
            wait_until_ready(nodes)
        wait_for_rest(nodes)
    acknowledged = acknowledged_by(submitters)
    found = compare(nodes, acknowledged)
    record_fault("far-behind", tried=1, lost=found.lost, forked=found.forked, recovery_s=[caught_up])
    assert_same_everywhere(nodes, acknowledged)
