"""Blocks that are executed while the votes on them travel: the same results, and nothing that depends on it."""

import asyncio

import pytest

from tallystick.machine import execute_block
from tallystick.ordering.cometbft import executing
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tests.unit.ordering.cometbft.conftest import bundles


@pytest.fixture
def executed(monkeypatch):
    """Return the list of the transactions of each block that is executed from now on."""
    found = []

    def execute(state, block, *rest, **options):
        found.append(block.transactions)
        return execute_block(state, block, *rest, **options)

    monkeypatch.setattr(executing, "execute_block", execute)
    return found


def proposal(application, *transactions, time=2_000):
    """Return the question whether this node votes for the next block."""
    request = abci.RequestProcessProposal(txs=bundles(*transactions), height=application.state.height + 1)
    request.time.FromMilliseconds(time)
    return request


async def vote(application, *transactions, time=2_000):
    """Let a node vote, and its vote leave; return whether it is for the block."""
    answer = await application.process_proposal(proposal(application, *transactions, time=time))
    await asyncio.sleep(0)
    return answer.status == abci.ResponseProcessProposal.ACCEPT


async def test_block_is_executed_once_and_before_it_is_decided(bench, executed):
    """The decision finds the result there; until the commit, nothing has changed."""
    application = bench.application()
    raw, before = bench.note(), application.app_hash
    assert await vote(application, raw)
    assert [(raw,)] == executed
    assert (0, before) == (application.state.height, application.app_hash)
    answer = await bench.block(application, raw)
    assert [(raw,)] == executed
    assert (1, answer.app_hash) == (application.state.height, application.app_hash)
    assert answer.app_hash != before


async def test_result_is_that_of_a_node_which_did_not_vote(bench):
    """Whoever votes and whoever only hears of the decision compute the same, block after block."""
    ahead, behind = bench.application(), bench.application("other.db")
    for number in range(3):
        content = [bench.note(key=f"k{number}"), bench.note("clinic", key=f"k{number}", atomic=False)]
        assert await vote(ahead, *content, time=2_000 + number)
        answers = [await bench.block(each, *content, time=2_000 + number) for each in (ahead, behind)]
        assert answers[0] == answers[1]
    assert ahead.app_hash == behind.app_hash


@pytest.mark.parametrize("change", ["content", "time", "none"])
async def test_another_block_is_decided(bench, executed, change):
    """What was executed for nothing is dropped: the block that was decided counts, with its own time."""
    application, plain = bench.application(), bench.application("other.db")
    proposed, other = bench.note(key="a"), bench.note(key="b")
    assert await vote(application, proposed)
    decided = {"content": (other,), "time": (proposed,), "none": ()}[change]
    time = 2_500 if change == "time" else 2_000
    answer = await bench.block(application, *decided, time=time)
    assert [(proposed,), decided] == executed
    assert answer == await bench.block(plain, *decided, time=time)


async def test_second_round_takes_the_place_of_the_first(bench, executed):
    """Only the proposal on which this node voted last is expected."""
    application = bench.application()
    first, second = bench.note(key="a"), bench.note(key="b")
    await application.process_proposal(proposal(application, first))
    assert await vote(application, second)
    assert [(second,)] == executed
    await bench.block(application, first)
    assert [(second,), (first,)] == executed


async def test_decision_before_the_vote_has_left(bench, executed):
    """Decided at once, a block is executed by the decision, and not again afterwards."""
    application = bench.application()
    raw = bench.note()
    await application.process_proposal(proposal(application, raw))
    await bench.block(application, raw)
    await asyncio.sleep(0)
    assert [(raw,)] == executed


async def test_nothing_is_executed_for_what_is_refused_or_out_of_turn(bench, executed):
    """A proposal against the rules, of another height or of an earlier time than the last block is not expected."""
    application = bench.application()
    assert not await vote(application, bench.forged(bench.note()))
    await bench.block(application, bench.note(key="a"))
    executed.clear()
    assert await vote(application, bench.note(key="b"), time=1_999)
    request = proposal(application, bench.note(key="c"))
    request.height += 1
    await application.process_proposal(request)
    await asyncio.sleep(0)
    assert [] == executed


async def test_fault_of_the_machine_is_told_by_the_decision(bench, monkeypatch):
    """What goes wrong ahead of time leaves no result: it goes wrong again where the engine hears of it."""
    application = bench.application()
    raw = bench.note()

    def fail(*_, **__):
        raise RuntimeError("planted")

    monkeypatch.setattr(executing, "execute_block", fail)
    loop = asyncio.get_running_loop()
    heard = []
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
    assert await vote(application, raw)
    assert ["planted"] == [str(error) for error in heard]
    with pytest.raises(RuntimeError, match="planted"):
        await application.finalize_block(bench.finalize(application, raw))
    monkeypatch.undo()
    assert 0 == application.state.height
    await bench.block(application, raw)
    assert 1 == application.state.frontier.size
