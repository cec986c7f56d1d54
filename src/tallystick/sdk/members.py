"""The zone's organisations, one's own keys, and who may use one's node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tallystick.modules.organisations.records import ENGINES, KEYS, ORGANISATIONS, ZONE, ZONE_KEY
from tallystick.sdk.checking import check_member
from tallystick.sdk.connection import segment
from tallystick.sdk.session import Session
from tallystick.sdk.trouble import ViewError
from tallystick.views import ApiKeyView, ApplicationView, MemberView, NewApiKey, OwnKeyChange, Recorded, Vote


class Own(str):
    """The id of the organisation whose node is asked; calling it asks for a member."""

    _member: Callable[[str], MemberView]

    def __new__(cls, id: str, member: Callable[[str], MemberView]) -> Own:
        """Return the id."""
        own = super().__new__(cls, id)
        own._member = member
        return own

    def __call__(self, id: str) -> MemberView:
        """Return a member with its keys, checked against the ledger.

        Raises:
            NotFoundError: there is none of that id; proved.
            ViewError: the node says something else than the ledger.
        """
        return self._member(id)


class Members(Session):
    """What there is of organisations and keys."""

    def organisations(self) -> tuple[MemberView, ...]:
        """Return all members by id; as the node says: `organisation` has one checked."""
        found: tuple[MemberView, ...] = self._connection.get("/v1/organisations", tuple[MemberView, ...])
        return found

    @property
    def organisation(self) -> Own:
        """Whose node this is; called with an id it gives that member: `zone.organisation("harbour-bank")`."""
        return Own(self.organisation_id, self._member)

    def applications(self) -> tuple[ApplicationView, ...]:
        """Return who wants to join, oldest first, and what was voted on them; as the node says."""
        found: tuple[ApplicationView, ...] = self._connection.get("/v1/applications", tuple[ApplicationView, ...])
        return found

    def admit(self, id: str, fingerprint: str) -> Vote:
        """Vote to admit an applicant.

        Args:
            id: organisation that applied.
            fingerprint: as the applicant told it over another channel, not the one that a node shows.

        Raises:
            IntegrityError: the card that came in has another fingerprint: do not admit it.
            RejectedError: the ledger refuses the vote.
        """
        vote: Vote = self._connection.post(f"/v1/applications/{segment(id)}/admit", Vote, {"fingerprint": fingerprint})
        return vote

    def suspend(self, id: str) -> Vote:
        """Vote to suspend a member."""
        vote: Vote = self._connection.post(f"/v1/organisations/{segment(id)}/suspend", Vote)
        return vote

    def reinstate(self, id: str) -> Vote:
        """Vote to reinstate a suspended member."""
        vote: Vote = self._connection.post(f"/v1/organisations/{segment(id)}/reinstate", Vote)
        return vote

    def promote(self, id: str) -> Vote:
        """Vote to make a member a validator."""
        vote: Vote = self._connection.post(f"/v1/organisations/{segment(id)}/promote", Vote)
        return vote

    def demote(self, id: str) -> Vote:
        """Vote to take a member out of the validators; it stays a member."""
        vote: Vote = self._connection.post(f"/v1/organisations/{segment(id)}/demote", Vote)
        return vote

    def hand_over(self) -> Vote:
        """Agree that all validators order together from now on; the last of them makes it so."""
        vote: Vote = self._connection.post("/v1/zone/hand-over", Vote)
        return vote

    # --- one's own entries -------------------------------------------------------------------------------------------

    def set_address(self, address: str) -> Recorded:
        """Register where other members reach this organisation's node: `host:port`, or "" for nowhere."""
        recorded: Recorded = self._connection.post("/v1/own/address", Recorded, {"address": address})
        return recorded

    def set_engine(self, consensus: str, node: str, address: str, proof: str) -> Recorded:
        """Register which distributed engine this organisation runs.

        Args:
            consensus: Ed25519 key that it votes with, hex.
            node: its node id, hex.
            address: `host:port` where it listens to other engines.
            proof: the consensus key's signature that it is meant for this organisation and zone, hex.
        """
        form = {"consensus": consensus, "node": node, "address": address, "proof": proof}
        recorded: Recorded = self._connection.post("/v1/own/engine", Recorded, form)
        return recorded

    def rename(self, name: str) -> Recorded:
        """Register another name for this organisation."""
        recorded: Recorded = self._connection.post("/v1/own/name", Recorded, {"name": name})
        return recorded

    def add_key(self, role: str) -> OwnKeyChange:
        """Make another key of a role in the node's key store, and register it."""
        change: OwnKeyChange = self._connection.post("/v1/own/keys", OwnKeyChange, {"role": role})
        return change

    def rotate_key(self, role: str, key: str | None = None) -> OwnKeyChange:
        """Replace a key of this organisation by a fresh one.

        Args:
            role: whose key.
            key: its public key, hex, where the role has several.
        """
        change: OwnKeyChange = self._connection.post("/v1/own/keys/rotate", OwnKeyChange, {"role": role, "key": key})
        return change

    def revoke_key(self, key: str) -> OwnKeyChange:
        """Revoke a key of this organisation, given in hex: from then on nothing signed by it is accepted."""
        change: OwnKeyChange = self._connection.post("/v1/own/keys/revoke", OwnKeyChange, {"key": key})
        return change

    # --- API keys ----------------------------------------------------------------------------------------------------

    def api_keys(self) -> tuple[ApiKeyView, ...]:
        """Return all API keys of the node, without their secrets."""
        found: tuple[ApiKeyView, ...] = self._connection.get("/v1/keys", tuple[ApiKeyView, ...])
        return found

    def create_api_key(
        self, name: str, roles: Sequence[str], scopes: Sequence[str] = ("*",), expires: int | None = None
    ) -> NewApiKey:
        """Make an API key; its secret is in the answer and nowhere else.

        Args:
            name: what or whom it is for.
            roles: what it may do; every key may read.
            scopes: datasets that it is good for: names, prefixes ending in `*`, or `*` for everything.
            expires: when it ends, ms; by default in 90 days.
        """
        form = {"name": name, "roles": list(roles), "scopes": list(scopes), "expires": expires}
        made: NewApiKey = self._connection.post("/v1/keys", NewApiKey, form)
        return made

    def revoke_api_key(self, id: str) -> ApiKeyView:
        """Revoke an API key: it is refused from this moment."""
        revoked: ApiKeyView = self._connection.delete(f"/v1/keys/{segment(id)}", ApiKeyView)
        return revoked

    def _member(self, id: str) -> MemberView:
        """Return a member with its keys, checked; see `Own`."""
        path = f"/v1/organisations/{segment(id)}"

        def ask() -> MemberView:
            view: MemberView = self._connection.get(path, MemberView)
            return view

        def check(view: MemberView) -> None:
            member, _ = self._find(ORGANISATIONS, id)
            if member is None or view.id != id:
                raise ViewError("changed_view", f"the ledger has no organisation {id} as the node shows it", "id")
            keys = {key: self._get(KEYS, key) for key in member.keys}
            engine, _ = self._find(ENGINES, id)
            check_member(view, member, keys, engine, self._get(ZONE, ZONE_KEY), self.organisation_id)

        return self._checked(ORGANISATIONS, id, ask, check)
