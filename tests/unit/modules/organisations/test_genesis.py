"""The genesis document: what it brings, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from tallystick.codec import MalformedError, encode_json
from tallystick.machine import PARAMETERS, Parameters, State
from tallystick.modules import decode_genesis, genesis_writes
from tallystick.modules.organisations import queries
from tallystick.modules.organisations.genesis import chain_of
from tallystick.modules.organisations.records import CONSENSUS_KEYS, KEYS, ORGANISATIONS, ZONE
from tests.support.zones import (
    BANK,
    CITY,
    HOSPITAL,
    START,
    UNIVERSITY,
    MemoryReader,
    make_card,
    make_engine,
    make_genesis,
    public_hex,
    signing_key,
)

PAIR = (HOSPITAL, UNIVERSITY)


def written(data: bytes) -> State:
    """Return the state that a genesis document brings."""
    return State(MemoryReader({(collection, key): value for collection, key, value in genesis_writes(data)}))


def test_genesis_brings_zone_parameters_members_and_keys():
    """The records are the zone's, its parameters, and each member's with its keys."""
    data = make_genesis(PAIR, parameters=Parameters(max_operations=7))
    state = written(data)

    zone = queries.get_zone(state)
    assert ("Test Zone", START, HOSPITAL, (HOSPITAL,)) == (zone.name, zone.created_at, zone.orderer, zone.validators)
    assert 7 == state.get(PARAMETERS, "zone").max_operations
    assert [HOSPITAL, UNIVERSITY] == [key for key, _ in state.scan(ORGANISATIONS)]
    assert 10 == len(list(state.scan(KEYS)))
    member = state.get(ORGANISATIONS, UNIVERSITY)
    assert (START, 0, make_card(UNIVERSITY).card.address) == (
        member.admitted_at,
        member.admitted_height,
        member.address,
    )
    assert [HOSPITAL, UNIVERSITY] == [found.organisation for found in queries.members(state)]
    collections = [(collection.encode(), key.encode()) for collection, key, _ in genesis_writes(data)]
    assert sorted(collections) == collections


def test_validators_order_together_where_no_orderer_is_named():
    """A genesis with an empty orderer has several that order, each with its system key, sorted."""
    together = (HOSPITAL, BANK, UNIVERSITY)
    data = make_genesis((HOSPITAL, UNIVERSITY, BANK, CITY), orderer="", validators=(UNIVERSITY, HOSPITAL, BANK))
    state = written(data)

    zone = queries.get_zone(state)
    assert ("", together) == (zone.orderer, zone.validators)
    assert together == queries.ordering(zone)
    assert [(name, public_hex(signing_key(name, "system"))) for name in together] == queries.validators(state)
    assert decode_genesis(data).chain != decode_genesis(make_genesis(PAIR)).chain


def test_engines_of_those_who_order_together_are_announced_with_the_genesis():
    """Each validator has its engine, its consensus key on record and a seat from the first block on."""
    together = (HOSPITAL, BANK, UNIVERSITY)
    state = written(make_genesis((HOSPITAL, UNIVERSITY, BANK, CITY), orderer="", validators=together))

    engines = [make_engine(name) for name in together]
    assert engines == sorted(engines, key=lambda engine: engine.organisation)
    found = queries.engines(state)
    told = [(engine.organisation, engine.consensus, engine.node, engine.address) for engine in found]
    assert [(engine.organisation, engine.consensus, engine.node, engine.address) for engine in engines] == told
    assert [START] * 3 == [engine.announced_at for engine in found]
    assert sorted(engine.consensus for engine in engines) == [key for key, _ in state.scan(CONSENSUS_KEYS)]
    ((height, seating),) = queries.seatings(state)
    assert (0, START) == (height, seating.since)
    assert [(engine.organisation, engine.consensus) for engine in engines] == [
        (seat.organisation, seat.consensus) for seat in seating.seats
    ]
    assert [] == queries.seatings(written(make_genesis(PAIR)))
    assert b"engines" not in make_genesis(PAIR)


def test_one_orders_however_many_vote():
    """Where an orderer is named, it alone orders; the validators vote."""
    state = written(make_genesis((HOSPITAL, UNIVERSITY, BANK), validators=(HOSPITAL, UNIVERSITY, BANK)))

    assert (HOSPITAL,) == queries.ordering(queries.get_zone(state))
    assert [(HOSPITAL, public_hex(signing_key(HOSPITAL, "system")))] == queries.validators(state)


def test_a_key_in_several_roles_is_one_record():
    """A key that a card lists under several roles holds them all."""
    card = make_card(HOSPITAL).card
    security = card.key_of("security")
    entries = [
        msgspec.structs.replace(entry, key=security) if entry.role in ("registration", "service") else entry
        for entry in card.keys
    ]
    from tallystick.modules import make_genesis as make

    state = written(make(name="Z", created=START, orderer=HOSPITAL, cards=[make_card(HOSPITAL, keys=tuple(entries))]))

    assert ("registration", "security", "service") == state.get(KEYS, security).roles
    assert 2 == len(state.get(ORGANISATIONS, HOSPITAL).keys)


def test_chain_id_follows_from_everything():
    """Zones that differ in anything have different chain ids; its slug is plain ASCII."""
    chains = [
        decode_genesis(make_genesis(PAIR, name="Área 7: Health & Co.")).chain,
        decode_genesis(make_genesis(PAIR, name="Health")).chain,
        decode_genesis(make_genesis(PAIR, name="Health", created=START + 1)).chain,
        decode_genesis(make_genesis((HOSPITAL,), name="Health")).chain,
        decode_genesis(make_genesis(PAIR, name="健康")).chain,
    ]

    assert len(chains) == len(set(chains))
    assert ["rea-7-health-co", "health", "health", "health", "zone"] == [chain[:-9] for chain in chains]


def _changed(**changes: object) -> bytes:
    """Return a genesis with other values whose chain id follows from them."""
    genesis = msgspec.structs.replace(decode_genesis(make_genesis(PAIR)), **changes)
    return encode_json(msgspec.structs.replace(genesis, chain=chain_of(genesis)))


def _together(**engine: str) -> bytes:
    """Return a genesis of two that order together, with another value in the second one's engine."""
    engines = (make_engine(HOSPITAL), msgspec.structs.replace(make_engine(UNIVERSITY), **engine))
    return _changed(orderer="", validators=PAIR, engines=engines)


