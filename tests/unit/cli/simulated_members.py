"""The half of the simulated zone that is about its history, its members and their keys."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Self

from msgspec.structs import replace

from tallystick import views
from tallystick.errors import AccessError, UsageError

NOW = 1_714_521_600_000
"""2024-05-01T00:00:00Z"""
HOSPITAL, UNIVERSITY = "city-hospital", "river-university"
HASH = "ab" * 32


class Own(str):
    """The id of the own organisation, which asked about another answers with its entry."""

    zone: SimulatedMembers

    def __call__(self, id: str) -> views.MemberView:
        found = next((each for each in self.zone.organisations() if each.id == id), None)
        if found is None:
            raise UsageError(f"there is no organisation {id}", remedy="List them with `tally organisation list`.")
        return found


class SimulatedMembers:
    """History, members and keys, as the node of one organisation shows them."""

    chain = "test-zone-0000abcd"
    trust = SimpleNamespace(fingerprint=HASH)

    def __init__(self, me: str = HOSPITAL) -> None:
        self.organisation = Own(me)
        self.organisation.zone = self
        self.closed = False
        self.history: list[views.OperationView] = []
        self.happened: list[views.EventView] = []
        self.users: list[views.ApiKeyView] = []
        self.members = {each: self._member(each) for each in (HOSPITAL, UNIVERSITY)}
        self.waiting: list[views.ApplicationView] = []
        self.alarm: str | None = None
        self.lag = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True

    # --- the ledger --------------------------------------------------------------------------------------------------

    def _record(self, type: str, event: str, outcome: int = 0, **about: Any) -> views.Recorded:
        leaf = len(self.history)
        transaction = f"{leaf + 1:064x}"
        self.history.append(
            views.OperationView(
                leaf=leaf,
                height=leaf + 1,
                time=NOW + leaf * 1_000,
                organisation=str(self.organisation),
                type=type,
                outcome=outcome,
                transaction=transaction,
                index=0,
                operation={"type": type, **about},
            )
        )
        if not outcome:
            sequence = len(self.happened) + 1
            self.happened.append(views.EventView(sequence=sequence, leaf=leaf, event={"type": event, **about}))
        return views.Recorded(transaction=transaction, index=0, height=leaf + 1, leaf=leaf)

    def operations(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        type: str | None = None,
        organisation: str | None = None,
    ) -> tuple[views.OperationView, ...]:
        found = [
            replace(each, operation=None)
            for each in reversed(self.history)
            if (before is None or each.leaf < before)
            and type in (None, each.type)
            and organisation in (None, each.organisation)
        ]
        return tuple(found[:limit])

    def operation(self, transaction: str, index: int = 0) -> views.OperationView:
        for each in self.history:
            if (each.transaction, each.index) == (transaction, index):
                return each
        raise UsageError("the history has no such operation", remedy="See its newest: tally ledger log")

    def events(
        self, after: int = 0, *, from_height: int | None = None, follow: bool = False
    ) -> Iterator[views.EventView]:
        yield from self.happened[after:]
        if follow:
            raise KeyboardInterrupt

    def receipt(self, transaction: str, index: int = 0, *, wait_s: float = 30.0) -> Any:
        operation = self.operation(transaction, index)
        data = b'{"of":"' + operation.type.encode() + b'"}'
        verified = SimpleNamespace(
            summary="ordered by 1, witnessed by 3 of 4",
            explain=lambda: [f"{operation.organisation} asked for {operation.type}.", "Recorded.", "more", "more"],
            to_json=lambda: {"transaction": transaction, "index": index, "accepted": operation.outcome == 0},
        )
        return SimpleNamespace(data=data, verified=verified, save=lambda path: path.write_bytes(data))

    # --- the zone ----------------------------------------------------------------------------------------------------

    def _member(self, id: str) -> views.MemberView:
        own = id == self.organisation
        keys = tuple(
            views.MemberKey(key=f"{at:02x}" * 32, roles=(role,), added_at=NOW, held_here=own)
            for at, role in enumerate(("observer", "security", "service"), start=0xA0)
        )
        return views.MemberView(
            id=id,
            name=id.replace("-", " ").title(),
            status="active",
            address="127.0.0.1:7071",
            orders=id == HOSPITAL,
            validates=id == HOSPITAL,
            encryption=HASH,
            tls_pins=(HASH,),
            admitted_at=NOW,
            suspended_at=None,
            keys=keys,
            mine=own,
        )

    def status(self) -> views.Status:
        return views.Status(
            organisation=str(self.organisation),
            role="orderer",
            height=len(self.history),
            time=NOW,
            size=len(self.history),
            root=HASH,
            witnessed=len(self.history),
            trust_version=1,
            alarm=self.alarm,
            chain=self.chain,
            copy_height=len(self.history),
            lag=self.lag,
            version="0.0",
            key="abcd2345",
            roles=("service",),
        )

    def standing(self) -> views.Standing:
        node = views.HeardNode(organisation=UNIVERSITY, height=3, size=3, witnessed=2)
        return views.Standing(
            port=7071, following="", trouble="", application="", needed=1, nodes=(node,), certificate_expires=NOW
        )

    def organisations(self) -> tuple[views.MemberView, ...]:
        return tuple(self.members.values())

    def applications(self) -> tuple[views.ApplicationView, ...]:
        return tuple(self.waiting)

    def admit(self, id: str, fingerprint: str) -> views.Vote:
        typed = fingerprint.replace(" ", "").lower()
        if not any((each.organisation, each.fingerprint) == (id, typed) for each in self.waiting):
            raise AccessError("the card has another fingerprint", remedy="Do not admit it.")
        return self._vote(id, "admit_organisation", "organisation_admitted")

    def suspend(self, id: str) -> views.Vote:
        return self._vote(id, "suspend_organisation", "organisation_suspended")

    def reinstate(self, id: str) -> views.Vote:
        return self._vote(id, "reinstate_organisation", "organisation_reinstated")

    def promote(self, id: str) -> views.Vote:
        vote = self._vote(id, "promote_validator", "validator_promoted")
        self.members[id] = replace(self.members[id], validates=True)
        return vote

    def demote(self, id: str) -> views.Vote:
        vote = self._vote(id, "demote_validator", "validator_demoted")
        self.members[id] = replace(self.members[id], validates=False)
        return vote

    def hand_over(self) -> views.Vote:
        agreed = sum(each.type == "hand_over" for each in self.history) + 1
        voters = sum(each.validates for each in self.members.values())
        recorded = self._record("hand_over", "handover_agreed")
        return views.Vote(
            organisation=str(self.organisation),
            votes=agreed,
            validators=voters,
            carried=agreed == voters,
            recorded=recorded,
        )

    def set_engine(self, consensus: str, node: str, address: str, proof: str) -> views.Recorded:
        me = str(self.organisation)
        engine = views.EngineView(consensus=consensus, node=node, address=address, announced_at=NOW)
        self.members[me] = replace(self.members[me], engine=engine)
        return self._record("set_engine", "engine_set", organisation=me, proof=proof)

    def _vote(self, id: str, type: str, event: str) -> views.Vote:
        recorded = self._record(type, event, organisation=id)
        return views.Vote(organisation=id, votes=1, validators=1, carried=True, recorded=recorded)

    def set_address(self, address: str) -> views.Recorded:
        return self._record("set_address", "address_set", organisation=str(self.organisation))

    def rename(self, name: str) -> views.Recorded:
        return self._record("rename_organisation", "organisation_renamed", organisation=str(self.organisation))

    # --- keys --------------------------------------------------------------------------------------------------------

    def add_key(self, role: str) -> views.OwnKeyChange:
        return views.OwnKeyChange(role=role, key="cd" * 32, recorded=self._record("add_key", "key_added"))

    def rotate_key(self, role: str, key: str | None = None) -> views.OwnKeyChange:
        recorded = self._record("rotate_key", "key_rotated")
        return views.OwnKeyChange(role=role, key="cd" * 32, replaces=key or HASH, recorded=recorded)

    def revoke_key(self, key: str) -> views.OwnKeyChange:
        return views.OwnKeyChange(role="service", key=key, recorded=self._record("revoke_key", "key_revoked"))

    def api_keys(self) -> tuple[views.ApiKeyView, ...]:
        return tuple(self.users)

    def create_api_key(
        self, name: str, roles: Any, scopes: Any = ("*",), expires: int | None = None
    ) -> views.NewApiKey:
        if not set(roles) <= {"observer", "registration", "security", "service", "system"}:
            raise UsageError("an API key has one role or more", remedy="Choose from the five.")
        made = views.ApiKeyView(
            id=f"key0000{len(self.users)}",
            name=name,
            roles=tuple(roles),
            scopes=tuple(scopes),
            created_at=NOW,
            expires_at=expires or NOW,
            status="active",
        )
        self.users.append(made)
        return views.NewApiKey(key=made, secret=f"tally_{made.id}_secret")

    def revoke_api_key(self, id: str) -> views.ApiKeyView:
        at = next(at for at, each in enumerate(self.users) if each.id == id)
        self.users[at] = replace(self.users[at], status="revoked")
        return self.users[at]
