"""`tally node repair` on homes that lost something, without any process: what is put aside, made anew, and never reset."""

import json
import os

import pytest

from tallystick.errors import StorageError, UsageError
from tallystick.modules import rulebook
from tallystick.node.config import load_settings
from tallystick.node.engine_home import make_engine_keys, signed_height
from tallystick.node.homes import Home
from tallystick.node.locks import SUPERVISOR, try_lock
from tallystick.node.parts import engine_height
from tallystick.node.repair import find_damage, repair
from tallystick.store import LedgerStore
from tests.support.seated import SeatedZone
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY

PAIR = (HOSPITAL, UNIVERSITY)


def make(folder, *, together):
    """Return the home of a zone's first member: two blocks, engine blocks where they order together; nothing runs."""
    zone = SeatedZone(folder, (*PAIR, BANK), validators=PAIR, together=together)
    zone.announce(zone.home)
    zone.run(UNIVERSITY, zone.engine(UNIVERSITY, "another"))
    zone.home.log_path.mkdir()
    (zone.home.path / "genesis.json").write_bytes(zone.genesis)
    return zone


def finish(zone):
    """Let the home be as a node leaves it that has stopped."""
    zone.store.close()
    home = Home(zone.home.path)
    if home.part == "validator":
        blocks = home.engine_path / "data" / "blockstore.db"
        blocks.mkdir(parents=True)
        signed(home, 2)
    return home


def signed(home, height):
    """Let a home's engine have voted up to a height."""
    form = {"height": str(height), "round": 0, "step": 3}
    (home.engine_keys_path / "last-signed.json").write_text(json.dumps(form))


@pytest.fixture
def validator(tmp_path):
    """A validator's home in a zone whose validators have always ordered together."""
    zone = make(tmp_path / "home", together=True)
    zone.home.engine_genesis_path.write_text(json.dumps({"initial_height": "1"}))
    return finish(zone)


@pytest.fixture
def grown(tmp_path):
    """A validator's home in a zone that was handed over with its last block."""
    zone = make(tmp_path / "home", together=False)
    height = len(zone.blocks)
    zone.home.engine_genesis_path.write_text(json.dumps({"initial_height": str(height + 1)}))
    return finish(zone)


def last_height(home):
    """Return the height of a copy."""
    store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
    last = store.last_block()
    store.close()
    return 0 if last is None else last.height


def wipe(path):
    """Lose a ledger."""
    path.unlink()


