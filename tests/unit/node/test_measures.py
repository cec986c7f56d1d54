"""What the core measures: distributions and counts that the office can show."""

from __future__ import annotations

from tallystick.node.measures import BOUNDS, MeasuredVerifier, Measures


def test_values_fall_into_the_first_bound_that_holds_them():
    """A value on a bound is within it; what is above all has a place of its own."""
    measures = Measures()
    bounds = BOUNDS["apply_seconds"]
    for value in (bounds[0], bounds[0] * 1.01, bounds[-1] + 1, 0.0):
        measures.observe("apply_seconds", value)
    told = measures.measured().distributions["apply_seconds"]
    assert (2, 1) == told.counts[:2]
    assert (1, 4) == (told.counts[-1], sum(told.counts))
    assert bounds == told.bounds and len(told.counts) == len(bounds) + 1
    assert told.total == bounds[0] * 2.01 + bounds[-1] + 1


def test_refusals_are_counted_by_what_and_why():
    """Each pair has a count; what never happened has none."""
    measures = Measures()
    for what, reason in (("block", "wrong_previous"), ("block", "wrong_previous"), ("proposal", "against_the_rules")):
        measures.refused(what, reason)
    assert [("block", "wrong_previous", 2), ("proposal", "against_the_rules", 1)] == [
        (each.what, each.reason, each.count) for each in measures.measured().failures
    ]


class Verifier:
    """Finds every second signature good."""

    closed = False

    async def check(self, transactions):
        return [at % 2 == 0 for at, _ in enumerate(transactions)]

    async def close(self):
        self.closed = True


async def test_bad_signatures_are_counted_and_nothing_is_changed():
    """The answers go through as they are."""
    measures, inner = Measures(), Verifier()
    verifier = MeasuredVerifier(inner, measures)
    assert [True, False, True, False] == await verifier.check([None] * 4)
    await verifier.close()
    assert inner.closed
    assert [("transaction", "bad_signature", 2)] == [
        (each.what, each.reason, each.count) for each in measures.measured().failures
    ]
