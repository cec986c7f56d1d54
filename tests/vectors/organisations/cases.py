"""Cases of the organisations module's vectors."""

from __future__ import annotations

import msgspec

from tallystick.modules.organisations.ops.add_key import AddKey
from tallystick.modules.organisations.ops.admit_organisation import AdmitOrganisation
from tallystick.modules.organisations.ops.cancel_recovery import CancelRecovery
from tallystick.modules.organisations.ops.finish_recovery import FinishRecovery
from tallystick.modules.organisations.ops.reinstate_organisation import ReinstateOrganisation
from tallystick.modules.organisations.ops.rename_organisation import RenameOrganisation
from tallystick.modules.organisations.ops.revoke_key import RevokeKey
from tallystick.modules.organisations.ops.rotate_encryption_key import RotateEncryptionKey
from tallystick.modules.organisations.ops.rotate_key import RotateKey
from tallystick.modules.organisations.ops.set_address import SetAddress
from tallystick.modules.organisations.ops.set_tls_pins import SetTlsPins
from tallystick.modules.organisations.ops.start_recovery import NewKey, NewRecoveryKey, RecoveryStarted, StartRecovery
from tallystick.modules.organisations.ops.suspend_organisation import SuspendOrganisation
from tests.support.zones import BANK, CITY, DAY, HOSPITAL, UNIVERSITY, Simulator, make_card, public_hex, signing_key
from tests.vectors.generate_modules import Case, Step, step
from tests.vectors.organisations.seats import SEATS
from tests.vectors.organisations.zones import solo, three

WAIT = 3 * DAY


def key_of(organisation: str, purpose: str) -> str:
    """Return the public key of an organisation for a purpose, hex."""
    return public_hex(signing_key(organisation, purpose))


def add_key(zone: Simulator, organisation: str, purpose: str, *roles: str) -> AddKey:
    """Return the operation that registers another key of an organisation."""
    key = signing_key(organisation, purpose)
    return AddKey(key=public_hex(key), roles=roles, proof=zone.proof(organisation, key))


def rotate_key(zone: Simulator, organisation: str, role: str, purpose: str) -> RotateKey:
    """Return the operation that replaces the first key of a role."""
    key = signing_key(organisation, purpose)
    return RotateKey(old=key_of(organisation, role), new=public_hex(key), proof=zone.proof(organisation, key))


def start_recovery(zone: Simulator, organisation: str, *, recovery: str = "", suffix: str = "-2") -> StartRecovery:
    """Return the operation that announces one key for security and registration, and one for the rest."""
    announced = []
    for purpose, roles in (("security", ("registration", "security")), ("system", ("service", "system"))):
        key = signing_key(organisation, purpose + suffix)
        announced.append(NewKey(key=public_hex(key), roles=roles, proof=zone.proof(organisation, key, recovery=True)))
    following = None
    if recovery:
        key = signing_key(organisation, recovery)
        following = NewRecoveryKey(key=public_hex(key), proof=zone.proof(organisation, key, recovery=True))
    return StartRecovery(keys=tuple(sorted(announced, key=lambda new: new.key)), recovery=following)


def started(zone: Simulator, organisation: str = UNIVERSITY, *, recovery: str = "") -> str:
    """Start a recovery and return its id."""
    (event,) = zone.run(organisation, start_recovery(zone, organisation, recovery=recovery))
    assert isinstance(event, RecoveryStarted)
    return event.recovery


def _tampered(_: Simulator) -> Step:
    signed = make_card(CITY)
    card = msgspec.structs.replace(signed.card, name="Another Agency")
    return step(HOSPITAL, AdmitOrganisation(card=msgspec.structs.replace(signed, card=card)))


def _second_vote(zone: Simulator) -> Step:
    zone.run(HOSPITAL, AdmitOrganisation(card=make_card(CITY)))
    zone.run(UNIVERSITY, AdmitOrganisation(card=make_card(CITY)))
    return step(BANK, AdmitOrganisation(card=make_card(CITY)))


def _vote_twice(zone: Simulator) -> Step:
    zone.run(HOSPITAL, AdmitOrganisation(card=make_card(CITY)))
    return step(HOSPITAL, AdmitOrganisation(card=make_card(CITY)))


