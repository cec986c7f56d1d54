"""Each transaction's signature is checked once, and answers stay right while blocks come and go."""

import pytest

from tallystick.ordering import InlineVerifier
from tallystick.ordering.cometbft import checking
from tallystick.ordering.cometbft.checking import TransactionChecker


class Counting(InlineVerifier):
    """Counts what it checks; may do something while others wait for it."""

    def __init__(self):
        self.checked = 0
        self.meanwhile = lambda: None

    async def check(self, transactions):
        self.checked += len(transactions)
        self.meanwhile()
        return await super().check(transactions)


@pytest.fixture(autouse=True)
def none_inline(monkeypatch):
    """Let the counting verifier see even a lone transaction."""
    monkeypatch.setattr(checking, "_FEW", 0)


async def test_good_ones_are_checked_once_and_bad_ones_each_time(bench):
    """A good answer is kept until its block is committed; a bad one is not kept."""
    verifier = Counting()
    checker = TransactionChecker(bench.toy.state.genesis_hash, verifier)
    good, bad = bench.note(key="a"), bench.forged(bench.note(key="b"))
    for _ in range(2):
        assert [True, False, False] == [item.signed for item in await checker.check([good, bad, b"nonsense"])]
    assert 3 == verifier.checked
    checker.forget([good])
    await checker.check([good])
    assert 4 == verifier.checked


async def test_block_committed_during_a_check_changes_no_answer(bench):
    """A known good transaction stays good, though it is forgotten while another's signature is being checked."""
    verifier = Counting()
    checker = TransactionChecker(bench.toy.state.genesis_hash, verifier)
    known, new = bench.note(key="a"), bench.note(key="b")
    await checker.check([known])
    verifier.meanwhile = lambda: checker.forget([known])
    assert [True, True] == [item.signed for item in await checker.check([known, new])]


async def test_memory_is_bounded(bench, monkeypatch):
    """Beyond the limit the oldest answers are forgotten and given anew."""
    monkeypatch.setattr(checking, "MAX_KEPT_BYTES", 10_000)
    verifier = Counting()
    checker = TransactionChecker(bench.toy.state.genesis_hash, verifier)
    notes = [bench.note(key=f"k{number}") for number in range(20)]
    assert all(item.signed for item in await checker.check(notes))
    assert all(item.signed for item in await checker.check(notes[:1]))
    assert 21 == verifier.checked


async def test_few_are_checked_without_asking_another_process(bench, monkeypatch):
    """A lone transaction is not sent elsewhere, and a bad one is found all the same."""
    monkeypatch.setattr(checking, "_FEW", 4)
    verifier = Counting()
    checker = TransactionChecker(bench.toy.state.genesis_hash, verifier)
    good, bad = bench.note(key="a"), bench.forged(bench.note(key="b"))
    assert [True, False] == [item.signed for item in await checker.check([good, bad])]
    assert 0 == verifier.checked
