"""The engine's configuration: written anew at each start, from `tally.toml` and the ledger, and closed to strangers."""

import tomllib

import pytest

from tallystick.errors import StorageError
from tallystick.node.engine_home import prepare_engine, write_peers
from tallystick.node.homes import Home
from tests.support.seated import make_home

PEERS = ["a" * 40 + "@10.0.0.2:26656", "b" * 40 + "@10.0.0.3:26656"]


@pytest.fixture
def home(tmp_path):
    """A validator's home with what the ledger and its operator say."""
    made = make_home(tmp_path / "home", "city-hospital", "validator")
    made.engine_genesis_path.write_text("{}")
    with (made.path / "tally.toml").open("a") as settings:
        settings.write('\n[engine]\nlisten = "0.0.0.0:26656"\ncommit_ms = 70\n')
    return Home(made.path)


def written(home):
    return tomllib.loads((home.path / "engine" / "config" / "config.toml").read_text())


def test_configuration_says_what_the_home_says(home):
    """Addresses, files and times are those of the home and its `tally.toml`."""
    write_peers(home, PEERS)
    assert ["start", "--home", str(home.path / "engine")] == prepare_engine(home)
    said = written(home)
    assert ("city-hospital", f"unix://{home.abci_path}") == (said["moniker"], said["proxy_app"])
    assert (",".join(PEERS), "tcp://0.0.0.0:26656") == (said["p2p"]["persistent_peers"], said["p2p"]["laddr"])
    assert "70ms" == said["consensus"]["timeout_commit"]
    assert str(home.keys_path / "engine" / "last-signed.json") == said["priv_validator_state_file"]


def test_nobody_comes_in_but_those_whom_the_ledger_names(home):
    """The RPC is a socket in the home; peers are asked after at the application; no others are looked for or shut out."""
    prepare_engine(home)
    said = written(home)
    assert f"unix://{home.engine_rpc_path}" == said["rpc"]["laddr"]
    assert "" == said["rpc"]["pprof_laddr"]
    assert not said["rpc"].get("unsafe", False)
    assert (True, False) == (said["filter_peers"], said["p2p"]["pex"])
    assert 1_000 == said["p2p"]["max_num_inbound_peers"]
    assert 0o600 == (home.path / "engine" / "config" / "config.toml").stat().st_mode & 0o777


def test_what_somebody_wrote_into_it_is_gone_at_the_next_start(home):
    """It is rendered whole each time."""
    prepare_engine(home)
    path = home.path / "engine" / "config" / "config.toml"
    before = path.read_text()
    path.write_text(before.replace("pex = false", "pex = true"))
    prepare_engine(home)
    assert before == path.read_text()


def test_engine_without_its_genesis_is_not_started(home):
    """It is said, with the remedy, and nothing is written."""
    home.engine_genesis_path.unlink()
    with pytest.raises(StorageError, match="engine-genesis.json is missing") as caught:
        prepare_engine(home)
    assert caught.value.remedy
    assert not (home.path / "engine" / "config").exists()
