"""The part that a node plays, and what must hold before its engine may vote."""

import json

import pytest

from tallystick.errors import AccessError, StorageError
from tallystick.modules.organisations.ops import HandOver
from tallystick.node.engine_home import make_engine_keys, retire_engine_keys
from tallystick.node.parts import PartKeeper, check_engine, engine_height
from tallystick.node.processes import PartChangedError
from tests.support.seated import SeatedZone, make_home
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY, make_engine

PAIR = (HOSPITAL, UNIVERSITY)


@pytest.fixture
def make_zone(tmp_path):
    """Return a function that begins a zone of two validators; its store is closed afterwards."""
    made = []

    def make(organisations=PAIR, *, together=False):
        made.append(SeatedZone(tmp_path / f"home-{len(made)}", organisations, validators=PAIR, together=together))
        return made[-1]

    yield make
    for zone in made:
        zone.store.close()


def peers(home):
    """Return the other engines that the next start of this node's connects to."""
    return json.loads((home.engine_path / "peers.json").read_bytes())


def begun(home, height):
    """Let a home's engine have blocks, and have voted up to a height."""
    (home.engine_path / "data" / "blockstore.db").mkdir(parents=True, exist_ok=True)
    signed = home.engine_keys_path / "last-signed.json"
    signed.write_text(json.dumps({"height": str(height), "round": 0, "step": 3}))


def test_orderer_becomes_a_validator_with_the_block_of_the_handover(make_zone):
    """The core learns it from that block and no other; whoever starts later with the old part is told, too."""
    zone = make_zone()
    keeper = PartKeeper(zone.home, zone.store)
    assert "orderer" == keeper.part
    zone.announce(zone.home)
    zone.run(UNIVERSITY, zone.engine(UNIVERSITY))
    zone.run(HOSPITAL, HandOver())
    assert [False] * 3 == [keeper.after(result) for result in zone.results]
    keeper.check()

    zone.run(UNIVERSITY, HandOver())

    assert keeper.after(zone.results[-1])
    with pytest.raises(PartChangedError, match="goes on as validator"):
        keeper.check()
    theirs = make_engine(UNIVERSITY)
    assert [f"{theirs.node}@{theirs.address}"] == peers(zone.home)
    assert "validator" == PartKeeper(zone.home, zone.store).part
    assert 0 < len(zone.home.engine_genesis_path.read_bytes())


def test_core_that_ended_before_it_could_tell_finds_its_new_part_at_the_start(make_zone):
    """Where the process ended between the block and the file, the next one writes it and is started anew."""
    zone = make_zone()
    zone.announce(zone.home)
    zone.run(UNIVERSITY, zone.engine(UNIVERSITY))
    for organisation in PAIR:
        zone.run(organisation, HandOver())
    assert "orderer" == zone.home.part

    with pytest.raises(PartChangedError):
        PartKeeper(zone.home, zone.store)

    assert "validator" == PartKeeper(zone.home, zone.store).part


def test_replica_stays_one_when_others_order_together(make_zone, tmp_path):
    """Its role says that it follows; a validator's node before the handover follows as well."""
    zone = make_zone()
    follower, waiting = (make_home(tmp_path / role, UNIVERSITY, role) for role in ("replica", "validator"))
    keepers = [PartKeeper(home, zone.store) for home in (follower, waiting)]
    assert ["replica", "replica"] == [keeper.part for keeper in keepers]

    zone.hand_over(*PAIR)

    assert [False, True] == [keeper.after(zone.results[-1]) for keeper in keepers]
    assert ["replica", "validator"] == [home.part for home in (follower, waiting)]


def test_another_engines_address_is_written_as_it_changes(make_zone):
    """A validator's part stays the same when an engine moves; the next start connects to the new address."""
    zone = make_zone(together=True)
    with pytest.raises(PartChangedError):
        PartKeeper(zone.home, zone.store)
    keeper = PartKeeper(zone.home, zone.store)

    zone.run(UNIVERSITY, zone.engine(UNIVERSITY, address="moved.example:26656"))

    assert not keeper.after(zone.results[-1])
    assert [f"{make_engine(UNIVERSITY).node}@moved.example:26656"] == peers(zone.home)