def _late_vote(zone: Simulator) -> Step:
    zone.run(HOSPITAL, AdmitOrganisation(card=make_card(CITY)))
    return step(UNIVERSITY, AdmitOrganisation(card=make_card(CITY)), at_ms=zone.time + 31 * DAY)


def _too_many(zone: Simulator) -> Step:
    for number in range(12):
        zone.run(HOSPITAL, add_key(zone, HOSPITAL, f"further-{number}", "service"))
    return step(HOSPITAL, add_key(zone, HOSPITAL, "one-too-many", "service"))


def _second_security_revoked(zone: Simulator) -> Step:
    zone.run(HOSPITAL, add_key(zone, HOSPITAL, "second", "security"))
    return step(HOSPITAL, RevokeKey(key=key_of(HOSPITAL, "security")))


def _revoke_twice(zone: Simulator) -> Step:
    zone.run(HOSPITAL, RevokeKey(key=key_of(HOSPITAL, "service")))
    return step(HOSPITAL, RevokeKey(key=key_of(HOSPITAL, "service")))


def _foreign_proof(zone: Simulator) -> Step:
    key = signing_key(HOSPITAL, "further")
    return step(HOSPITAL, AddKey(key=public_hex(key), roles=("service",), proof=zone.proof(UNIVERSITY, key)))


def _rotated_with_foreign_proof(zone: Simulator) -> Step:
    message = rotate_key(zone, HOSPITAL, "system", "system-2")
    proof = zone.proof(UNIVERSITY, signing_key(HOSPITAL, "system-2"))
    return step(HOSPITAL, msgspec.structs.replace(message, proof=proof))


def _second_recovery(zone: Simulator) -> Step:
    started(zone)
    return step(UNIVERSITY, start_recovery(zone, UNIVERSITY, suffix="-3"))


def _finish(zone: Simulator) -> Step:
    recovery = started(zone)
    return step(UNIVERSITY, FinishRecovery(recovery=recovery), at_ms=zone.time + WAIT)


def _finish_with_next(zone: Simulator) -> Step:
    recovery = started(zone, recovery="recovery-2")
    return step(UNIVERSITY, FinishRecovery(recovery=recovery), at_ms=zone.time + WAIT)


def _finish_early(zone: Simulator) -> Step:
    recovery = started(zone)
    return step(UNIVERSITY, FinishRecovery(recovery=recovery), at_ms=zone.time + WAIT - 1)


def _finish_cancelled(zone: Simulator) -> Step:
    recovery = started(zone)
    zone.run(UNIVERSITY, CancelRecovery(recovery=recovery))
    return step(UNIVERSITY, FinishRecovery(recovery=recovery), at_ms=zone.time + WAIT)


def _cancel(zone: Simulator) -> Step:
    return step(UNIVERSITY, CancelRecovery(recovery=started(zone)))


def _replayed_proof(zone: Simulator) -> Step:
    message = start_recovery(zone, UNIVERSITY)
    zone.run(UNIVERSITY, message)
    new = message.keys[0]
    return step(UNIVERSITY, AddKey(key=new.key, roles=("observer",), proof=new.proof))


def _finish_taken(zone: Simulator) -> Step:
    recovery = started(zone)
    zone.run(UNIVERSITY, add_key(zone, UNIVERSITY, "security-2", "security"))
    return step(UNIVERSITY, FinishRecovery(recovery=recovery), at_ms=zone.time + WAIT)


def _recovery_without_system(zone: Simulator) -> Step:
    message = start_recovery(zone, UNIVERSITY)
    keys = tuple(new for new in message.keys if "security" in new.roles)
    return step(UNIVERSITY, msgspec.structs.replace(message, keys=keys))


def _recovery_unsorted(zone: Simulator) -> Step:
    message = start_recovery(zone, UNIVERSITY)
    return step(UNIVERSITY, msgspec.structs.replace(message, keys=tuple(reversed(message.keys))))


