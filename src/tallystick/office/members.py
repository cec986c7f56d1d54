"""Members of the zone: who they are, who wants to be one, and voting on both.

Rules:

- An application is a card that anybody could have sent. It is admitted by its fingerprint, which the person who admits
  it heard from the applicant over another channel; a fingerprint that differs is refused, and nothing is signed.
- Applicants ask one member. Where several vote, the others find the card in the first vote, on the ledger.
"""

from __future__ import annotations

import hmac

from tallystick.codec import MalformedError, encode_json
from tallystick.codec.cards import SignedCard, card_fingerprint, check_signed_card, decode_signed_card
from tallystick.dataplane.refusals import PeerBusyError
from tallystick.errors import UsageError
from tallystick.keys import ED25519
from tallystick.machine import Message
from tallystick.modules.organisations.ops import (
    AdmitOrganisation,
    DemoteValidator,
    HandOver,
    PromoteValidator,
    ReinstateOrganisation,
    SuspendOrganisation,
)
from tallystick.modules.organisations.queries import find_engine, find_organisation, get_zone, keys_of, ordering
from tallystick.modules.organisations.records import CANDIDATES, ORGANISATIONS, Engine, Organisation
from tallystick.office.database import ApplicationRow, OfficeDatabase
from tallystick.office.keyring import OwnKeys
from tallystick.office.recording import Recorder
from tallystick.office.refusals import CardMismatchError, not_found
from tallystick.views import ApplicationView, EngineView, MemberKey, MemberView, Vote

MAX_WAITING = 100


