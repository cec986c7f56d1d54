"""Which of its blocks the engine may forget: beyond count and age, and never what evidence needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tallystick.ordering.cometbft.retention import DAY_MS, Retention

MINUTE = 60_000
EVIDENCE_BLOCKS, EVIDENCE_MS = 10_000, 2 * DAY_MS
EVIDENCE = {"evidence_blocks": EVIDENCE_BLOCKS, "evidence_ms": EVIDENCE_MS}


def every_minute(height):
    return height * MINUTE


def lowest(retention, height):
    return retention.lowest(height, every_minute(height))


def test_nothing_goes_unless_the_operator_says_so():
    """With neither a count nor an age, all are kept."""
    assert 0 == lowest(Retention(0, 0, every_minute, **EVIDENCE), 10_000_000)


def test_evidence_keeps_blocks_whatever_the_settings_are():
    """A count of one keeps the 10,000 blocks in which evidence of a double vote counts."""
    retention = Retention(1, 0, every_minute, **EVIDENCE)
    assert 0 == lowest(retention, EVIDENCE_BLOCKS)
    assert 390_001 == lowest(retention, 400_000)


def test_evidence_keeps_two_days_where_blocks_are_many():
    """A busy zone makes more blocks in two days than evidence counts: the younger ones stay."""
    retention = Retention(1, 0, lambda height: height * 100, **EVIDENCE)
    assert 500_000 + 1 - EVIDENCE_BLOCKS > retention.lowest(500_000, 500_000 * 100)
    height = 3_000_000
    assert (height * 100 - EVIDENCE_MS) // 100 == retention.lowest(height, height * 100)


def test_old_blocks_go_in_portions():
    """Of at most a tenth of what is kept, or 200: looking for the first young block costs reading times."""
    for blocks, step in ((30, 3), (50_000, 200)):
        retention = Retention(blocks, 0, every_minute, evidence_blocks=0, evidence_ms=0)
        found = [lowest(retention, height) for height in range(100_000, 100_000 + 4 * step)]
        assert [step] * 3 == [found.count(each) for each in sorted(set(found))][:3]


def test_both_count_and_age_must_be_over():
    """Whichever keeps more decides."""
    days = Retention(0, 200, every_minute, **EVIDENCE)
    assert 1_000_000 - 200 * DAY_MS // MINUTE == lowest(days, 1_000_000)
    both = Retention(500_000, 200, every_minute, **EVIDENCE)
    assert 1_000_000 - 500_000 + 1 == lowest(both, 1_000_000)


def test_blocks_that_this_copy_does_not_have_are_old():
    """A ledger that began from a snapshot at block 950 has the times of what came after alone."""
    retention = Retention(
        10, 1, lambda height: every_minute(height) if height >= 950 else None, evidence_blocks=0, evidence_ms=0
    )
    assert 950 == lowest(retention, 1_000)


@given(
    gaps=st.lists(st.integers(0, 5_000), min_size=1, max_size=120),
    blocks=st.integers(0, 40),
    age=st.integers(0, 30),
)
def test_retained_height_is_what_the_rules_say_and_never_goes_back(gaps, blocks, age):
    """Against the rules spelt out: the first block that count or age still keeps."""
    times = [0]
    for gap in gaps:
        times.append(times[-1] + gap)
    retention = Retention(blocks, 0, lambda height: times[height], evidence_blocks=5, evidence_ms=age * 1_000)
    before = 0
    for height in range(1, len(times)):
        found = retention.lowest(height, times[height])
        kept = [
            at
            for at in range(1, height + 1)
            if at > height - max(blocks, 5) or times[at] >= times[height] - age * 1_000
        ]
        assert found <= min(kept)
        assert found >= before
        if blocks and kept[0] > 1:
            assert found == kept[0]
        if not blocks:
            assert 0 == found
        before = found
