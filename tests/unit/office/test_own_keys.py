"""One's own keys: added, rotated, revoked; in the store before the ledger, retired after it; through crashes."""

import pytest

from tallystick.errors import AccessError, PeerError, RejectedError, UsageError
from tallystick.keys import MemoryKeys
from tallystick.office import OwnKeys
from tallystick.office.own_keys import OwnEntries
from tests.support.zones import HOSPITAL, UNIVERSITY


def held(zone, name, role):
    """Return (public key, retired) of the keys of a role in a node's store."""
    return [(info.public, info.retired) for info in zone.nodes[name].keys.list() if info.role == role]


async def test_added_key_signs(zone, table):
    """A further key is registered, and signing goes by the newest that is."""
    office = zone[UNIVERSITY]
    added = await office.own.add_key("service")
    await zone.settle()
    assert added.key == office.keys.signer("service").public_key.hex()
    assert 2 == len(office.keys.registered("service"))
    await office.datasets.offer(table, name="readings", title="Readings", field="energy")


async def test_rotated_key_replaces_the_old_one(zone, table):
    """The old key is retired here and revoked on the ledger; work goes on with the new one."""
    office = zone[UNIVERSITY]
    (before,) = office.keys.registered("service")
    rotated = await office.own.rotate_key("service")
    await zone.settle()
    assert (before, [rotated.key]) == (rotated.replaces, office.keys.registered("service"))
    assert {before: True, rotated.key: False} == {
        public: bool(gone) for public, gone in held(zone, UNIVERSITY, "service")
    }
    await office.datasets.offer(table, name="readings", title="Readings", field="energy")


async def test_security_key_rotates_itself(zone):
    """The key that signs the rotation is the one that is replaced; the next rotation is signed by the new one."""
    office = zone[UNIVERSITY]
    first = await office.own.rotate_key("security")
    await zone.settle()
    second = await office.own.rotate_key("security")
    assert first.key == second.replaces


async def test_one_of_several_keys_is_rotated(zone):
    """Where a role has two keys, the one that was named is replaced and the other stays."""
    office = zone[UNIVERSITY]
    (old,) = office.keys.registered("service")
    added = await office.own.add_key("service")
    await zone.settle()
    rotated = await office.own.rotate_key("service", old)
    await zone.settle()
    assert old == rotated.replaces
    assert {added.key, rotated.key} == set(office.keys.registered("service"))
    with pytest.raises(UsageError, match="no registered key"):
        await office.own.rotate_key("service", old)


async def test_revoked_key_signs_nothing(zone, table):
    """After its revocation a role without a key cannot act, and says what to do."""
    office = zone[UNIVERSITY]
    (key,) = office.keys.registered("service")
    revoked = await office.own.revoke_key(key)
    await zone.settle()
    assert ("service", key) == (revoked.role, revoked.key)
    with pytest.raises(AccessError) as raised:
        await office.datasets.offer(table, name="readings", title="Readings", field="energy")
    assert "tally key create" in raised.value.remedy
    added = await office.own.add_key("service")
    await zone.settle()
    assert added.key != key
    await office.datasets.offer(table, name="readings", title="Readings", field="energy")


async def test_crash_between_key_store_and_ledger(zone):
    """A key that was made and not registered is used by the next attempt: there is no third one."""
    office = zone[UNIVERSITY]
    zone.orders.fails = 1
    with pytest.raises(PeerError):
        await office.own.rotate_key("service")
    assert 2 == len(held(zone, UNIVERSITY, "service"))
    office = await zone.nodes[UNIVERSITY].crash()
    rotated = await office.own.rotate_key("service")
    await zone.settle()
    assert 2 == len(held(zone, UNIVERSITY, "service"))
    assert [rotated.key] == office.keys.registered("service")


async def test_lost_answer_of_a_rotation(zone, table):
    """The ledger has the new key and this node was not told: it signs by the new one all the same."""
    office = zone[UNIVERSITY]
    (old,) = office.keys.registered("service")
    zone.orders.loses = 1
    with pytest.raises(PeerError):
        await office.own.rotate_key("service")
    await zone.settle()
    office = await zone.nodes[UNIVERSITY].crash()
    assert old not in office.keys.registered("service")
    await office.datasets.offer(table, name="readings", title="Readings", field="energy")


async def test_encryption_key_rotates_and_the_old_one_still_opens(zone):
    """What was sealed to the old key stays readable; the new one is what others seal to."""
    office = zone[UNIVERSITY]
    old = office.keys.encryption_key
    rotated = await office.own.rotate_encryption_key()
    await zone.settle()
    assert rotated.key == zone[HOSPITAL].members.show(UNIVERSITY).encryption
    assert 32 == len(office.keys.encryption_secret(old))
    assert 2 == len(office.keys.encryption_secrets())


async def test_what_is_refused(zone):
    """The system key while the node runs, unknown roles, keys of others, the last security key."""
    office = zone[UNIVERSITY]
    for attempt in (office.own.add_key("system"), office.own.rotate_key("system"), office.own.add_key("king")):
        with pytest.raises(UsageError) as raised:
            await attempt
        assert raised.value.remedy
    (security,) = office.keys.registered("security")
    for key, name in (
        (security, "last_security_key"),
        (office.keys.registered("system")[0], "one_system_key"),
        (zone[HOSPITAL].keys.registered("service")[0], "not_held"),
        ("0" * 64, "not_held"),
        ("Z" * 64, "bad_key"),
    ):
        with pytest.raises(RejectedError) as rejected:
            await office.own.revoke_key(key)
        assert name == rejected.value.name


async def test_address_name_and_pins(zone):
    """What others go by is changed by its own roles; nothing to change, or nonsense, is a rejection."""
    own = zone[UNIVERSITY].own
    await own.set_address("node.example:7071")
    await own.rename("State University, East")
    pins = ["11" * 32, "00" * 32, "11" * 32]
    await own.set_tls_pins(pins)
    await zone.settle()
    shown = zone[HOSPITAL].members.show(UNIVERSITY)
    assert ("node.example:7071", "State University, East") == (shown.address, shown.name)
    assert ("00" * 32, "11" * 32) == shown.tls_pins
    for attempt in (
        own.set_address("node.example:7071"),
        own.set_address("nonsense"),
        own.rename(""),
        own.set_tls_pins(["zz"]),
    ):
        with pytest.raises(RejectedError):
            await attempt


async def test_keys_that_cannot_be_made_here(zone):
    """A key source that only reads is said to be one."""
    office = zone[UNIVERSITY]
    node = zone.nodes[UNIVERSITY]
    keys = OwnKeys(MemoryKeys.generate(("service",)), UNIVERSITY, node.ledger.state)
    with pytest.raises(AccessError, match="holds no key"):
        keys.signer("service")
    with pytest.raises(UsageError, match="cannot be made here"):
        await OwnEntries(office.own._recorder, keys).add_key("observer")