def test_validator_whose_ledger_is_rebuilt_follows_until_it_is_there(make_zone):
    """Up to the block that it had it is a replica; then its engine begins behind, answered from the ledger."""
    zone = make_zone(together=True)
    zone.home.engine_genesis_path.write_bytes(b"{}")
    zone.home.rebuilding_path.write_text("2\n")
    keeper = PartKeeper(zone.home, zone.store)
    assert "replica" == keeper.part

    zone.execute([])
    assert not keeper.after(zone.results[-1])
    zone.execute([])
    assert keeper.after(zone.results[-1])

    assert ("validator", 0) == (zone.home.part, engine_height(zone.home).height)
    assert not zone.home.rebuilding_path.exists()


def test_engine_votes_with_the_key_that_the_ledger_names(make_zone):
    """Without an announcement, without keys or with others than announced, it does not start."""
    zone = make_zone((*PAIR, BANK), together=True)
    for organisation in (BANK, HOSPITAL):
        home = make_home(zone.home.path / organisation, organisation, "validator")
        with pytest.raises(AccessError, match="has announced no engine, or its keys are not here"):
            check_engine(home, zone.store)
    make_engine_keys(zone.home.keys_path)
    with pytest.raises(AccessError, match="not the one that the ledger names") as refused:
        check_engine(zone.home, zone.store)
    assert "tally node validate" in refused.value.remedy

    retire_engine_keys(zone.home.keys_path)
    zone.announce(zone.home)

    check_engine(zone.home, zone.store)


def test_engine_that_does_not_know_what_it_signed_is_not_started(make_zone):
    """A lost or damaged record of the last vote could mean a second one."""
    zone = make_zone(together=True)
    zone.announce(zone.home)
    signed = zone.home.engine_keys_path / "last-signed.json"
    for damage in (lambda: signed.write_bytes(b"{}"), lambda: signed.write_bytes(b""), signed.unlink):
        damage()
        with pytest.raises(StorageError, match="what it signed last") as refused:
            check_engine(zone.home, zone.store)
        assert "tally node repair" in refused.value.remedy


def test_new_engine_behind_an_old_copy_begins_at_the_beginning(make_zone):
    """One that never voted and has no blocks is behind; one with blocks is where it says it is."""
    zone = make_zone(together=True)
    zone.announce(zone.home)
    assert 0 == check_engine(zone.home, zone.store).height

    engine_height(zone.home).set(1)
    begun(zone.home, 1)

    assert 1 == check_engine(zone.home, zone.store).height
    engine_height(zone.home).set(None)
    assert check_engine(zone.home, zone.store).height is None


def test_engine_that_voted_and_lost_its_blocks_is_repaired_first(make_zone):
    """Nothing is fetched behind the operator's back; once it is known to be behind, it is, from the beginning."""
    zone = make_zone(together=True)
    zone.announce(zone.home)
    begun(zone.home, 1)
    (zone.home.engine_path / "data" / "blockstore.db").rmdir()
    with pytest.raises(StorageError, match="voted up to block 1") as refused:
        check_engine(zone.home, zone.store)
    assert "tally node repair" in refused.value.remedy

    engine_height(zone.home).set(1)

    assert 0 == check_engine(zone.home, zone.store).height


def test_first_engine_of_a_zone_that_was_handed_over_is_not_behind(make_zone):
    """The engines begin with the block after the handover: before it is made there is nothing to fetch."""
    zone = make_zone()
    zone.announce(zone.home)
    zone.run(UNIVERSITY, zone.engine(UNIVERSITY))
    for organisation in PAIR:
        zone.run(organisation, HandOver())

    assert check_engine(zone.home, zone.store).height is None

    zone.execute([])
    assert 0 == check_engine(zone.home, zone.store).height
