"""Rights of keys within one block: what the block itself changes about them counts from there on."""

from __future__ import annotations

from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.modules.organisations.ops import RevokeKey
from tests.support.zones import BANK, UNIVERSITY, SignedSimulator, signing_key
from tests.vectors.organisations.cases import add_key, key_of


def evidence(number: int) -> RecordEvidence:
    """Return an operation of its own."""
    return RecordEvidence(root=f"{number:064x}", count=1)


def refusals(zone: SignedSimulator) -> list[str]:
    """Return why each transaction of the last block left nothing behind, or ""."""
    return ["" if result.refused is None else result.refused.name for result in zone.last_results]


def test_key_revoked_in_a_block_is_no_longer_good_behind_that() -> None:
    """The same key signs before and after its revocation: the first is recorded, the second refused."""
    zone = SignedSimulator()
    service, security = zone.key(UNIVERSITY, "service"), zone.key(UNIVERSITY, "security")
    other = zone.key(BANK, "service")
    zone.execute(
        [
            zone.transaction(UNIVERSITY, [evidence(1)], service),
            zone.transaction(BANK, [evidence(2)], other),
            zone.transaction(UNIVERSITY, [RevokeKey(key=key_of(UNIVERSITY, "service"))], security),
            zone.transaction(UNIVERSITY, [evidence(3)], service),
            zone.transaction(BANK, [evidence(4)], other),
        ]
    )
    assert ["", "", "", "unknown_key", ""] == refusals(zone)
    zone.execute([zone.transaction(UNIVERSITY, [evidence(5)], service)])
    assert ["unknown_key"] == refusals(zone)


def test_key_added_in_a_block_is_good_behind_that() -> None:
    """A key that was asked for in vain is good as soon as it is registered, in the same block."""
    zone = SignedSimulator()
    new = signing_key(UNIVERSITY, "second-service")
    added = add_key(zone, UNIVERSITY, "second-service", "service")
    zone.execute(
        [
            zone.transaction(UNIVERSITY, [evidence(1)], new),
            zone.transaction(UNIVERSITY, [added], zone.key(UNIVERSITY, "security")),
            zone.transaction(UNIVERSITY, [evidence(2)], new),
        ]
    )
    assert ["unknown_key", "", ""] == refusals(zone)


def test_change_that_was_refused_leaves_rights_as_they_were() -> None:
    """A revocation that is undone with its transaction changes nothing for those behind it."""
    zone = SignedSimulator()
    service, security = zone.key(UNIVERSITY, "service"), zone.key(UNIVERSITY, "security")
    undone = [RevokeKey(key=key_of(UNIVERSITY, "service")), RevokeKey(key=key_of(UNIVERSITY, "security"))]
    zone.execute(
        [
            zone.transaction(UNIVERSITY, undone, security),
            zone.transaction(UNIVERSITY, [evidence(1)], service),
        ]
    )
    assert ["", ""] == refusals(zone)
    assert ["aborted", "last_security_key"] == [
        outcome.error.name if outcome.error else "" for outcome in zone.last_results[0].outcomes
    ]
