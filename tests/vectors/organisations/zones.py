"""The zones in which the cases of the organisations module play."""

from __future__ import annotations

from tests.support.zones import BANK, CITY, HOSPITAL, UNIVERSITY, Simulator


def solo() -> Simulator:
    """Return a zone of two members of which the hospital orders and votes alone."""
    return Simulator((HOSPITAL, UNIVERSITY))


def three() -> Simulator:
    """Return a zone of three validators, ordered by the hospital."""
    return Simulator((HOSPITAL, UNIVERSITY, BANK), validators=(HOSPITAL, UNIVERSITY, BANK))


def four() -> Simulator:
    """Return a zone of four validators, ordered by the hospital."""
    members = (HOSPITAL, UNIVERSITY, BANK, CITY)
    return Simulator(members, validators=members)


def together() -> Simulator:
    """Return a zone of four members of which all but the city agency order together."""
    return Simulator((HOSPITAL, UNIVERSITY, BANK, CITY), orderer="", validators=(HOSPITAL, UNIVERSITY, BANK))


def one_together() -> Simulator:
    """Return a zone of two members of which the hospital is the only one that orders, on the distributed engine."""
    return Simulator((HOSPITAL, UNIVERSITY), orderer="", validators=(HOSPITAL,))
