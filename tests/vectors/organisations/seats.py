"""Cases of the organisations module's vectors: engines, and who orders and votes."""

from __future__ import annotations

from tallystick.modules.organisations.ops.demote_validator import DemoteValidator
from tallystick.modules.organisations.ops.hand_over import HandOver
from tallystick.modules.organisations.ops.promote_validator import PromoteValidator
from tallystick.modules.organisations.ops.set_engine import SetEngine
from tallystick.modules.organisations.ops.suspend_organisation import SuspendOrganisation
from tests.support.zones import BANK, CITY, DAY, HOSPITAL, UNIVERSITY, Simulator, make_engine, public_hex, signing_key
from tests.vectors.generate_modules import Case, Step, step
from tests.vectors.organisations.zones import four, one_together, solo, three, together


def promote(organisation: str) -> PromoteValidator:
    """Return a vote for making a member a validator."""
    return PromoteValidator(organisation=organisation)


def demote(organisation: str) -> DemoteValidator:
    """Return a vote for taking a member out of the validators."""
    return DemoteValidator(organisation=organisation)


def _foreign_proof(zone: Simulator) -> SetEngine:
    return zone.engine(UNIVERSITY, proof=zone.engine(HOSPITAL, "consensus").proof)


def _proof_of_a_key(zone: Simulator) -> SetEngine:
    key = signing_key(UNIVERSITY, "consensus")
    return zone.engine(UNIVERSITY, proof=zone.proof(UNIVERSITY, key))


def _another_address(zone: Simulator) -> SetEngine:
    return zone.engine(UNIVERSITY, address="engine.university.example:26656")


def _same(zone: Simulator) -> Step:
    zone.run(UNIVERSITY, zone.engine(UNIVERSITY))
    return step(UNIVERSITY, zone.engine(UNIVERSITY))


def _retired(zone: Simulator) -> Step:
    zone.run(UNIVERSITY, zone.engine(UNIVERSITY))
    zone.run(UNIVERSITY, zone.engine(UNIVERSITY, "consensus-2"))
    return step(UNIVERSITY, zone.engine(UNIVERSITY))


def _key_of_another(zone: Simulator) -> Step:
    zone.run(HOSPITAL, zone.engine(HOSPITAL))
    theirs = public_hex(signing_key(HOSPITAL, "consensus"))
    return step(UNIVERSITY, zone.engine(UNIVERSITY, consensus=theirs))


def _node_of_another(zone: Simulator) -> Step:
    zone.run(HOSPITAL, zone.engine(HOSPITAL))
    return step(UNIVERSITY, zone.engine(UNIVERSITY, node=make_engine(HOSPITAL).node))


def _promoted(zone: Simulator) -> Step:
    zone.run(CITY, zone.engine(CITY))
    zone.run(HOSPITAL, promote(CITY))
    zone.run(UNIVERSITY, promote(CITY))
    return step(BANK, promote(CITY))


def _first_promotion(zone: Simulator) -> Step:
    zone.run(CITY, zone.engine(CITY))
    return step(HOSPITAL, promote(CITY))


def _promote_twice(zone: Simulator) -> Step:
    last = _first_promotion(zone)
    zone.run(last.organisation, last.message)
    return last


def _late_promotion(zone: Simulator) -> Step:
    last = _first_promotion(zone)
    zone.run(last.organisation, last.message)
    return step(UNIVERSITY, promote(CITY), at_ms=zone.time + 31 * DAY)


def _promote_suspended(zone: Simulator) -> Step:
    zone.run(HOSPITAL, SuspendOrganisation(organisation=UNIVERSITY))
    return step(HOSPITAL, promote(UNIVERSITY))


def _vote_of_one_demoted(zone: Simulator) -> Step:
    last = _first_promotion(zone)
    zone.run(UNIVERSITY, promote(CITY))
    for voter in (HOSPITAL, BANK):
        zone.run(voter, demote(UNIVERSITY))
    return last


def _left_to_vote(zone: Simulator) -> Step:
    last = _first_promotion(zone)
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, promote(CITY))
    for voter in (HOSPITAL, BANK):
        zone.run(voter, demote(UNIVERSITY))
    return step(BANK, last.message)


def _demoted(zone: Simulator) -> Step:
    zone.run(HOSPITAL, demote(BANK))
    return step(UNIVERSITY, demote(BANK))


def _demote_twice(zone: Simulator) -> Step:
    zone.run(HOSPITAL, demote(BANK))
    return step(HOSPITAL, demote(BANK))


def _demote_suspended(zone: Simulator) -> Step:
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, SuspendOrganisation(organisation=BANK))
    zone.run(HOSPITAL, demote(BANK))
    return step(UNIVERSITY, demote(BANK))


