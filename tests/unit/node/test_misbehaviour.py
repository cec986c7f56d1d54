"""What validators were found guilty of: recorded once, before the block, and for good."""

from __future__ import annotations

import pytest

from tallystick.errors import StorageError
from tallystick.node.misbehaviour import FILE, MOST_OF_ONE, MisbehaviourBook
from tallystick.ordering.cometbft.blocks import Misbehaviour

BANK, STRANGER = "ab" * 20, "cd" * 20


def book(home):
    return MisbehaviourBook(home, lambda: {BANK: "bank"})


def twice(height, validator=BANK):
    return Misbehaviour("duplicate_vote", validator, height, 10)


def test_findings_survive_a_restart_and_are_named(tmp_path):
    """The organisation is named where the ledger knows whose key it is; the address stays in any case."""
    book(tmp_path).record([twice(7), twice(7, STRANGER)], height=9, time=1_000)
    first, second = book(tmp_path).found
    assert ("duplicate_vote", "bank", BANK, 7, 9, 1_000) == (
        first.kind,
        first.organisation,
        first.validator,
        first.height,
        first.found_at,
        first.time,
    )
    assert ("", STRANGER) == (second.organisation, second.validator)


def test_block_that_is_sent_again_is_no_second_offence(tmp_path):
    """A crash between the record and the commit leaves one finding; another height is another one."""
    book(tmp_path).record([twice(7)], height=9, time=1_000)
    again = book(tmp_path)
    again.record([twice(7)], height=9, time=1_000)
    again.record([twice(8)], height=10, time=2_000)
    assert [7, 8] == [each.height for each in book(tmp_path).found]


def test_one_that_convicts_itself_again_and_again_fills_no_disk(tmp_path):
    """Enough is kept of each validator, and others' findings have their room."""
    kept = book(tmp_path)
    for height in range(MOST_OF_ONE + 30):
        kept.record([twice(height)], height=height + 2, time=height)
    kept.record([twice(3, STRANGER)], height=200, time=200)
    assert (MOST_OF_ONE, 1) == tuple(
        sum(each.validator == validator for each in kept.found) for validator in (BANK, STRANGER)
    )


def test_blocks_without_findings_write_nothing(tmp_path):
    """The usual block costs nothing."""
    book(tmp_path).record([], height=9, time=1_000)
    assert [] == list(tmp_path.iterdir())


def test_damaged_record_is_named_with_its_remedy(tmp_path):
    """It is not begun anew in silence: it may be the only trace."""
    (tmp_path / FILE).write_text("[{")
    with pytest.raises(StorageError, match="misbehaviour.json cannot be read"):
        book(tmp_path)


def test_full_disk_stops_the_commit(tmp_path):
    """What cannot be kept is not committed past: the engine sends the block again."""
    kept = book(tmp_path)
    (tmp_path / FILE).mkdir()
    with pytest.raises(StorageError):
        kept.record([twice(7)], height=9, time=1_000)
    assert () == kept.found
