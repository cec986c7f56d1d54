"""Law 2 for members, keys and seats: whatever is tried, by whichever key, in whatever order.

A model keeps what the events said of keys, members, validators and engines. An operation may take effect only if the
model says that its key was good and held the role; the module's invariants hold after every step; a refused operation
changes nothing.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs
from nacl.signing import SigningKey

from tallystick.codec import tagged_hash
from tallystick.errors import RejectedError
from tallystick.machine import Message
from tallystick.modules.organisations.ops import (
    AddKey,
    AdmitOrganisation,
    CancelRecovery,
    DemoteValidator,
    FinishRecovery,
    HandOver,
    NewKey,
    NewRecoveryKey,
    PromoteValidator,
    ReinstateOrganisation,
    RenameOrganisation,
    RevokeKey,
    RotateKey,
    SetAddress,
    StartRecovery,
    SuspendOrganisation,
)
from tallystick.modules.organisations.queries import find_engine, get_zone, seatings
from tallystick.modules.organisations.records import ORGANISATIONS
from tests.support.zones import (
    BANK,
    CITY,
    DAY,
    HOSPITAL,
    UNIVERSITY,
    SignedSimulator,
    make_card,
    plain,
    public_hex,
    signing_key,
)

VALIDATORS = (HOSPITAL, UNIVERSITY, BANK)
FOUNDERS = (*VALIDATORS, CITY)
NEWCOMERS = ("harbour-school", "river-works")
EVERYBODY = (*FOUNDERS, *NEWCOMERS)
PURPOSES = ("registration", "security", "service", "system", "recovery")
ROLES = st.lists(
    st.sampled_from(["observer", "registration", "security", "service", "system"]), min_size=1, max_size=3, unique=True
).map(lambda roles: tuple(sorted(roles)))
organisations = st.sampled_from(EVERYBODY)
choice = st.integers(0, 10_000)


class Members(RuleBasedStateMachine):
    """A zone of three validators and a fourth member, two newcomers, and every key that was ever made."""

    def __init__(self) -> None:
        super().__init__()
        self.zone = SignedSimulator(FOUNDERS, validators=VALIDATORS)
        self.keys: dict[str, SigningKey] = {}
        self.rights: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.suspended: dict[str, bool] = {}
        self.recoveries: list[str] = ["rec-none"]
        self.waiting: dict[str, StartRecovery] = {}
        self.fresh = 0
        self.orderer = HOSPITAL
        self.validators = set(VALIDATORS)
        self.engines: dict[str, str] = {}
        self.retired: set[str] = set()
        self.seated: dict[int, dict[str, str]] = {}
        for organisation in EVERYBODY:
            for purpose in PURPOSES:
                key = signing_key(organisation, purpose)
                self.keys[public_hex(key)] = key
        for organisation in FOUNDERS:
            self.joined(organisation)

    def joined(self, organisation: str) -> None:
        """Note a new member with the keys of its card."""
        self.suspended[organisation] = False
        for purpose in PURPOSES:
            self.rights[public_hex(signing_key(organisation, purpose))] = (organisation, (purpose,))

    def new_key(self) -> SigningKey:
        """Return a key that was never seen."""
        self.fresh += 1
        key = SigningKey(tagged_hash(b"tests/fresh", self.fresh.to_bytes(4, "big")))
        self.keys[public_hex(key)] = key
        return key

    def pick(self, number: int) -> str:
        """Return one of all keys ever made."""
        return sorted(self.keys)[number % len(self.keys)]

    def attempt(self, organisation: str, signer: str, message: Message, wait_ms: int = 1_000) -> None:
        """Ask for an operation with any key; compare what happens with the model."""
        before = dict(self.zone.reader.records)
        needed = self.zone.rulebook.operations[type(message)].role
        owner, roles = self.rights.get(signer, ("", ()))
        allowed = owner == organisation and needed in roles
        allowed = allowed and (needed == "recovery" or not self.suspended[organisation])
        try:
            events = self.zone.run(organisation, message, key=self.keys[signer], at_ms=self.zone.time + wait_ms)
        except RejectedError:
            after = dict(self.zone.reader.records)
            assert {k: v for k, v in before.items() if k[0] not in ("accepted", "usage")} == {
                k: v for k, v in after.items() if k[0] not in ("accepted", "usage")
            }
            return
        assert allowed
        for event in events:
            told = plain(event)
            if told["type"] in ("engine_set", "validator_promoted", "validator_demoted", "handed_over"):
                self.note_seats(told)
            elif told["type"] != "handover_agreed":
                self.note(told, message)

    def note_seats(self, event: dict[str, object]) -> None:
        """Follow an event about engines and those who order."""
        organisation = str(event.get("organisation", ""))
        match event["type"]:
            case "engine_set":
                assert event["consensus"] not in self.retired
                assert event["retired"] == (
                    self.engines.get(organisation, "") if self.engines.get(organisation) != event["consensus"] else ""
                )
                self.retired |= {str(event["retired"])} - {""}
                self.engines[organisation] = str(event["consensus"])
            case "validator_promoted":
                assert not self.suspended[organisation]
                self.validators.add(organisation)
            case "validator_demoted":
                assert organisation != self.orderer
                self.validators.remove(organisation)
            case "handed_over":
                assert not any(self.suspended[name] for name in self.validators)
                self.orderer = ""
        seats = {name: self.engines[name] for name in sorted(self.validators)} if not self.orderer else {}
        if seats and seats != (self.seated[max(self.seated)] if self.seated else None):
            self.seated[self.zone.height] = seats

    def note(self, event: dict[str, object], message: Message) -> None:
        """Follow an event about members and keys."""
        organisation = str(event["organisation"])
        match event["type"]:
            case "organisation_admitted":
                self.joined(organisation)
            case "key_added":
                self.rights[str(event["key"])] = (organisation, tuple(event["roles"]))  # type: ignore[arg-type]
            case "key_revoked":
                del self.rights[str(event["key"])]
            case "key_rotated":
                self.rights[str(event["new"])] = self.rights.pop(str(event["old"]))
            case "organisation_suspended":
                assert organisation not in (self.validators if not self.orderer else {self.orderer})
                self.suspended[organisation] = True
            case "organisation_reinstated":
                self.suspended[organisation] = False
            case "recovery_started":
                assert isinstance(message, StartRecovery)
                self.recoveries.append(str(event["recovery"]))
                self.waiting[str(event["recovery"])] = message
            case "recovery_finished":
                announced = self.waiting.pop(str(event["recovery"]))
                replaced = [
                    key
                    for key, (owner, roles) in self.rights.items()
                    if owner == organisation and (roles != ("recovery",) or announced.recovery is not None)
                ]
                for key in replaced:
                    del self.rights[key]
                for new in announced.keys:
                    self.rights[new.key] = (organisation, new.roles)
                if announced.recovery is not None:
                    self.rights[announced.recovery.key] = (organisation, ("recovery",))

    def signer(self, organisation: str, role: str, number: int) -> str:
        """Return mostly a key of the organisation in the role, now and then any key at all."""
        fitting = sorted(key for key, (owner, roles) in self.rights.items() if owner == organisation and role in roles)
        return self.pick(number) if number % 5 == 0 or not fitting else fitting[number % len(fitting)]

    @rule(voter=organisations, newcomer=st.sampled_from(EVERYBODY), number=choice, late=st.booleans())
    def admit(self, voter: str, newcomer: str, number: int, late: bool) -> None:
        """Vote for a card."""
        message = AdmitOrganisation(card=make_card(newcomer))
        wait_ms = 31 * DAY if late and number % 7 == 0 else 1_000
        self.attempt(voter, self.signer(voter, "registration", number), message, wait_ms)

    @rule(organisation=organisations, roles=ROLES, number=choice, known=st.booleans())
    def add(self, organisation: str, roles: tuple[str, ...], number: int, known: bool) -> None:
        """Add a new key, or one that was seen before."""
        key = self.keys[self.pick(number)] if known else self.new_key()
        message = AddKey(key=public_hex(key), roles=roles, proof=self.zone.proof(organisation, key))
        self.attempt(organisation, self.signer(organisation, "security", number), message)

    @rule(organisation=organisations, number=choice, chosen=choice)
    def revoke(self, organisation: str, number: int, chosen: int) -> None:
        """Revoke a key, one's own or not."""
        own = sorted(key for key, (owner, _) in self.rights.items() if owner == organisation)
        key = own[chosen % len(own)] if own and chosen % 4 else self.pick(chosen)
        self.attempt(organisation, self.signer(organisation, "security", number), RevokeKey(key=key))

    @rule(organisation=organisations, number=choice, chosen=choice)
    def rotate(self, organisation: str, number: int, chosen: int) -> None:
        """Rotate a key, one's own or not."""
        own = sorted(key for key, (owner, _) in self.rights.items() if owner == organisation)
        old = own[chosen % len(own)] if own and chosen % 4 else self.pick(chosen)
        new = self.new_key()
        message = RotateKey(old=old, new=public_hex(new), proof=self.zone.proof(organisation, new))
        self.attempt(organisation, self.signer(organisation, "security", number), message)

    @rule(organisation=organisations, number=choice, renewed=st.booleans())
    def start(self, organisation: str, number: int, renewed: bool) -> None:
        """Announce new keys."""
        key = self.new_key()
        proof = self.zone.proof(organisation, key, recovery=True)
        following = None
        if renewed:
            other = self.new_key()
            following = NewRecoveryKey(key=public_hex(other), proof=self.zone.proof(organisation, other, recovery=True))
        roles = ("registration", "security", "system")
        keys = (NewKey(key=public_hex(key), roles=roles, proof=proof),)
        message = StartRecovery(keys=keys, recovery=following)
        self.attempt(organisation, self.signer(organisation, "recovery", number), message)

    @precondition(lambda self: len(self.recoveries) > 1)
    @rule(organisation=organisations, number=choice, which=choice, finish=st.booleans(), waited=st.booleans())
    def end(self, organisation: str, number: int, which: int, finish: bool, waited: bool) -> None:
        """Finish or cancel a recovery, after the wait or before."""
        recovery = self.recoveries[-1 - which % min(3, len(self.recoveries))]
        message: Message = FinishRecovery(recovery=recovery) if finish else CancelRecovery(recovery=recovery)
        role = "recovery" if finish else "security"
        wait_ms = 4 * DAY if waited else 1_000
        self.attempt(organisation, self.signer(organisation, role, number), message, wait_ms)

    def vote(self, voter: str, about: str, message: Message, number: int) -> None:
        """Vote on a member: one of the members, or all validators but the one that it is about."""
        wait_ms = 31 * DAY if number % 11 == 0 else 1_000
        for name in sorted(self.validators - {about}) if number % 2 else [voter]:
            self.attempt(name, self.signer(name, "registration", number // 2), message, wait_ms)

    @rule(voter=organisations, about=organisations, number=choice, sensible=st.booleans())
    def judge(self, voter: str, about: str, number: int, sensible: bool) -> None:
        """Vote on suspending or reinstating, mostly as the case is."""
        suspend = not self.suspended.get(about, False) if sensible else number % 3 == 0
        message: Message = (
            SuspendOrganisation(organisation=about) if suspend else ReinstateOrganisation(organisation=about)
        )
        self.vote(voter, about, message, number)

    @rule(organisation=organisations, number=choice, again=st.booleans(), lent=st.booleans())
    def announce(self, organisation: str, number: int, again: bool, lent: bool) -> None:
        """Announce an engine: with its old key, one of anybody's, or a new one."""
        owner = EVERYBODY[number % len(EVERYBODY)] if lent else organisation
        purpose = f"consensus-{number % 3}" if again else f"consensus-fresh-{self.fresh + number}"
        message = self.zone.engine(organisation, purpose, address=f"{number % 7}.example:26656")
        if lent:
            message = structs.replace(message, consensus=self.zone.engine(owner, purpose).consensus)
        self.attempt(organisation, self.signer(organisation, "system", number), message)

    @rule(voter=organisations, about=organisations, number=choice, sensible=st.booleans())
    def place(self, voter: str, about: str, number: int, sensible: bool) -> None:
        """Vote on a member's place among the validators, mostly as the case is."""
        promote = about not in self.validators if sensible else number % 3 == 0
        message: Message = PromoteValidator(organisation=about) if promote else DemoteValidator(organisation=about)
        self.vote(voter, about, message, number)

    @rule(number=choice, together=st.booleans())
    def agree(self, number: int, together: bool) -> None:
        """Agree to order together: one of the members, or all validators, with engines where they have none."""
        for organisation in sorted(self.validators) if together else [EVERYBODY[number % len(EVERYBODY)]]:
            if together and organisation not in self.engines:
                message = self.zone.engine(organisation, f"consensus-fresh-{self.fresh + number}")
                self.attempt(organisation, self.signer(organisation, "system", number), message)
            self.attempt(organisation, self.signer(organisation, "registration", number), HandOver())

    @rule(organisation=organisations, number=choice, rename=st.booleans())
    def describe(self, organisation: str, number: int, rename: bool) -> None:
        """Change the name or the address."""
        role = "registration" if rename else "system"
        message: Message = (
            RenameOrganisation(name=f"Name {number}")
            if rename
            else SetAddress(address=f"{number}.example:{1 + number}")
        )
        self.attempt(organisation, self.signer(organisation, role, number), message)

    @invariant()
    def holds_together(self) -> None:
        """All invariants hold, nobody is without a security key, and the state agrees with the model."""
        assert self.zone.broken() == []
        for organisation in self.suspended:
            held = [roles for owner, roles in self.rights.values() if owner == organisation]
            assert any("security" in roles for roles in held)
            assert 1 == sum("system" in roles for roles in held)
        state = self.zone.state
        for key in self.keys:
            found = self.zone.rulebook.authority.find_rights(state, key)
            assert self.rights.get(key) == (None if found is None else (found.organisation, found.roles))
        assert sorted(self.suspended) == [key for key, _ in state.scan(ORGANISATIONS)]

    @invariant()
    def seats_agree(self) -> None:
        """Who votes and orders, and with which keys and from which block on, is what the events said."""
        state = self.zone.state
        zone = get_zone(state)
        assert (self.orderer, tuple(sorted(self.validators))) == (zone.orderer, zone.validators)
        for organisation in EVERYBODY:
            engine = find_engine(state, organisation)
            assert self.engines.get(organisation) == (None if engine is None else engine.consensus)
        assert self.seated == {
            height: {seat.organisation: seat.consensus for seat in seating.seats} for height, seating in seatings(state)
        }


TestMembers = Members.TestCase
TestMembers.settings = settings(max_examples=25, stateful_step_count=40)