def _again_once_it_suffices(zone: Simulator) -> Step:
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, SuspendOrganisation(organisation=CITY))
    for voter in (HOSPITAL, UNIVERSITY, CITY):
        zone.run(voter, demote(BANK))
    return step(HOSPITAL, SuspendOrganisation(organisation=CITY))


def _with_engines(zone: Simulator) -> None:
    for organisation in (HOSPITAL, UNIVERSITY, BANK):
        zone.run(organisation, zone.engine(organisation))


def _first_agreement(zone: Simulator) -> Step:
    _with_engines(zone)
    return step(UNIVERSITY, HandOver())


def _last_agreement(zone: Simulator) -> Step:
    _with_engines(zone)
    zone.run(UNIVERSITY, HandOver())
    zone.run(HOSPITAL, HandOver())
    return step(BANK, HandOver())


def _agree_twice(zone: Simulator) -> Step:
    _with_engines(zone)
    zone.run(UNIVERSITY, HandOver())
    return step(UNIVERSITY, HandOver())


def _late_agreement(zone: Simulator) -> Step:
    _last_agreement(zone)
    return step(BANK, HandOver(), at_ms=zone.time + 31 * DAY)


def _agreement_to_other_engines(zone: Simulator) -> Step:
    last = _last_agreement(zone)
    zone.run(HOSPITAL, zone.engine(HOSPITAL, "consensus-2"))
    return last


def _hand_over_alone(zone: Simulator) -> Step:
    zone.run(HOSPITAL, zone.engine(HOSPITAL))
    return step(HOSPITAL, HandOver())


def _hand_over_with_one_suspended(zone: Simulator) -> Step:
    _with_engines(zone)
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, SuspendOrganisation(organisation=BANK))
    return step(HOSPITAL, HandOver())


