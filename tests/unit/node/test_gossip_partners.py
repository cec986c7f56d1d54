"""Whom a node meets in a round of gossip."""

from tallystick.node.peers.gossip import PARTNERS, partners


def test_everybody_in_a_small_zone():
    """Up to twice the partners of a round, every member is met in every round."""
    others = list(range(2 * PARTNERS))
    assert others == partners(others, 0) == partners(others, 7)


def test_each_in_turn_in_a_large_zone():
    """Beyond that a round has a few partners, none twice, and everybody has met everybody after one turn of the zone."""
    others = list(range(2 * PARTNERS + 3))
    rounds = [partners(others, turn) for turn in range(40, 43)]
    assert [PARTNERS] * 3 == [len(set(each)) for each in rounds]
    assert set(others) == {each for met in rounds for each in met}