def _recovery_foreign_proof(zone: Simulator) -> Step:
    message = start_recovery(zone, UNIVERSITY, recovery="recovery-2")
    proof = zone.proof(HOSPITAL, signing_key(UNIVERSITY, "recovery-2"), recovery=True)
    recovery = NewRecoveryKey(key=key_of(UNIVERSITY, "recovery-2"), proof=proof)
    return step(UNIVERSITY, msgspec.structs.replace(message, recovery=recovery))


def _suspended(zone: Simulator) -> None:
    zone.run(HOSPITAL, SuspendOrganisation(organisation=UNIVERSITY))


def _suspend_again(zone: Simulator) -> Step:
    _suspended(zone)
    return step(HOSPITAL, SuspendOrganisation(organisation=UNIVERSITY))


def _suspend_carried(zone: Simulator) -> Step:
    zone.run(HOSPITAL, SuspendOrganisation(organisation=UNIVERSITY))
    return step(BANK, SuspendOrganisation(organisation=UNIVERSITY))


def _suspend_twice(zone: Simulator) -> Step:
    zone.run(HOSPITAL, SuspendOrganisation(organisation=UNIVERSITY))
    return step(HOSPITAL, SuspendOrganisation(organisation=UNIVERSITY))


def _reinstate(zone: Simulator) -> Step:
    _suspended(zone)
    return step(HOSPITAL, ReinstateOrganisation(organisation=UNIVERSITY))


def _recover_suspended(zone: Simulator) -> Step:
    _suspended(zone)
    return step(UNIVERSITY, start_recovery(zone, UNIVERSITY))


def _other_card(zone: Simulator) -> AdmitOrganisation:
    return AdmitOrganisation(card=make_card(UNIVERSITY, name="Another University"))


