"""The trust file: how versions follow each other."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tallystick.codec import encode_json
from tallystick.proofs import TrustEntry, TrustError, TrustFile, default_needed, entry_hash, first_entry, sign_entry
from tests.vectors.proofs.generate import grown_zone
from tests.vectors.proofs.zone import ORGANISATIONS, Zone, signer


def reason_of(build: Any) -> str:
    """Return the reason why something is refused."""
    with pytest.raises(TrustError) as caught:
        build()
    assert caught.value.remedy
    return caught.value.reason


def proposal(zone: Zone, members: list[str], signers: list[str], **changed: Any) -> TrustEntry:
    """Return a next version with parts of it changed before it is signed."""
    keys = {name: zone.key(name).public_key for name in members}
    entry = zone.trust.next_entry(keys, validators=("city",), height=5, since=7)
    entry = msgspec.structs.replace(entry, **changed)
    for name in signers:
        entry = sign_entry(zone.trust.latest.hash, entry, name, zone.key(name))
    return entry


@pytest.mark.parametrize(("others", "needed"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (99, 50), (100, 51)])
def test_default_is_more_than_half_of_the_others(others: int, needed: int) -> None:
    """Where one or a few order, more than half of the other members must have witnessed; where four do, nobody must."""
    assert needed == default_needed(others) == default_needed(others, 3)
    assert 0 == default_needed(others, 4)


def test_more_than_two_thirds_of_those_who_order_decide_together() -> None:
    """Of four that order, three take a version through, two with all the others do not; one may leave."""
    zone = Zone(orderers=("bank", "city", "hospital", "port"))
    keys = {name: zone.key(name).public_key for name in ORGANISATIONS}
    entry = zone.trust.next_entry(keys, validators=("bank", "city", "hospital", "university"), height=5, since=7)

    def signed(*names: str) -> TrustEntry:
        result = entry
        for name in names:
            result = sign_entry(zone.trust.latest.hash, result, name, zone.key(name))
        return result

    assert ["bank", "city", "hospital", "university"] == list(
        zone.trust.extend([signed("bank", "city", "port")]).latest.validators
    )
    assert "too_few_signatures" == reason_of(lambda: zone.trust.extend([signed("bank", "city", "university")]))


def test_the_first_version_is_the_genesis() -> None:
    """Version 1 has the founders, is signed by its orderer alone, and goes through bytes unchanged."""
    trust = Zone().trust

    assert list(ORGANISATIONS) == list(trust.members(1))
    assert (["city"], 3, 4) == (list(trust.latest.validators), trust.latest.needed, trust.latest.others)
    assert ["city"] == [each.organisation for each in trust.entries[0].signatures]
    assert trust.encode() == TrustFile.parse(trust.encode()).encode()
    assert entry_hash(trust.genesis, trust.entries[0]).hex() == trust.fingerprint
    assert first_entry(trust.members(1), ["city"]) == msgspec.structs.replace(trust.entries[0], signatures=())


def test_versions_follow_each_other() -> None:
    """Members join and leave, the orderer changes, and each size has its version."""
    trust = TrustFile.parse(grown_zone().trust.encode())

    assert [["city", "hospital"], ["bank", "city", "hospital"], ["bank", "city", "port"]] == [
        list(version.members) for version in trust.versions
    ]
    assert [1, 2, 2, 3, 3] == [trust.version_at(size).number for size in (0, 1, 1, 2, 99)]
    assert [["city"], ["city"], ["bank"]] == [list(version.validators) for version in trust.versions]
    assert [2, 3] == [entry.version for entry in trust.links_since(1, 2)]
    assert () == trust.links_since(3, 2)


def test_a_key_can_be_changed() -> None:
    """A member with a new key leaves with the old one and joins with the new one, and the old one signs."""
    zone = Zone(("city", "hospital"))
    keys = {"city": zone.key("city").public_key, "hospital": signer("hospital/new").public_key}
    entry = zone.trust.next_entry(keys, validators=("city",), height=1, since=1)
    for name in ("city", "hospital"):
        entry = sign_entry(zone.trust.latest.hash, entry, name, zone.key(name))

    trust = zone.trust.extend([entry])

    assert keys == dict(trust.latest.members)
    assert (["hospital"], ["hospital"]) == tuple(
        [each.organisation for each in part] for part in (entry.left, entry.joined)
    )


def test_a_version_cannot_be_skipped() -> None:
    """A later version is refused without the one before, and versions in the wrong order are."""
    zone = grown_zone()
    old = Zone(("city", "hospital")).trust
    _, second, third = zone.trust.entries

    assert "bad_version" == reason_of(lambda: old.extend([third]))
    assert "bad_version" == reason_of(lambda: old.extend([third, second]))
    assert "bad_version" == reason_of(lambda: old.extend([second, second]))
    renumbered = msgspec.structs.replace(third, version=2)
    assert "bad_members" == reason_of(lambda: old.extend([renumbered]))
    assert 3 == old.extend([second]).extend([third]).latest.number
    assert 3 == old.extend([second, third]).latest.number


@pytest.mark.parametrize(
    ("signers", "reason"),
    [
        ([], "too_few_signatures"),
        (["city"], "too_few_signatures"),
        (["city", "bank", "hospital"], "too_few_signatures"),
        (["bank", "hospital", "port", "university"], "too_few_signatures"),
        (["city", "bank", "hospital", "newcomer"], "bad_trust_signature"),
        (["city", "bank", "hospital", "port", "newcomer"], "bad_trust_signature"),
    ],
)
def test_the_quorum_of_the_version_before_decides(signers: list[str], reason: str) -> None:
    """Too few members, the orderer missing, and signatures of who is not yet a member are refused."""
    zone = Zone()
    entry = proposal(zone, [*ORGANISATIONS, "newcomer"], signers)

    assert reason == reason_of(lambda: zone.trust.extend([entry]))


def test_the_orderer_and_enough_others_are_enough() -> None:
    """The orderer and as many others as the version before needs take a version through; more may sign."""
    zone = Zone()
    for signers in (["city", "bank", "hospital", "port"], list(ORGANISATIONS)):
        assert 2 == zone.trust.extend([proposal(zone, [*ORGANISATIONS, "newcomer"], signers)]).latest.number


def test_a_repeated_signature_does_not_count_twice() -> None:
    """One member's signature listed three times is refused, as are signatures out of order."""
    zone = Zone()
    entry = proposal(zone, ["city", "bank"], ["bank", "city", "hospital", "port"])
    bank, city, hospital, port = entry.signatures
    for signatures in ((bank, bank, bank, city), (city, bank, hospital, port)):
        changed = msgspec.structs.replace(entry, signatures=signatures)
        assert "bad_trust_signature" == reason_of(lambda changed=changed: zone.trust.extend([changed]))