ENGINES = [
    Case(
        "set_engine",
        "accepted",
        "A member announces its engine.",
        lambda zone: step(UNIVERSITY, zone.engine(UNIVERSITY)),
        solo,
    ),
    Case(
        "set_engine",
        "new-key",
        "One that orders votes with another key; the old one is retired.",
        lambda zone: step(UNIVERSITY, zone.engine(UNIVERSITY, "consensus-2")),
        together,
    ),
    Case(
        "set_engine",
        "new-address",
        "With the key on record the address alone changes, and no seat.",
        lambda zone: step(UNIVERSITY, _another_address(zone)),
        together,
    ),
    Case(
        "set_engine",
        "bad-key",
        "A key in capitals is refused.",
        lambda zone: step(UNIVERSITY, zone.engine(UNIVERSITY, consensus="AB" * 32)),
        solo,
    ),
    Case(
        "set_engine",
        "bad-engine",
        "A node id in capitals is refused.",
        lambda zone: step(UNIVERSITY, zone.engine(UNIVERSITY, node="AB" * 20)),
        solo,
    ),
    Case(
        "set_engine",
        "bad-address",
        "An address without a port is refused.",
        lambda zone: step(UNIVERSITY, zone.engine(UNIVERSITY, address="engine.university.example")),
        solo,
    ),
    Case(
        "set_engine",
        "bad-proof",
        "A proof for another organisation is refused.",
        lambda zone: step(UNIVERSITY, _foreign_proof(zone)),
        solo,
    ),
    Case(
        "set_engine",
        "proof-of-a-key",
        "The proof by which a key would be registered announces no engine.",
        lambda zone: step(UNIVERSITY, _proof_of_a_key(zone)),
        solo,
    ),
    Case("set_engine", "engine-taken", "A consensus key of another organisation is refused.", _key_of_another, solo),
    Case("set_engine", "retired-key", "A consensus key that was replaced never comes back.", _retired, solo),
    Case(
        "set_engine",
        "registered-key",
        "A key that signs for an organisation is no consensus key.",
        lambda zone: step(UNIVERSITY, zone.engine(UNIVERSITY, "service")),
        solo,
    ),
    Case("set_engine", "node-taken", "A node id of another organisation's engine is refused.", _node_of_another, solo),
    Case("set_engine", "nothing-changes", "The same engine is refused.", _same, solo),
    Case(
        "set_engine",
        "role-missing",
        "A service key announces no engine.",
        lambda zone: step(UNIVERSITY, zone.engine(UNIVERSITY), role="service"),
        solo,
    ),
]
PROMOTION = [
    Case(
        "promote_validator",
        "accepted",
        "The only validator's vote promotes; where one orders alone, no engine is needed.",
        lambda _: step(HOSPITAL, promote(UNIVERSITY)),
        solo,
    ),
    Case("promote_validator", "first-vote", "The first of three votes opens a motion.", _first_promotion, together),
    Case("promote_validator", "last-vote", "The third of three votes promotes, and gives a seat.", _promoted, together),
    Case(
        "promote_validator", "late-vote", "A vote after the round has closed opens the next.", _late_promotion, together
    ),
    Case(
        "promote_validator",
        "former-validator",
        "The vote of one that is a validator no more does not count: one of two is not enough.",
        _vote_of_one_demoted,
        together,
    ),
    Case(
        "promote_validator",
        "validators-left",
        "Both validators that are left promote, whatever a former one voted.",
        _left_to_vote,
        together,
    ),
    Case(
        "promote_validator",
        "unknown-organisation",
        "Who is no member is not promoted.",
        lambda _: step(HOSPITAL, promote("nobody")),
        solo,
    ),
    Case(
        "promote_validator",
        "not-an-id",
        "What is no id is no member.",
        lambda _: step(HOSPITAL, promote("No Body")),
        solo,
    ),
    Case(
        "promote_validator",
        "already-validator",
        "A validator is not promoted.",
        lambda _: step(HOSPITAL, promote(BANK)),
        three,
    ),
    Case("promote_validator", "is-suspended", "A suspended member is not promoted.", _promote_suspended, solo),
    Case(
        "promote_validator",
        "no-engine",
        "Where validators order together, one without an engine is not promoted.",
        lambda _: step(HOSPITAL, promote(CITY)),
        together,
    ),
    Case(
        "promote_validator",
        "not-validator",
        "Who is no validator has no vote, and so none on itself.",
        lambda _: step(UNIVERSITY, promote(UNIVERSITY)),
        solo,
    ),
    Case("promote_validator", "already-voted", "A validator votes once a round.", _promote_twice, together),
]
DEMOTION = [
    Case("demote_validator", "accepted", "Both other validators demote one.", _demoted, three),
    Case(
        "demote_validator",
        "first-vote",
        "The first of two votes opens a motion.",
        lambda _: step(UNIVERSITY, demote(BANK)),
        three,
    ),
    Case(
        "demote_validator", "seat-taken", "Who is demoted where all order together loses its seat.", _demoted, together
    ),
    Case("demote_validator", "suspended", "A suspended validator can be demoted.", _demote_suspended, three),
    Case(
        "demote_validator",
        "unknown-organisation",
        "Who is no member is not demoted.",
        lambda _: step(HOSPITAL, demote("nobody")),
        solo,
    ),
    Case(
        "demote_validator",
        "not-an-id",
        "What is no id is no member.",
        lambda _: step(HOSPITAL, demote("No Body")),
        solo,
    ),
    Case(
        "demote_validator",
        "no-validator",
        "Who is no validator is not demoted.",
        lambda _: step(HOSPITAL, demote(UNIVERSITY)),
        solo,
    ),
    Case(
        "demote_validator",
        "orderer-stays",
        "Who orders alone is not demoted.",
        lambda _: step(BANK, demote(HOSPITAL)),
        three,
    ),
    Case(
        "demote_validator",
        "last-validator",
        "The last validator is not demoted.",
        lambda _: step(HOSPITAL, demote(HOSPITAL)),
        one_together,
    ),
    Case("demote_validator", "own-case", "Nobody votes on itself.", lambda _: step(BANK, demote(BANK)), three),
    Case(
        "demote_validator",
        "not-validator",
        "Who is no validator has no vote.",
        lambda _: step(CITY, demote(BANK)),
        together,
    ),
    Case("demote_validator", "already-voted", "A validator votes once a round.", _demote_twice, three),
    Case(
        "suspend_organisation",
        "votes-suffice",
        "Where a change of validators made the votes suffice, who voted may carry the motion.",
        _again_once_it_suffices,
        four,
    ),
]
HANDOVER = [
    Case(
        "hand_over",
        "accepted",
        "The last of all validators agrees, and all order from the next block on.",
        _last_agreement,
        three,
    ),
    Case("hand_over", "first-agreement", "The first agreement names the seats.", _first_agreement, three),
    Case("hand_over", "alone", "A zone's only validator hands over to its own engine.", _hand_over_alone, solo),
    Case(
        "hand_over", "late-agreement", "An agreement after the round has closed opens the next.", _late_agreement, three
    ),
    Case(
        "hand_over",
        "other-engines",
        "Where an engine has changed, agreeing begins anew.",
        _agreement_to_other_engines,
        three,
    ),
    Case("hand_over", "already-voted", "A validator agrees once a round.", _agree_twice, three),
    Case("hand_over", "no-engine", "Every validator must have an engine.", lambda _: step(HOSPITAL, HandOver()), three),
    Case("hand_over", "is-suspended", "No validator may be suspended.", _hand_over_with_one_suspended, three),
    Case(
        "hand_over",
        "order-together",
        "What was handed over is not handed over again.",
        lambda _: step(HOSPITAL, HandOver()),
        together,
    ),
    Case(
        "hand_over",
        "not-validator",
        "Who is no validator has nothing to agree to.",
        lambda _: step(UNIVERSITY, HandOver()),
        solo,
    ),
]
SEATS = [*ENGINES, *PROMOTION, *DEMOTION, *HANDOVER]
