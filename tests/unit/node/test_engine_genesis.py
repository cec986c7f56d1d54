"""What the engines begin with: the same bytes at every node, from the genesis or from the block of the handover."""

import base64
import json

from tallystick.machine import State
from tallystick.modules.organisations.records import Seat
from tallystick.node.engine_genesis import (
    first_engine_genesis,
    initial_height,
    key_address,
    make_engine_genesis,
    write_engine_genesis,
)
from tallystick.proofs.headers import decode_header
from tests.support.zones import BANK, CITY, HOSPITAL, START, UNIVERSITY, make_engine
from tests.vectors.organisations.seats import promote

THREE = (HOSPITAL, UNIVERSITY, BANK)


def read(zone):
    """Return the document in a zone's home."""
    return json.loads(zone.home.engine_genesis_path.read_bytes())


def test_document_is_what_the_engine_reads():
    """Chain, height, app hash and validators stand in the engine's own form, with equal power."""
    consensus = make_engine(BANK).consensus
    data = make_engine_genesis(
        "zone-1", [Seat(organisation=BANK, consensus=consensus)], since_ms=1_500, initial_height=8, app_hash="ab" * 32
    )

    document = json.loads(data)

    assert ("zone-1", "8", "AB" * 32) == (document["chain_id"], document["initial_height"], document["app_hash"])
    assert "1970-01-01T00:00:01.500000Z" == document["genesis_time"]
    (validator,) = document["validators"]
    key = bytes.fromhex(consensus)
    assert base64.b64encode(key).decode() == validator["pub_key"]["value"]
    assert (key_address(key).upper(), "10", BANK) == (validator["address"], validator["power"], validator["name"])


def test_zone_that_orders_together_begins_with_its_genesis(make_zone):
    """Whoever validates by now, what the ledger gives is what the zone's genesis alone gives, and is written once."""
    zone = make_zone((*THREE, CITY), validators=THREE, together=True)
    assert 1 == initial_height(zone.state)

    zone.run(CITY, zone.engine(CITY))
    for voter in THREE:
        zone.run(voter, promote(CITY))

    assert 1 == initial_height(zone.state)
    assert write_engine_genesis(zone.home, zone.store)
    assert first_engine_genesis(zone.genesis) == zone.home.engine_genesis_path.read_bytes()
    assert not write_engine_genesis(zone.home, zone.store)


def test_engines_begin_behind_the_block_of_the_handover(make_zone):
    """Before it nothing is written; then the first height is the next, with the app hash and the time of that block."""
    zone = make_zone((*THREE, CITY), validators=THREE)
    assert (False, None) == (write_engine_genesis(zone.home, zone.store), initial_height(zone.state))
    zone.hand_over(*THREE)
    block = zone.store.last_block()
    zone.run(CITY, zone.engine(CITY))
    for voter in THREE:
        zone.run(voter, promote(CITY))

    assert write_engine_genesis(zone.home, zone.store)

    document = read(zone)
    assert block.height + 1 == initial_height(State(zone.store))
    assert (zone.chain, str(block.height + 1)) == (document["chain_id"], document["initial_height"])
    assert decode_header(block.header).app_hash.upper() == document["app_hash"]
    assert sorted(THREE) == [each["name"] for each in document["validators"]]
    first = zone.home.engine_genesis_path.read_bytes()
    assert not write_engine_genesis(zone.home, zone.store)
    assert first == zone.home.engine_genesis_path.read_bytes()


def test_first_genesis_has_the_genesis_time_and_its_validators(make_zone):
    """Where the validators order together from the beginning, the engines' chain begins at block 1 with their keys."""
    zone = make_zone(THREE, validators=THREE, together=True)

    document = json.loads(first_engine_genesis(zone.genesis))

    assert (zone.chain, "1", "") == (document["chain_id"], document["initial_height"], document["app_hash"])
    assert "2024-05-01T00:00:00.000000Z" == document["genesis_time"]
    assert START == zone.time
    keys = [base64.b64decode(each["pub_key"]["value"]).hex() for each in document["validators"]]
    assert [make_engine(name).consensus for name in sorted(THREE)] == keys