def test_a_removed_member_has_no_say_any_more() -> None:
    """Who has left signs no later version, nor does an old key."""
    zone = Zone(("bank", "city", "hospital"))
    zone.change_members(("bank", "city"), ("bank", "city", "hospital"))
    entry = proposal(zone, ["bank", "city", "port"], ["bank", "city", "hospital"])

    assert "bad_trust_signature" == reason_of(lambda: zone.trust.extend([entry]))
    assert 3 == zone.trust.extend([proposal(zone, ["bank", "city", "port"], ["bank", "city"])]).latest.number


def test_a_signature_of_another_version_is_refused() -> None:
    """A signature counts for the very version that it was made for, after the very one before."""
    zone, other = Zone(), Zone(chain="riverside-00000000")
    entry = proposal(zone, list(ORGANISATIONS[:4]), ["bank", "city", "hospital", "port"])
    elsewhere = proposal(other, list(ORGANISATIONS[:4]), ["bank", "city", "hospital", "port"])

    assert "bad_trust_signature" == reason_of(lambda: zone.trust.extend([elsewhere]))
    later = msgspec.structs.replace(entry, since=entry.since + 1)
    assert "bad_trust_signature" == reason_of(lambda: zone.trust.extend([later]))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"version": 3}, "bad_version"),
        ({"needed": 0}, "bad_quorum"),
        ({"needed": 6}, "bad_quorum"),
        ({"joined": "twice"}, "bad_members"),
        ({"joined": "shared key"}, "bad_members"),
        ({"joined": "member already"}, "bad_members"),
        ({"joined": "bad name"}, "bad_members"),
        ({"left": "stranger"}, "bad_members"),
        ({"left": "other key"}, "bad_members"),
        ({"left": "and back"}, "bad_members"),
        ({"validators": ("stranger",)}, "bad_members"),
        ({"validators": ()}, "bad_members"),
        ({"validators": ("city", "bank")}, "bad_members"),
        ({"validators": ("city", "city")}, "bad_members"),
    ],
)
def test_versions_that_make_no_sense_are_refused(changed: dict[str, Any], reason: str) -> None:
    """Even with every signature, a version must follow the rules."""
    zone = Zone()
    entry = proposal(zone, [*ORGANISATIONS, "newcomer"], [])
    newcomer = entry.joined[0]
    bank = msgspec.structs.replace(newcomer, organisation="bank", key=zone.key("bank").public_key.hex())
    values: dict[str, dict[str, Any]] = {
        "joined": {
            "twice": (newcomer, newcomer),
            "shared key": (msgspec.structs.replace(newcomer, key=bank.key),),
            "member already": (bank, newcomer),
            "bad name": (msgspec.structs.replace(newcomer, organisation="New Comer"),),
        },
        "left": {
            "stranger": (msgspec.structs.replace(newcomer, organisation="stranger"),),
            "other key": (msgspec.structs.replace(bank, key=newcomer.key),),
            "and back": (bank,),
        },
    }
    fields = {name: values[name][value] if name in values else value for name, value in changed.items()}
    if changed.get("left") == "and back":
        fields["joined"] = (bank, newcomer)
    bad = msgspec.structs.replace(entry, **fields)
    for name in ORGANISATIONS:
        bad = sign_entry(zone.trust.latest.hash, bad, name, zone.key(name))

    assert reason == reason_of(lambda: zone.trust.extend([bad]))