def truncate(path):
    """Lose half of a ledger."""
    os.truncate(path, path.stat().st_size // 2)


def garble(path):
    """Change bits throughout a ledger."""
    data = bytearray(path.read_bytes())
    data[4096::64] = bytes(255 - byte for byte in data[4096::64])
    path.write_bytes(data)


def no_database(path):
    """Put something else where a ledger was."""
    path.write_text("This is not a ledger.\n" * 500)


def test_whole_home_is_left_alone(validator):
    """Nothing is done, and nothing changes on the disk."""
    before = {path: path.stat().st_mtime_ns for path in validator.path.rglob("*") if "-shm" not in path.name}
    assert ([], "") == (repair(validator), find_damage(validator))
    after = {path: path.stat().st_mtime_ns for path in validator.path.rglob("*") if "-shm" not in path.name}
    assert before.items() <= after.items()


def test_running_node_is_left_alone(validator):
    """Whoever holds the node's lock is running."""
    lock = try_lock(validator.path, SUPERVISOR)
    with pytest.raises(UsageError, match="the node runs"):
        repair(validator)
    lock.close()


@pytest.mark.parametrize("damage", [wipe, truncate, garble, no_database])
def test_ledger_is_made_again_empty_and_the_damaged_one_kept(validator, damage):
    """It is followed up to the block before the one last voted on; what the engine signed last is as it was."""
    damage(validator.ledger_path)
    assert "ledger.db" in find_damage(validator)

    done = repair(validator)

    assert "An empty ledger is in its place" in done[0]
    assert "follows the others up to block 1;" in done[1]
    assert 2 == len(done)
    assert (0, "") == (last_height(validator), find_damage(validator))
    assert (damage is not wipe) is (validator.path / "ledger.db.damaged-1").exists()
    assert (validator.path / "log.damaged-1").is_dir()
    assert (2, "replica", "1\n") == (
        signed_height(validator.keys_path),
        validator.part,
        validator.rebuilding_path.read_text(),
    )


def test_ledger_of_an_engine_that_never_voted_is_played_to_it(validator):
    """There is no block that the node knows to be decided, and nothing to follow up to."""
    signed(validator, 0)
    wipe(validator.ledger_path)

    assert "its engine plays all blocks to it again" in repair(validator)[1]

    assert "validator" == validator.part


def test_second_repair_overwrites_nothing(validator):
    """What was put aside before stays: the next one gets the next number."""
    for number in (1, 2):
        validator.ledger_path.write_text(f"damaged for the time {number}")
        repair(validator)
    kept = [(validator.path / f"ledger.db.damaged-{number}").read_text() for number in (1, 2)]
    assert ["damaged for the time 1", "damaged for the time 2"] == kept


def test_lost_ledger_of_a_grown_zone_is_followed_up_to_the_handover(grown):
    """What is older than the engines is not theirs to play: the node follows others first, and does not order."""
    (grown.path / "tally.toml").write_text(
        (grown.path / "tally.toml").read_text().replace('role = "orderer"', 'role = "validator"')
    )
    first = json.loads(grown.engine_genesis_path.read_bytes())["initial_height"]
    wipe(grown.ledger_path)

    done = repair(Home(grown.path))

    assert f"it follows the others up to block {int(first) - 1}" in done[-1]
    assert ("replica", f"{int(first) - 1}\n") == (grown.part, grown.rebuilding_path.read_text())


def test_lost_ledger_of_who_orders_alone_holds_it_back(tmp_path):
    """Its witnesses are asked before it signs anything."""
    zone = make(tmp_path / "home", together=False)
    home = finish(zone)
    wipe(home.ledger_path)

    done = repair(home)

    assert "orders again once it has all" in done[1]
    assert f"Put that file here as {home.path / 'invitation.json'}" in done[-1]
    assert ("orderer", True) == (home.part, home.is_restored)


def test_who_orders_alone_and_has_an_invitation_finds_the_others(tmp_path):
    """Where a member's invitation is in the home already, none has to be fetched."""
    home = finish(make(tmp_path / "home", together=False))
    (home.path / "invitation.json").write_text("{}")
    wipe(home.ledger_path)

    assert "orders again once it has all" in repair(home)[-1]


def test_without_a_genesis_nothing_is_touched(validator):
    """The damaged ledger stays in its place until the genesis is there."""
    truncate(validator.ledger_path)
    (validator.path / "genesis.json").unlink()
    before = validator.ledger_path.read_bytes()
    with pytest.raises(StorageError, match="genesis.json is missing"):
        repair(validator)
    assert before == validator.ledger_path.read_bytes()


@pytest.mark.parametrize("asked", [False, True])
def test_engine_s_blocks_are_fetched_anew(validator, asked):
    """Where they are gone, or where they are there and it is asked for: its keys and what it signed stay."""
    blocks = validator.engine_path / "data" / "blockstore.db"
    if not asked:
        blocks.rmdir()
    keys = {path.name: path.read_bytes() for path in validator.engine_keys_path.iterdir()}

    done = repair(validator, engine=asked)

    assert "its engine begins where the other validators' engines are" in done[0]
    assert 0 == engine_height(validator).height
    assert not blocks.exists()
    assert keys == {path.name: path.read_bytes() for path in validator.engine_keys_path.iterdir()}


@pytest.mark.parametrize("lost", ["last-signed.json", "all"])
def test_forgotten_vote_retires_the_key(validator, lost):
    """The key is put aside, never reset; the node follows, and is told how to announce another."""
    if lost == "all":
        for path in validator.engine_keys_path.iterdir():
            path.unlink()
    else:
        (validator.engine_keys_path / lost).write_text("")

    done = repair(validator)

    assert "tally node validate" in done[-1]
    assert not validator.engine_keys_path.exists()
    assert (validator.keys_path / "engine-retired-1").is_dir()
    assert "replica" == load_settings(validator.path, {}).node.role == validator.part
    make_engine_keys(validator.keys_path)
    assert 0 == signed_height(validator.keys_path)
