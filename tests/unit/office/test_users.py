"""API keys: what can be made, what they stand for, and that nothing opens without one."""

import pytest

from tallystick.errors import UsageError
from tallystick.office import OfficeDatabase, Users
from tallystick.office.refusals import ApiKeyError, NotFoundError
from tallystick.office.users import DAY_MS, DEFAULT_LIFE_MS, MAX_LIFE_MS
from tallystick.views import Principal


class Clock:
    now = 1_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(tmp_path):
    made = OfficeDatabase(tmp_path / "office.db")
    yield made
    made.close()


@pytest.fixture
def users(database, clock):
    return Users(database, clock)


def test_there_is_no_key_to_begin_with(users):
    """A new office lets nobody in."""
    assert () == users.list()
    for presented in ("", "tally__", "tally_admin_admin", "a_b_c", "_" * 100, "tally_" + "0" * 500):
        with pytest.raises(ApiKeyError):
            users.check(presented)


def test_key_stands_for_its_roles_and_scopes(users):
    """What was made is what the key says, also after the office was opened again."""
    made = users.create("notebook", ["service", "observer", "service"], ["b/*", "a/x"])
    principal = users.check(made.secret)
    assert (made.key.id, "notebook") == (principal.id, principal.name)
    assert ("observer", "service") == principal.roles
    assert (True, False) == (principal.has("service"), principal.has("security"))
    assert [True, True, False, False] == [principal.covers(each) for each in ("a/x", "b/y", "a/xy", "*")]


def test_only_the_hash_of_a_secret_is_kept(users, database, tmp_path):
    """Nobody who reads office.db learns a key; the file is its owner's alone."""
    made = users.create("notebook", ["service"], ["*"])
    secret = made.secret.split("_")[2]
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in stored
    assert 0o600 == (tmp_path / "office.db").stat().st_mode & 0o777
    assert 52 == len(secret)


def test_keys_survive_a_restart_and_so_do_revocations(users, database, clock):
    """Another process over the same file knows the same keys."""
    kept, gone = (users.create(name, ["service"], ["*"]) for name in ("kept", "gone"))
    users.revoke(gone.key.id)
    again = Users(database, clock)
    assert "kept" == again.check(kept.secret).name
    with pytest.raises(ApiKeyError, match="revoked"):
        again.check(gone.secret)
    assert ["active", "revoked"] == [key.status for key in again.list()]


def test_key_ends_exactly_at_its_end(users, clock):
    """Until the millisecond before it, and not at it."""
    made = users.create("brief", ["service"], ["*"], expires=clock.now + 10)
    clock.now += 9
    users.check(made.secret)
    clock.now += 1
    with pytest.raises(ApiKeyError, match="expired"):
        users.check(made.secret)
    assert "expired" == users.list()[0].status
    assert clock.now + DEFAULT_LIFE_MS == users.create("n", ["service"], ["*"]).key.expires_at


def test_revoking_twice_and_what_is_not_there(users, clock):
    """The first revocation counts; an unknown id is named."""
    made = users.create("n", ["service"], ["*"])
    first = users.revoke(made.key.id)
    clock.now += DAY_MS
    assert first == users.revoke(made.key.id)
    with pytest.raises(NotFoundError):
        users.revoke("nothing")


@pytest.mark.parametrize(
    ("name", "roles", "scopes", "ends"),
    [
        ("", ["service"], ["*"], None),
        (" ", ["service"], ["*"], None),
        ("a" * 81, ["service"], ["*"], None),
        ("a\x1b[2J", ["service"], ["*"], None),
        ("n", [], ["*"], None),
        ("n", ["admin"], ["*"], None),
        ("n", ["service", "admin"], ["*"], None),
        ("n", ["service"], [], None),
        ("n", ["service"], [""], None),
        ("n", ["service"], ["a\n"], None),
        ("n", ["service"], ["a" * 121], None),
        ("n", ["service"], ["*"], 0),
        ("n", ["service"], ["*"], Clock.now),
        ("n", ["service"], ["*"], Clock.now + MAX_LIFE_MS + 1),
    ],
)
def test_keys_that_are_not_made(users, name, roles, scopes, ends):
    """An empty list never means everyone, and no key is for ever."""
    with pytest.raises(UsageError) as raised:
        users.create(name, roles, scopes, expires=ends)
    assert raised.value.remedy
    assert () == users.list()


@pytest.mark.parametrize("presented", ["{s}x", "x{s}", "{u}", "tally_{i}_", "tally_{i}_{i}", "Tally_{i}_{x}", "{s}_"])
def test_nearly_right_is_wrong(users, presented):
    """Every other spelling of a good key is refused in the same words."""
    made = users.create("n", ["service"], ["*"])
    _, identifier, secret = made.secret.split("_")
    text = presented.format(s=made.secret, u=made.secret.upper(), i=identifier, x=secret)
    with pytest.raises(ApiKeyError, match="not an API key of this node"):
        users.check(text)


def test_what_scopes_cover():
    """A name covers itself, a prefix what begins with it, the star all; nothing covers nothing."""

    def covers(scope, *scopes):
        return Principal(id="i", name="n", roles=(), scopes=scopes).covers(scope)

    assert covers("a/b", "*") and covers("*", "*")
    assert covers("a/b", "a/*") and not covers("ab/c", "a/*")
    assert covers("a/b", "a/b") and not covers("a/bc", "a/b") and not covers("a", "a/b")
    assert not covers("*", "a/*") and not covers("a/b") and not covers("", "a/*")