class Members:
    """The zone's members, and those who apply."""

    def __init__(self, recorder: Recorder, database: OfficeDatabase, keys: OwnKeys) -> None:
        self._recorder = recorder
        self._database = database
        self._keys = keys
        self._me = recorder.organisation

    def list(self) -> tuple[MemberView, ...]:
        """Return all members by id, suspended ones too."""
        return tuple(self._view(record) for _, record in self._recorder.state().scan(ORGANISATIONS))

    def show(self, identifier: str) -> MemberView:
        """Return a member.

        Raises:
            NotFoundError: there is none of that id.
        """
        found = find_organisation(self._recorder.state(), identifier)
        if found is None:
            raise not_found("organisation", identifier, "tally organisation list")
        return self._view(found)

    # --- applications ------------------------------------------------------------------------------------------------

    def receive_application(self, card: bytes | SignedCard) -> str:
        """Take a card from somebody who wants to be a member; called by the node's peer server.

        Args:
            card: the signed card, or its canonical bytes.

        Returns:
            its fingerprint, hex.

        Raises:
            UsageError: it is not a good card, or its id is taken.
            PeerBusyError: too many applications wait.
        """
        try:
            signed = decode_signed_card(card, _verify) if isinstance(card, bytes) else check_signed_card(card, _verify)
        except MalformedError as error:
            raise UsageError(
                f"this is not a good card: {error.reason}", remedy="Make it with `tally node join`."
            ) from None
        fingerprint = card_fingerprint(signed.card)
        if self._database.find(ApplicationRow, fingerprint=fingerprint) is not None:
            return fingerprint
        organisation = signed.card.organisation
        if find_organisation(self._recorder.state(), organisation) is not None:
            raise UsageError(f"{organisation} is a member already", remedy="Choose another id.")
        if self._waiting_count() >= MAX_WAITING:
            raise PeerBusyError("too many applications wait here", remedy="Try again when some have been decided.")
        self._keep(signed, fingerprint)
        return fingerprint

    def application_status(self, fingerprint: str) -> str:
        """Return what became of an application: `waiting`, `admitted` or `refused`.

        Raises:
            NotFoundError: there is none.
        """
        row = self._database.find(ApplicationRow, fingerprint=fingerprint)
        if row is None:
            raise not_found("application", fingerprint, "tally organisation list")
        return self._application(row).status

    def applications(self, *, decided: bool = False) -> tuple[ApplicationView, ...]:
        """Return the applications that wait, or all of them, oldest first."""
        self._take_up_voted()
        views = [self._application(row) for row in self._database.rows(ApplicationRow)]
        return tuple(view for view in views if decided or view.status == "waiting")

    async def admit(self, identifier: str, fingerprint: str, *, card: SignedCard | None = None) -> Vote:
        """Vote for an applicant.

        Args:
            identifier: the organisation id that it asks for.
            fingerprint: of its card, as the applicant told it over another channel; hex, spaces and case do not matter.
            card: its card, where it was handed over by other means than an application to this node.

        Raises:
            CardMismatchError: that is not the fingerprint of any card here for that id.
            RejectedError: the ledger refuses the vote.
            NotFoundError: nobody applied for that id.
        """
        self._take_up_voted()
        typed = "".join(letter for letter in fingerprint.lower() if letter not in " :-\t\n")
        rows = self._database.rows(ApplicationRow, organisation=identifier)
        cards = [_stored_card(row.card) for row in rows]
        if card is not None:
            cards.append(card)
        if not cards:
            raise not_found("application of", identifier, "tally organisation list")
        shown = {card_fingerprint(each.card): each for each in cards if each.card.organisation == identifier}
        chosen = next((each for own, each in shown.items() if hmac.compare_digest(own.encode(), typed.encode())), None)
        if chosen is None:
            raise CardMismatchError(
                f"the card of {identifier} has another fingerprint: {', '.join(shown) or 'none is here'}",
                remedy="Do not admit it. Compare the fingerprint with the applicant by telephone or in person.",
            )
        vote = await self._vote(identifier, AdmitOrganisation(card=chosen), "admission_voted", "organisation_admitted")
        return vote

    def refuse_application(self, fingerprint: str) -> ApplicationView:
        """Say no to an application; only this node's answer to the applicant, nothing goes to the ledger.

        Raises:
            NotFoundError: there is none.
        """
        row = self._database.find(ApplicationRow, fingerprint=fingerprint)
        if row is None:
            raise not_found("application", fingerprint, "tally organisation list")
        refused = ApplicationRow(
            fingerprint=row.fingerprint,
            organisation=row.organisation,
            card=row.card,
            received=row.received,
            state="refused",
        )
        self._database.put(refused)
        return self._application(refused)

    # --- votes on members --------------------------------------------------------------------------------------------

    async def suspend(self, identifier: str) -> Vote:
        """Vote for suspending a member.

        Raises:
            RejectedError: the ledger refuses the vote.
        """
        message = SuspendOrganisation(organisation=identifier)
        return await self._vote(identifier, message, "suspension_voted", "organisation_suspended")

    async def reinstate(self, identifier: str) -> Vote:
        """Vote for reinstating a suspended member.

        Raises:
            RejectedError: the ledger refuses the vote.
        """
        message = ReinstateOrganisation(organisation=identifier)
        return await self._vote(identifier, message, "reinstatement_voted", "organisation_reinstated")

    async def promote(self, identifier: str) -> Vote:
        """Vote for making a member a validator.

        Raises:
            RejectedError: the ledger refuses the vote.
        """
        message = PromoteValidator(organisation=identifier)
        return await self._vote(identifier, message, "promotion_voted", "validator_promoted")

    async def demote(self, identifier: str) -> Vote:
        """Vote for taking a member out of the validators.

        Raises:
            RejectedError: the ledger refuses the vote.
        """
        message = DemoteValidator(organisation=identifier)
        return await self._vote(identifier, message, "demotion_voted", "validator_demoted")

    async def hand_over(self) -> Vote:
        """Agree that all validators order together from now on; the last of them makes it so.

        Raises:
            RejectedError: the ledger refuses it.
        """
        return await self._vote(self._me, HandOver(), "handover_agreed", "handed_over")

    async def _vote(self, identifier: str, message: Message, voted: str, carried: str) -> Vote:
        done = await self._recorder.record(message, role="registration")
        event = done.event(voted) or {}
        return Vote(
            organisation=identifier,
            votes=int(event.get("votes", 0)),
            validators=int(event.get("validators", 0)),
            carried=done.event(carried) is not None,
            recorded=done.recorded,
        )

    def _take_up_voted(self) -> None:
        """Keep the cards on which others have voted, and which nobody handed in here."""
        open_rounds = {
            fingerprint
            for fingerprint, candidate in self._recorder.state().scan(CANDIDATES)
            if candidate.status == "open" and self._database.find(ApplicationRow, fingerprint=fingerprint) is None
        }
        for leaf in self._recorder.ledger.leaves_of("admit_organisation") if open_rounds else ():
            signed = _stored_card(encode_json(self._recorder.ledger.asked_at(leaf)["card"]))
            fingerprint = card_fingerprint(signed.card)
            if fingerprint in open_rounds:
                open_rounds.discard(fingerprint)
                self._keep(signed, fingerprint)

    def _keep(self, signed: SignedCard, fingerprint: str) -> None:
        self._database.put(
            ApplicationRow(
                fingerprint=fingerprint,
                organisation=signed.card.organisation,
                card=encode_json(signed),
                received=self._recorder.now(),
                state="waiting",
            )
        )

    def _waiting_count(self) -> int:
        return sum(1 for row in self._database.rows(ApplicationRow) if self._application(row).status == "waiting")

    def _application(self, row: ApplicationRow) -> ApplicationView:
        candidate = self._recorder.state().find(CANDIDATES, row.fingerprint)
        admitted = candidate is not None and candidate.status == "admitted"
        # An id that somebody else has taken in the meantime cannot be given to this card any more.
        taken = not admitted and find_organisation(self._recorder.state(), row.organisation) is not None
        card = _stored_card(row.card).card
        return ApplicationView(
            fingerprint=row.fingerprint,
            organisation=row.organisation,
            name=card.name,
            address=card.address,
            received_at=row.received,
            status="admitted" if admitted else "refused" if taken or row.state == "refused" else "waiting",
            votes=() if candidate is None else candidate.votes,
        )

    def _view(self, record: Organisation) -> MemberView:
        state = self._recorder.state()
        zone = get_zone(state)
        mine = record.organisation == self._me
        held = {info.public for info in self._keys.source.list()} if mine else set()
        return MemberView(
            id=record.organisation,
            name=record.name,
            status=record.status,
            address=record.address,
            orders=record.organisation in ordering(zone),
            validates=record.organisation in zone.validators,
            encryption=record.encryption,
            tls_pins=record.tls_pins,
            admitted_at=record.admitted_at,
            suspended_at=record.suspended_at,
            keys=tuple(
                MemberKey(key=key, roles=each.roles, added_at=each.added_at, held_here=key in held)
                for key, each in keys_of(state, record.organisation)
            ),
            mine=mine,
            engine=_engine(find_engine(state, record.organisation)),
        )


def _engine(engine: Engine | None) -> EngineView | None:
    if engine is None:
        return None
    return EngineView(
        consensus=engine.consensus, node=engine.node, address=engine.address, announced_at=engine.announced_at
    )


def _verify(key: bytes, message: bytes, signature: bytes) -> bool:
    return ED25519.verify(key, message, signature)


def _stored_card(data: bytes) -> SignedCard:
    """Return the card of bytes that were checked when they were kept."""
    return decode_signed_card(data, _verify)