def _forged() -> tuple[object, ...]:
    signed = make_card(UNIVERSITY)
    forged = msgspec.structs.replace(signed, card=msgspec.structs.replace(signed.card, name="Forged"))
    return (make_card(HOSPITAL), forged)


def _sharing() -> tuple[object, ...]:
    """Return two good cards of which one lists a key of the other."""
    theirs = make_card(HOSPITAL).card.key_of("service")
    keys = tuple(
        msgspec.structs.replace(entry, key=theirs) if entry.role == "service" else entry
        for entry in make_card(UNIVERSITY).card.keys
    )
    return (make_card(HOSPITAL), make_card(UNIVERSITY, keys=keys))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        make_genesis(PAIR) + b" ",
        make_genesis(PAIR).replace(b'"v":1', b'"v":2'),
        make_genesis(PAIR).replace(b"Test Zone", b"Best Zone"),
        _changed(v=2),
        _changed(name=""),
        _changed(name="a\nb"),
        _changed(orderer=UNIVERSITY),
        _changed(orderer="nobody", validators=("nobody",)),
        _changed(validators=(UNIVERSITY, HOSPITAL)),
        _changed(validators=(HOSPITAL, HOSPITAL)),
        _changed(validators=()),
        _changed(orderer="", validators=()),
        _changed(orderer="", validators=(HOSPITAL, "nobody")),
        _changed(orderer="", validators=(UNIVERSITY, HOSPITAL)),
        _changed(orderer="", validators=PAIR),
        _changed(orderer="", validators=PAIR, engines=(make_engine(HOSPITAL),)),
        _changed(orderer="", validators=PAIR, engines=(make_engine(UNIVERSITY), make_engine(HOSPITAL))),
        _changed(orderer="", validators=(HOSPITAL,), engines=(make_engine(HOSPITAL), make_engine(UNIVERSITY))),
        _changed(engines=(make_engine(HOSPITAL),)),
        _together(organisation=BANK),
        _together(consensus="AB" * 32),
        _together(consensus="ab" * 31),
        _together(node="AB" * 20),
        _together(node="ab" * 21),
        _together(address=""),
        _together(address="university.example"),
        _changed(cards=()),
        _changed(cards=(make_card(UNIVERSITY), make_card(HOSPITAL))),
        _changed(cards=(make_card(HOSPITAL), make_card(HOSPITAL))),
        _changed(cards=_forged()),
        _changed(parameters=Parameters(rules=2)),
        _changed(parameters=Parameters(max_transaction_bytes=(1 << 20) + 1)),
        _changed(parameters=Parameters(max_operations=1_001)),
        _changed(parameters=Parameters(max_expires_ahead_ms=3_600_001)),
        _changed(parameters=Parameters(block_operations=0)),
        _changed(parameters=Parameters(records_per_organisation=0)),
    ],
)
def test_bad_genesis_is_refused(data):
    """What breaks a rule of the genesis is malformed."""
    with pytest.raises(MalformedError):
        decode_genesis(data)


def test_shared_key_is_refused():
    """Two members cannot begin with one key."""
    with pytest.raises(MalformedError, match="same key"):
        genesis_writes(_changed(cards=_sharing()))


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        ({"consensus": make_engine(HOSPITAL).consensus}, "consensus key"),
        ({"consensus": public_hex(signing_key(HOSPITAL, "service"))}, "consensus key"),
        ({"node": make_engine(HOSPITAL).node}, "node id"),
    ],
)
def test_shared_engine_is_refused(engine, sentence):
    """No two validators begin with one engine, and none votes with a key that signs for a member."""
    assert genesis_writes(_together())
    with pytest.raises(MalformedError, match=f"same engine.*{sentence}"):
        genesis_writes(_together(**engine))


def test_maker_refuses_what_it_could_not_read():
    """`make_genesis` makes no document that `decode_genesis` refuses."""
    with pytest.raises(MalformedError):
        make_genesis(PAIR, orderer=BANK)
    with pytest.raises(MalformedError):
        make_genesis(PAIR, orderer="")


def test_zone_record_is_one():
    """A genesis brings exactly one zone record."""
    assert ["zone"] == [key for key, _ in written(make_genesis(PAIR)).scan(ZONE)]
