"""Where an engine begins: what its process waits for, what is emptied before it, and what a crash leaves."""

import pytest

from tallystick.node.engine_beginning import (
    EngineBeginning,
    begin_anew,
    clear_blocks,
    has_to_begin,
    read_beginning,
    sync_settings,
    write_beginning,
)
from tallystick.node.parts import engine_height
from tests.support.seated import make_home

MIDDLE = EngineBeginning(height=7, hash="ab" * 32)


@pytest.fixture
def home(tmp_path):
    """A validator's home whose engine has no blocks, though the ledger has."""
    made = make_home(tmp_path / "home", "bank", "validator")
    engine_height(made).begin()
    return made


def test_engine_has_to_begin_until_it_has_brought_a_block(home):
    """Also where it has taken the height at which it begins: nothing tells yet that it can go on from there."""
    assert has_to_begin(home)
    write_beginning(home, MIDDLE)
    engine_height(home).set(7)
    assert has_to_begin(home)
    for height in (8, 6, None):
        engine_height(home).set(height)
        assert not has_to_begin(home)


def test_engine_begins_in_the_middle_only_while_it_has_to(home):
    """The setting names the height, its header, and two sockets of this home; after the first block it is off."""
    assert {"enable": False} == sync_settings(home)
    write_beginning(home, EngineBeginning())
    assert {"enable": False} == sync_settings(home)

    write_beginning(home, MIDDLE)
    settings = sync_settings(home)

    assert (True, 7, "AB" * 32) == (settings["enable"], settings["trust_height"], settings["trust_hash"])
    assert [f"unix://{home.light_path(number)}" for number in range(2)] == settings["rpc_servers"].split(",")
    engine_height(home).set(8)
    assert {"enable": False} == sync_settings(home)


def test_each_core_s_start_asks_anew(home):
    """What was found out for an earlier one is removed; an engine that was stopped as it began has no blocks again."""
    write_beginning(home, MIDDLE)
    engine = engine_height(home)
    engine.set(7)

    begin_anew(home, engine)

    assert (0, 0, None) == (engine.height, engine_height(home).height, read_beginning(home))


def test_engine_that_has_begun_is_left_alone(home):
    """Behind or not, what it has brought counts."""
    write_beginning(home, MIDDLE)
    for height in (9, None):
        engine = engine_height(home)
        engine.set(height)
        begin_anew(home, engine)
        assert (height, None) == (engine_height(home).height, read_beginning(home))


def test_blocks_are_emptied_and_what_was_signed_stays(home):
    """Nothing but the folder of blocks goes; one that is not there is no fault."""
    (home.engine_path / "data" / "blockstore.db").mkdir(parents=True)
    (home.engine_path / "peers.json").write_text("[]")
    home.engine_keys_path.mkdir(parents=True)
    (home.engine_keys_path / "last-signed.json").write_text("{}")
    clear_blocks(home)
    clear_blocks(home)
    assert not (home.engine_path / "data").exists()
    assert (home.engine_path / "peers.json").exists()
    assert (home.engine_keys_path / "last-signed.json").exists()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"height": "x"}', b'{"unknown": 1}'])
def test_damaged_file_says_nothing(home, damage):
    """A power cut while it was written: it is found out anew."""
    write_beginning(home, MIDDLE)
    (home.engine_path / "beginning.json").write_bytes(damage)
    assert read_beginning(home) is None
    assert has_to_begin(home)


def test_socket_of_an_odd_home_is_elsewhere(tmp_path):
    """Its path becomes part of a web address, in which blanks and letters of other alphabets are written otherwise."""
    plain, odd = (make_home(tmp_path / name, "bank", "validator") for name in ("plain", "Büro 2"))
    assert plain.light_path(0).parent == plain.path
    assert odd.light_path(0).parent != odd.path
    assert odd.light_path(0) != odd.light_path(1)
    assert str(odd.light_path(0)).isascii()