def test_heights_and_sizes_never_go_back() -> None:
    """A version cannot hold from before the one before it."""
    zone = grown_zone()
    keys = {"bank": zone.key("bank").public_key}
    for height, since in ((0, 99), (99, 0)):
        entry = zone.trust.next_entry(keys, validators=("bank",), height=height, since=since)
        assert "bad_version" == reason_of(lambda entry=entry: zone.trust.extend([entry]))
    first = msgspec.structs.replace(zone.trust.entries[0], height=1)
    assert "bad_version" == reason_of(lambda: TrustFile(zone.chain, zone.genesis_hash, [first]))


def test_other_spellings_are_refused() -> None:
    """A file that is not canonical, has no version, an unknown format or another genesis is refused."""
    zone = grown_zone()
    good = zone.trust.encode()
    form = msgspec.json.decode(good)

    assert "not_canonical" == reason_of(lambda: TrustFile.parse(good + b"\n"))
    assert "not_canonical" == reason_of(lambda: TrustFile.parse(encode_json({**form, "chain": "no chain id"})))
    assert "not_canonical" == reason_of(lambda: TrustFile.parse(encode_json({**form, "genesis": "AB" * 32})))
    assert "unknown_format" == reason_of(lambda: TrustFile.parse(encode_json({**form, "v": 2})))
    assert "bad_version" == reason_of(lambda: TrustFile.parse(encode_json({**form, "versions": []})))
    assert "bad_trust_signature" == reason_of(lambda: TrustFile.parse(encode_json({**form, "genesis": "ab" * 32})))
    assert "unknown_version" == reason_of(lambda: zone.trust.version(4))
