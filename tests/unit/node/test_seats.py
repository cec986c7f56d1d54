"""What the engine asks of a real ledger: seats at every height, engines to connect to, and blocks of the past."""

import pytest

from tallystick.codec.bundles import encode_bundle
from tallystick.errors import IntegrityError
from tallystick.machine import State
from tallystick.modules.organisations.ops import SuspendOrganisation
from tallystick.node.engine_genesis import POWER
from tallystick.node.seats import KeptHistory, Seats, known_engine, other_engines
from tallystick.ordering import InlineVerifier
from tallystick.ordering.cometbft import LedgerApplication
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.replay import EngineHeight
from tallystick.proofs.headers import decode_header
from tests.support.zones import BANK, CITY, HOSPITAL, UNIVERSITY, make_engine, public_hex, signing_key
from tests.vectors.organisations.seats import demote, promote

THREE = (HOSPITAL, UNIVERSITY, BANK)


def powers(*organisations, purpose="consensus"):
    """Return what the engine is told of validators with their first keys."""
    return {signing_key(name, purpose).verify_key.encode(): POWER for name in organisations}


def told(zone, height):
    return Seats().validators(State(zone.store), height)


def test_seats_are_those_of_the_height_that_is_asked_for(make_zone):
    """Nobody before the handover; then whoever has a seat after each block, however far the ledger is by now."""
    zone = make_zone((*THREE, CITY), validators=THREE)
    zone.hand_over(*THREE)
    handed_over = zone.height
    zone.run(CITY, zone.engine(CITY))
    for voter in THREE:
        zone.run(voter, promote(CITY))
    promoted = zone.height
    zone.run(BANK, zone.engine(BANK, "consensus-2"))

    assert {} == told(zone, handed_over - 1)
    assert powers(*THREE) == told(zone, handed_over) == told(zone, promoted - 1)
    assert powers(*THREE, CITY) == told(zone, promoted)
    now = powers(HOSPITAL, UNIVERSITY, CITY) | powers(BANK, purpose="consensus-2")
    assert now == told(zone, zone.height) == told(zone, zone.height + 9)
    changing = [
        result.block.height
        for result in zone.results
        if any(collection in Seats().collections for collection, _, _ in result.writes)
    ]
    assert [handed_over, promoted, zone.height] == changing


def test_engines_of_members_may_connect_and_of_those_with_a_seat_are_connected_to(make_zone):
    """A member that only watches is let in; this node's engine goes to the others that vote."""
    zone = make_zone((*THREE, CITY), validators=THREE, together=True)
    city = make_engine(CITY)
    assert not known_engine(zone.store, city.node)

    zone.run(CITY, zone.engine(CITY))

    assert known_engine(zone.store, city.node)
    assert not known_engine(zone.store, "")
    others = [make_engine(name) for name in sorted((UNIVERSITY, BANK))]
    assert [f"{each.node}@{each.address}" for each in others] == other_engines(zone.store, HOSPITAL)
    assert 3 == len(other_engines(zone.store, CITY))
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, demote(BANK))
    assert [make_engine(UNIVERSITY).node] == [each.partition("@")[0] for each in other_engines(zone.store, HOSPITAL)]
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, SuspendOrganisation(organisation=BANK))
    assert known_engine(zone.store, make_engine(BANK).node)


def test_zone_that_one_orders_has_no_engines_to_connect_to(make_zone):
    """An engine that is announced is none that votes before the order was handed over."""
    zone = make_zone(THREE, validators=THREE)
    zone.run(BANK, zone.engine(BANK))

    assert [] == other_engines(zone.store, HOSPITAL)


def test_kept_blocks_are_what_was_executed(make_zone):
    """Every block has its app hash, and of its transactions those that reached the history."""
    zone = make_zone((*THREE, CITY), validators=THREE)
    history = KeptHistory(zone.store, zone.genesis)
    begun = history.kept_block(0)
    key = zone.key(BANK, "system")
    messages = [zone.engine(BANK), zone.engine(BANK), zone.engine(BANK, "consensus-2")]
    several = zone.transaction(BANK, messages, key, atomic=False)
    again = zone.transaction(UNIVERSITY, [zone.engine(UNIVERSITY)], zone.key(UNIVERSITY, "system"))

    zone.execute([several, again])
    zone.execute([])

    assert (zone.results[0].block.time - 1_000, []) == (begun.time, list(begun.transactions))
    kept = history.kept_block(1)
    assert (zone.results[0].app_hash, zone.results[0].block.time) == (kept.app_hash, kept.time)
    assert [several, again] == list(kept.transactions)
    assert (kept.app_hash, []) == (history.kept_block(2).app_hash, list(history.kept_block(2).transactions))
    with pytest.raises(IntegrityError, match="block 3 is not held here"):
        history.kept_block(3)


async def test_newcomers_engine_is_answered_from_its_copy_from_the_handover_on(make_zone, tmp_path):
    """A real ledger answers an engine that begins behind the handover as those were answered who made the blocks."""
    zone = make_zone((*THREE, CITY), validators=THREE)
    zone.hand_over(*THREE)
    before = zone.height
    zone.run(CITY, zone.engine(CITY))
    for voter in THREE:
        zone.run(voter, promote(CITY))
    zone.run(BANK, zone.engine(BANK, "consensus-2"))
    zone.execute([])
    engine = EngineHeight(tmp_path / "behind")
    engine.begin()
    application = LedgerApplication(
        zone.store.load_state(),
        zone.store,
        zone.rulebook,
        InlineVerifier(),
        clock_ms=lambda: zone.time,
        seal=lambda result: pytest.fail("nothing is sealed again"),
        validators=Seats(),
        history=KeptHistory(zone.store, zone.genesis),
        engine=engine,
        initial_height=before + 1,
    )

    began = await application.init_chain(abci.RequestInitChain(chain_id=zone.chain, initial_height=before + 1))

    assert decode_header(zone.store.find_block(before).header).app_hash == began.app_hash.hex()
    voting = {item.pub_key.ed25519: item.power for item in began.validators}
    assert powers(*THREE) == voting
    for height in range(before + 1, zone.height + 1):
        block = [encode_bundle(zone.blocks[height - 1])] if zone.blocks[height - 1] else []
        answer = await application.finalize_block(abci.RequestFinalizeBlock(txs=block, height=height))
        await application.commit(abci.RequestCommit())
        assert (zone.results[height - 1].app_hash, [0] * len(block)) == (
            answer.app_hash,
            [result.code for result in answer.tx_results],
        )
        for item in answer.validator_updates:
            voting[item.pub_key.ed25519] = item.power
    assert engine.height is None
    left = {key: power for key, power in voting.items() if power}
    assert left == powers(HOSPITAL, UNIVERSITY, CITY) | powers(BANK, purpose="consensus-2")
    assert 0 == voting[bytes.fromhex(public_hex(signing_key(BANK, "consensus")))]
