"""Making a node ready to validate: what it announces, and how `tally.toml` is changed without losing a word of it."""

import pytest
from nacl.signing import VerifyKey

from tallystick.errors import AccessError, ConfigurationError, RejectedError, StorageError, UsageError
from tallystick.modules.organisations.possession import consensus_possession_message
from tallystick.modules.organisations.rejections import NOTHING_CHANGES
from tallystick.node.config import load_settings
from tallystick.node.engine_home import make_engine_keys, read_engine_keys
from tallystick.node.validating import change_settings, prepare_announcement, set_up_role
from tests.support.nodes import make_zone
from tests.support.seated import make_home

LISTEN = "127.0.0.1:26656"
TYPED = """# Ours. Ask Ana before you change it.
[node]
organisation = "city-hospital"   # for ever

role = "replica"

[ engine ]  # since May
listen = "127.0.0.1:1"
commit_ms = 250

[peers]
listen = "127.0.0.1:7071"
"""


@pytest.fixture(scope="module")
def zone_home(tmp_path_factory):
    """The home of a zone of one, which never ran."""
    return make_zone(tmp_path_factory.mktemp("zone")).home


@pytest.fixture
def home(tmp_path):
    """A replica's home whose configuration somebody has written."""
    made = make_home(tmp_path / "home", "city-hospital", "replica")
    (made.path / "tally.toml").write_text(TYPED)
    return made


def test_value_is_changed_in_its_place(home):
    """Only the lines with the values are others; comments, order and foreign sections stay."""
    change_settings(home.path, [("engine", "listen", LISTEN), ("node", "role", "validator")])

    expected = TYPED.replace('"127.0.0.1:1"', f'"{LISTEN}"').replace('role = "replica"', 'role = "validator"')
    assert expected == (home.path / "tally.toml").read_text()
    settings = load_settings(home.path, {})
    assert (LISTEN, "validator", 250) == (settings.engine.listen, settings.node.role, settings.engine.commit_ms)


def test_missing_value_is_added_to_its_section(home):
    """A key that is not there comes to the end of its section, and a section to the end of the file."""
    path = home.path / "tally.toml"
    path.write_text('[node]\norganisation = "city-hospital"\n\n# of the peers\n[peers]\nlisten = "127.0.0.1:7071"\n')

    change_settings(home.path, [("node", "role", "validator"), ("engine", "listen", LISTEN)])

    lines = path.read_text().splitlines()
    assert lines.index('role = "validator"') < lines.index("[peers]")
    assert ["[engine]", f'listen = "{LISTEN}"'] == lines[-2:]
    assert "# of the peers" in lines
    assert "validator" == load_settings(home.path, {}).node.role


@pytest.mark.parametrize(
    "text",
    [
        '[node]\norganisation = "city-hospital"\n"role" = "replica"\n',
        'node = { organisation = "city-hospital", role = "replica" }\n',
        'node.organisation = "city-hospital"\nnode.role = "replica"\n',
    ],
)
def test_file_of_another_form_is_left_alone(home, text):
    """Where the value cannot be found the file is as it was, and the person is told what to write."""
    path = home.path / "tally.toml"
    path.write_text(text)

    with pytest.raises(ConfigurationError) as raised:
        change_settings(home.path, [("node", "role", "validator")])

    assert text == path.read_text()
    assert '[node] role = "validator"' in raised.value.remedy


@pytest.mark.parametrize(("error", "kept"), [(NOTHING_CHANGES(), True), (AccessError("no", remedy="Ask."), True)])
def test_what_the_ledger_refuses_leaves_the_file(home, error, kept):
    """The role is there while the engine is announced, and gone where the announcement is refused."""
    with pytest.raises((RejectedError, AccessError)), set_up_role(home, LISTEN):
        assert "validator" == load_settings(home.path, {}).node.role
        raise error

    assert kept is (TYPED == (home.path / "tally.toml").read_text())


def test_orderer_stays_the_orderer_until_the_handover(tmp_path):
    """Its role is not changed: it orders alone until the ledger says otherwise."""
    home = make_home(tmp_path / "home", "city-hospital", "orderer")

    with set_up_role(home, LISTEN):
        pass

    settings = load_settings(home.path, {})
    assert ("orderer", LISTEN) == (settings.node.role, settings.engine.listen)


def test_announcement_proves_the_key(zone_home):
    """The keys are made once; what is announced is theirs, with a signature for this organisation and zone."""
    made = prepare_announcement(zone_home, "node.hospital.example:26656")

    identity = read_engine_keys(zone_home.keys_path)
    assert (identity.consensus.hex(), identity.node) == (made.consensus, made.node)
    message = consensus_possession_message(zone_home.read_trust().chain, "city-hospital", made.consensus)
    VerifyKey(identity.consensus).verify(message, bytes.fromhex(made.proof))
    assert made == prepare_announcement(zone_home, "node.hospital.example:26656")
    with pytest.raises(UsageError, match="host:port"):
        prepare_announcement(zone_home, "node.hospital.example")


def test_key_that_may_have_signed_what_nobody_knows_is_not_announced(home):
    """Without `last-signed.json` the remedy is the repair, which makes another key."""
    make_engine_keys(home.keys_path)
    (home.engine_keys_path / "last-signed.json").unlink()

    with pytest.raises(StorageError) as raised:
        prepare_announcement(home, LISTEN)

    assert "tally node repair" in raised.value.remedy