ADMISSION = [
    Case(
        "admit_organisation",
        "accepted",
        "The only validator's vote admits.",
        lambda _: step(HOSPITAL, AdmitOrganisation(card=make_card(CITY))),
        solo,
    ),
    Case(
        "admit_organisation",
        "first-vote",
        "The first of three votes opens a round.",
        lambda _: step(HOSPITAL, AdmitOrganisation(card=make_card(CITY))),
        three,
    ),
    Case(
        "admit_organisation",
        "last-vote",
        "Two of three are not more than two thirds; the third vote admits.",
        _second_vote,
        three,
    ),
    Case("admit_organisation", "late-vote", "A vote after the round has closed opens the next.", _late_vote, three),
    Case("admit_organisation", "bad-card", "A card that was changed after it was signed is refused.", _tampered, solo),
    Case(
        "admit_organisation",
        "not-validator",
        "Who is no validator has no vote.",
        lambda _: step(UNIVERSITY, AdmitOrganisation(card=make_card(CITY))),
        solo,
    ),
    Case(
        "admit_organisation",
        "organisation-exists",
        "A member is not admitted again.",
        lambda zone: step(HOSPITAL, _other_card(zone)),
        solo,
    ),
    Case(
        "admit_organisation",
        "key-taken",
        "A card with a key that is registered is refused.",
        lambda _: step(
            HOSPITAL,
            AdmitOrganisation(
                card=make_card(
                    CITY,
                    recovery=key_of(CITY, "recovery"),
                    keys=tuple(
                        msgspec.structs.replace(entry, key=key_of(UNIVERSITY, "service"))
                        if entry.role == "service"
                        else entry
                        for entry in make_card(CITY).card.keys
                    ),
                )
            ),
        ),
        solo,
    ),
    Case("admit_organisation", "already-voted", "A validator votes once a round.", _vote_twice, three),
    Case(
        "admit_organisation",
        "role-missing",
        "A service key has no vote.",
        lambda _: step(HOSPITAL, AdmitOrganisation(card=make_card(CITY)), role="service"),
        solo,
    ),
]
KEYS = [
    Case(
        "add_key",
        "accepted",
        "A further key is registered.",
        lambda zone: step(UNIVERSITY, add_key(zone, UNIVERSITY, "further", "observer", "service")),
        solo,
    ),
    Case(
        "add_key",
        "bad-key",
        "A key in capitals is refused.",
        lambda zone: step(UNIVERSITY, AddKey(key="AB" * 32, roles=("service",), proof="0" * 128)),
        solo,
    ),
    Case(
        "add_key",
        "bad-roles",
        "Roles that are not sorted are refused.",
        lambda zone: step(UNIVERSITY, add_key(zone, UNIVERSITY, "further", "service", "observer")),
        solo,
    ),
    Case(
        "add_key",
        "recovery-role",
        "The recovery role is not given by adding a key.",
        lambda zone: step(UNIVERSITY, add_key(zone, UNIVERSITY, "further", "recovery")),
        solo,
    ),
    Case("add_key", "bad-proof", "A proof for another organisation is refused.", _foreign_proof, solo),
    Case("add_key", "proof-of-recovery", "The proof of an announced key adds no key.", _replayed_proof, solo),
    Case(
        "add_key",
        "key-taken",
        "A key of another organisation is refused.",
        lambda zone: step(
            HOSPITAL,
            AddKey(
                key=key_of(UNIVERSITY, "service"),
                roles=("service",),
                proof=zone.proof(HOSPITAL, signing_key(UNIVERSITY, "service")),
            ),
        ),
        solo,
    ),
    Case(
        "add_key",
        "one-system-key",
        "A second system key is refused.",
        lambda zone: step(HOSPITAL, add_key(zone, HOSPITAL, "further", "system")),
        solo,
    ),
    Case("add_key", "too-many-keys", "A seventeenth key is refused.", _too_many, solo),
    Case(
        "add_key",
        "role-missing",
        "A service key adds no keys.",
        lambda zone: step(HOSPITAL, add_key(zone, HOSPITAL, "further", "service"), role="service"),
        solo,
    ),
    Case(
        "revoke_key",
        "accepted",
        "A key is revoked.",
        lambda _: step(UNIVERSITY, RevokeKey(key=key_of(UNIVERSITY, "service"))),
        solo,
    ),
    Case(
        "revoke_key",
        "own-key",
        "A key may revoke itself where it is not the last security key.",
        _second_security_revoked,
        solo,
    ),
    Case(
        "revoke_key", "bad-key", "What is no key is refused.", lambda _: step(UNIVERSITY, RevokeKey(key="x" * 64)), solo
    ),
    Case(
        "revoke_key",
        "not-held",
        "A key of another organisation is not revoked.",
        lambda _: step(UNIVERSITY, RevokeKey(key=key_of(HOSPITAL, "service"))),
        solo,
    ),
    Case("revoke_key", "revoked-before", "A key is revoked once.", _revoke_twice, solo),
    Case(
        "revoke_key",
        "recovery-key",
        "The recovery key is not revoked.",
        lambda _: step(UNIVERSITY, RevokeKey(key=key_of(UNIVERSITY, "recovery"))),
        solo,
    ),
    Case(
        "revoke_key",
        "last-security-key",
        "The last security key is not revoked.",
        lambda _: step(UNIVERSITY, RevokeKey(key=key_of(UNIVERSITY, "security"))),
        solo,
    ),
    Case(
        "revoke_key",
        "one-system-key",
        "The system key is not revoked.",
        lambda _: step(UNIVERSITY, RevokeKey(key=key_of(UNIVERSITY, "system"))),
        solo,
    ),
    Case(
        "rotate_key",
        "accepted",
        "A key is replaced in its roles.",
        lambda zone: step(UNIVERSITY, rotate_key(zone, UNIVERSITY, "system", "system-2")),
        solo,
    ),
    Case(
        "rotate_key",
        "security",
        "The only security key replaces itself.",
        lambda zone: step(UNIVERSITY, rotate_key(zone, UNIVERSITY, "security", "security-2")),
        solo,
    ),
    Case(
        "rotate_key",
        "not-held",
        "The recovery key is not rotated.",
        lambda zone: step(UNIVERSITY, rotate_key(zone, UNIVERSITY, "recovery", "recovery-2")),
        solo,
    ),
    Case(
        "rotate_key",
        "key-taken",
        "A key that is registered takes over nothing.",
        lambda zone: step(UNIVERSITY, rotate_key(zone, UNIVERSITY, "system", "service")),
        solo,
    ),
    Case("rotate_key", "bad-proof", "A proof for another organisation is refused.", _rotated_with_foreign_proof, solo),
    Case(
        "rotate_key",
        "bad-key",
        "What is no key is refused.",
        lambda _: step(UNIVERSITY, RotateKey(old=key_of(UNIVERSITY, "system"), new="x" * 64, proof="0" * 128)),
        solo,
    ),
]
FIELDS = [
    Case(
        "rotate_encryption_key",
        "accepted",
        "The encryption key is replaced.",
        lambda _: step(UNIVERSITY, RotateEncryptionKey(encryption="a1" * 32)),
        solo,
    ),
    Case(
        "rotate_encryption_key",
        "bad-key",
        "What is no key is refused.",
        lambda _: step(UNIVERSITY, RotateEncryptionKey(encryption="g1" * 32)),
        solo,
    ),
    Case(
        "rotate_encryption_key",
        "nothing-changes",
        "The same key is refused.",
        lambda _: step(UNIVERSITY, RotateEncryptionKey(encryption=make_card(UNIVERSITY).card.encryption)),
        solo,
    ),
    Case(
        "set_tls_pins",
        "accepted",
        "The pins are replaced.",
        lambda _: step(UNIVERSITY, SetTlsPins(pins=("a1" * 32, "b2" * 32))),
        solo,
    ),
    Case(
        "set_tls_pins",
        "bad-pins",
        "Pins that are not sorted are refused.",
        lambda _: step(UNIVERSITY, SetTlsPins(pins=("b2" * 32, "a1" * 32))),
        solo,
    ),
    Case(
        "set_tls_pins",
        "nothing-changes",
        "The same pins are refused.",
        lambda _: step(UNIVERSITY, SetTlsPins(pins=make_card(UNIVERSITY).card.tls_pins)),
        solo,
    ),
    Case(
        "set_address",
        "accepted",
        "The address is replaced.",
        lambda _: step(UNIVERSITY, SetAddress(address="node.university.example:443")),
        solo,
    ),
    Case(
        "set_address",
        "taken-away",
        "An empty address says that nothing can connect.",
        lambda _: step(UNIVERSITY, SetAddress(address="")),
        solo,
    ),
    Case(
        "set_address",
        "bad-address",
        "An address without a port is refused.",
        lambda _: step(UNIVERSITY, SetAddress(address="node.university.example")),
        solo,
    ),
    Case(
        "set_address",
        "nothing-changes",
        "The same address is refused.",
        lambda _: step(UNIVERSITY, SetAddress(address=make_card(UNIVERSITY).card.address)),
        solo,
    ),
    Case(
        "set_address",
        "role-missing",
        "A service key moves no node.",
        lambda _: step(UNIVERSITY, SetAddress(address="elsewhere.example:443"), role="service"),
        solo,
    ),
    Case(
        "rename_organisation",
        "accepted",
        "The name is replaced.",
        lambda _: step(UNIVERSITY, RenameOrganisation(name="The State University")),
        solo,
    ),
    Case(
        "rename_organisation",
        "bad-display-name",
        "A name with a line break is refused.",
        lambda _: step(UNIVERSITY, RenameOrganisation(name="State\nUniversity")),
        solo,
    ),
    Case(
        "rename_organisation",
        "nothing-changes",
        "The same name is refused.",
        lambda _: step(UNIVERSITY, RenameOrganisation(name="State University")),
        solo,
    ),
]
RECOVERY = [
    Case(
        "start_recovery",
        "accepted",
        "The recovery key announces new keys.",
        lambda zone: step(UNIVERSITY, start_recovery(zone, UNIVERSITY)),
        solo,
    ),
    Case(
        "start_recovery",
        "next-recovery-key",
        "The recovery key announces its own successor too.",
        lambda zone: step(UNIVERSITY, start_recovery(zone, UNIVERSITY, recovery="recovery-2")),
        solo,
    ),
    Case("start_recovery", "suspended", "A suspended organisation may recover its keys.", _recover_suspended, solo),
    Case(
        "start_recovery",
        "role-missing",
        "A security key announces nothing.",
        lambda zone: step(UNIVERSITY, start_recovery(zone, UNIVERSITY), role="security"),
        solo,
    ),
    Case("start_recovery", "recovery-waits", "One recovery waits at a time.", _second_recovery, solo),
    Case(
        "start_recovery",
        "key-taken",
        "A key that is registered is not announced.",
        lambda zone: step(UNIVERSITY, start_recovery(zone, UNIVERSITY, suffix="")),
        solo,
    ),
    Case("start_recovery", "bad-roles", "Keys without a system key are refused.", _recovery_without_system, solo),
    Case("start_recovery", "bad-key", "Keys that are not sorted are refused.", _recovery_unsorted, solo),
    Case("start_recovery", "bad-proof", "A proof for another organisation is refused.", _recovery_foreign_proof, solo),
    Case("cancel_recovery", "accepted", "A security key stops a recovery.", _cancel, solo),
    Case(
        "cancel_recovery",
        "no-recovery",
        "Nothing is stopped where nothing waits.",
        lambda _: step(UNIVERSITY, CancelRecovery(recovery="rec-nothing")),
        solo,
    ),
    Case("finish_recovery", "accepted", "After the wait the announced keys are installed.", _finish, solo),
    Case("finish_recovery", "next-recovery-key", "The next recovery key is installed too.", _finish_with_next, solo),
    Case("finish_recovery", "recovery-not-ready", "A millisecond early is too early.", _finish_early, solo),
    Case("finish_recovery", "no-recovery", "A cancelled recovery is not finished.", _finish_cancelled, solo),
    Case("finish_recovery", "key-taken", "A key that was registered meanwhile is not installed.", _finish_taken, solo),
]
SUSPENSION = [
    Case(
        "suspend_organisation",
        "accepted",
        "The only validator's vote suspends.",
        lambda _: step(HOSPITAL, SuspendOrganisation(organisation=UNIVERSITY)),
        solo,
    ),
    Case(
        "suspend_organisation",
        "first-vote",
        "The first of two votes opens a motion.",
        lambda _: step(HOSPITAL, SuspendOrganisation(organisation=UNIVERSITY)),
        three,
    ),
    Case("suspend_organisation", "last-vote", "Both other validators suspend a validator.", _suspend_carried, three),
    Case(
        "suspend_organisation",
        "unknown-organisation",
        "Who is no member is not suspended.",
        lambda _: step(HOSPITAL, SuspendOrganisation(organisation="nobody")),
        solo,
    ),
    Case(
        "suspend_organisation",
        "not-an-id",
        "What is no id is no member.",
        lambda _: step(HOSPITAL, SuspendOrganisation(organisation="No Body")),
        solo,
    ),
    Case("suspend_organisation", "already-suspended", "A suspended one is not suspended again.", _suspend_again, solo),
    Case(
        "suspend_organisation",
        "orderer-stays",
        "The orderer is not suspended.",
        lambda _: step(BANK, SuspendOrganisation(organisation=HOSPITAL)),
        three,
    ),
    Case(
        "suspend_organisation",
        "own-case",
        "Nobody votes on itself.",
        lambda _: step(UNIVERSITY, SuspendOrganisation(organisation=UNIVERSITY)),
        three,
    ),
    Case(
        "suspend_organisation",
        "not-validator",
        "Who is no validator has no vote.",
        lambda _: step(UNIVERSITY, SuspendOrganisation(organisation=UNIVERSITY)),
        solo,
    ),
    Case("suspend_organisation", "already-voted", "A validator votes once a round.", _suspend_twice, three),
    Case("reinstate_organisation", "accepted", "The only validator's vote reinstates.", _reinstate, solo),
    Case(
        "reinstate_organisation",
        "not-suspended",
        "An active one is not reinstated.",
        lambda _: step(HOSPITAL, ReinstateOrganisation(organisation=UNIVERSITY)),
        solo,
    ),
    Case(
        "reinstate_organisation",
        "unknown-organisation",
        "Who is no member is not reinstated.",
        lambda _: step(HOSPITAL, ReinstateOrganisation(organisation="nobody")),
        solo,
    ),
]
CASES = [*ADMISSION, *KEYS, *FIELDS, *RECOVERY, *SUSPENSION, *SEATS]
