"""Party-only values: committed to on the ledger, given to the other party alone, and held against the commitment.

Rules:

- Before an operation is submitted, its values and salt are here on disk: what is committed to is never lost by a crash.
- A note is sealed to the recipient's registered encryption key and pushed; where the other side cannot be reached it
  waits until that organisation asks. It is given to nobody before its commitment is on the ledger.
- A note counts if its values give a commitment that its sender made in that record, towards this organisation. Values
  that do not give the commitment are refused by name and shown as refused; a good note that comes later takes their place.
- A note may come before this copy has what commits to it: it waits here for a day of the ledger's time, unseen.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from functools import partial

import msgspec

from tallystick.codec import MalformedError
from tallystick.errors import AccessError, NodeError, UsageError
from tallystick.merkle.commitments import SALT_BYTES, commit_fields, verify_fields
from tallystick.modules.organisations.queries import find_organisation
from tallystick.office.commitments import Commitment, commitments_in, commitments_of
from tallystick.office.database import NoteRow, OfficeDatabase
from tallystick.office.envelopes import (
    MAX_FIELDS,
    MAX_VALUE_CHARACTERS,
    Note,
    decode_note,
    note_id,
    open_note,
    refused,
    seal_note,
)
from tallystick.office.keyring import OwnKeys
from tallystick.office.ports import Peers
from tallystick.office.recording import Recorder
from tallystick.office.refusals import NoteMismatchError
from tallystick.views import PrivateValues

MAX_EARLY = 500
"""Notes of one sender about records that this copy does not have yet."""
_FORGET_DRAFTS_MS = 3_600_000
_FORGET_EARLY_MS = 86_400_000


class Notes:
    """Notes going out and coming in."""

    def __init__(self, recorder: Recorder, database: OfficeDatabase, keys: OwnKeys, peers: Peers) -> None:
        self._recorder = recorder
        self._database = database
        self._keys = keys
        self._peers = peers
        self._me = recorder.organisation
        self._chain = recorder.ledger.store.chain
        self._pushes: set[asyncio.Task[bool]] = set()

    # --- going out ---------------------------------------------------------------------------------------------------

    def commit(self, fields: Mapping[str, str], recipient: str) -> str:
        """Keep values on disk and return the commitment to them, for the operation that is submitted next.

        Args:
            fields: name -> text; at least one.
            recipient: the other party.

        Raises:
            UsageError: a value is empty of sense, too long, or not text.
        """
        if not 0 < len(fields) <= MAX_FIELDS or any(len(text) > MAX_VALUE_CHARACTERS for text in fields.values()):
            raise UsageError(
                f"what is said to the other party has at most {MAX_VALUE_CHARACTERS} characters",
                remedy="Shorten it, or send a document as a dataset.",
            )
        salt = secrets.token_bytes(SALT_BYTES)
        try:
            commitment = commit_fields(salt, fields)
        except MalformedError as error:
            raise UsageError(f"what is said is not text: {error.reason}", remedy="Use plain Unicode text.") from None
        self._database.put(
            NoteRow(
                direction="out",
                commitment=commitment,
                author=self._me,
                recipient=recipient,
                salt=salt,
                fields=dict(fields),
                state="draft",
                created=self._recorder.now(),
            )
        )
        return commitment

    def drop(self, commitment: str) -> None:
        """Forget values whose operation was rejected, and so is not on the ledger."""
        self._database.remove(NoteRow, direction="out", commitment=commitment, author=self._me)

    def send(self, commitment: str, subject: str) -> None:
        """Seal the values behind a recorded commitment and push them in the background."""
        row = self._database.find(NoteRow, direction="out", commitment=commitment, author=self._me)
        if row is None or row.state == "delivered":
            return
        if row.state == "draft":
            row = msgspec.structs.replace(row, subject=subject, state="kept", sealed=self._sealed(row, subject))
            self._database.put(row)
        task = asyncio.get_running_loop().create_task(self._push(row))
        self._pushes.add(task)
        task.add_done_callback(self._pushes.discard)

    def resume(self) -> None:
        """Take up what a crash or an outage left: send what is recorded, forget drafts that never were."""
        drafts = {row.commitment: row for row in self._database.rows(NoteRow, direction="out", state="draft")}
        if drafts:
            for subject, each in commitments_of(self._recorder.state(), self._me):
                if drafts.pop(each.value, None) is not None:
                    self.send(each.value, subject)
        # A transaction lives for minutes: a draft that is not recorded after an hour of the ledger's time never will be.
        block_time = self._recorder.ledger.head()[3]
        for row in drafts.values():
            if row.created + _FORGET_DRAFTS_MS < block_time:
                self.drop(row.commitment)
        for row in self._database.rows(NoteRow, direction="in", state="early"):
            if row.created + _FORGET_EARLY_MS < block_time:
                self._database.remove(NoteRow, direction="in", commitment=row.commitment, author=row.author)
        self.push_waiting()

    def push_waiting(self) -> None:
        """Push again what waits; called by the node now and then."""
        for row in self._database.rows(NoteRow, direction="out", state="kept"):
            self.send(row.commitment, row.subject)

    async def settle(self) -> None:
        """Wait until no push is under way."""
        while self._pushes:
            await asyncio.gather(*self._pushes, return_exceptions=True)

    async def close(self) -> None:
        """Stop pushing; what was not taken waits on disk."""
        for task in self._pushes:
            task.cancel()
        await self.settle()

    def waiting_for(self, organisation: str) -> list[bytes]:
        """Return the notes that an organisation has not taken yet; only what is on the ledger."""
        return [
            row.sealed
            for row in self._database.rows(NoteRow, direction="out", state="kept", recipient=organisation, limit=200)
        ]

    def acknowledge(self, organisation: str, note: str) -> bool:
        """Take note that an organisation has a note.

        Args:
            organisation: who says so.
            note: its id; see `note_id`.

        Returns:
            whether it was waiting for that organisation.
        """
        for row in self._database.rows(NoteRow, direction="out", state="kept", recipient=organisation):
            if note_id(row.sealed) == note:
                self._delivered(row)
                return True
        return False

    async def _push(self, row: NoteRow) -> bool:
        """Push one note; whatever goes wrong, it stays."""
        try:
            taken = await self._peers.send_note(row.recipient, row.sealed)
        except NodeError:
            return False
        if taken:
            self._delivered(row)
        return taken

    def _delivered(self, row: NoteRow) -> None:
        self._database.put(msgspec.structs.replace(row, state="delivered"))

    def _sealed(self, row: NoteRow, subject: str) -> bytes:
        recipient = find_organisation(self._recorder.state(), row.recipient)
        assert recipient is not None  # noqa: S101 - a party to a recorded operation is a member
        return seal_note(
            chain=self._chain,
            sender=self._me,
            recipient=row.recipient,
            key=recipient.encryption,
            subject=subject,
            commitment=row.commitment,
            salt=row.salt,
            fields=row.fields,
        )

    # --- coming in ---------------------------------------------------------------------------------------------------

    def receive(self, sender: str, note: bytes) -> str:
        """Take a note from another organisation's node.

        Args:
            sender: whose node brought it, by its TLS key.
            note: what it brought.

        Returns:
            its id, to be acknowledged by.

        Raises:
            NoteRefusedError: it is not for this node, not from its sender, or cannot be read.
            NoteMismatchError: its values are not what its sender committed to.
            AccessError: too many notes of that sender wait for their records.
        """
        envelope = decode_note(note)
        if (envelope.chain, envelope.recipient, envelope.sender) != (self._chain, self._me, sender):
            raise refused("it is of another zone, for another organisation, or not from whose node brought it")
        known = self._incoming(envelope.commitment, sender)
        if known is not None and known.state in ("verified", "early"):
            return note_id(note)
        salt, fields = open_note(envelope, self._keys.encryption_secret(envelope.key))
        made = commitments_in(self._recorder.state(), envelope.subject) or []
        if not verify_fields(envelope.commitment, salt, fields):
            raise self._mismatch(envelope, made)
        if _is_made(made, envelope.commitment, sender, self._me):
            self._keep(envelope, "verified", salt, fields)
        elif any(each.value == envelope.commitment for each in made):
            raise self._mismatch(envelope, made)
        else:
            # This copy may be a moment behind: the step that commits to it is perhaps in the next block.
            if self._database.count(NoteRow, direction="in", author=sender, state="early") >= MAX_EARLY:
                raise AccessError(f"too many notes of {sender} wait here", remedy="Send it again in a minute.")
            self._keep(envelope, "early", salt, fields)
        return note_id(note)

    def read(self, subject: str) -> tuple[PrivateValues, ...]:
        """Return the party-only values of a record as far as this node has them, oldest first."""
        made = commitments_in(self._recorder.state(), subject) or []
        self._judge_early(subject, made)
        return tuple(self._values(subject, each) for each in made)

    def _values(self, subject: str, made: Commitment) -> PrivateValues:
        shown = partial(PrivateValues, about=made.about, author=made.author, commitment=made.value)
        if made.author == self._me:
            own = self._database.find(NoteRow, direction="out", commitment=made.value, author=self._me)
            if own is None:
                return shown(status="lost")
            return shown(status="own", fields=own.fields)
        if made.party != self._me:
            return shown(status="other")
        found = self._incoming(made.value, made.author)
        if found is not None and found.state == "verified":
            return shown(status="verified", fields=found.fields)
        for row in self._database.rows(NoteRow, direction="in", subject=subject, author=made.author, state="refused"):
            return shown(status="refused", reason=row.reason)
        return shown(status="waiting")

    def _judge_early(self, subject: str, made: list[Commitment]) -> None:
        """Let notes count that came before what commits to them; others wait, and are forgotten after a day."""
        if not made:
            return
        for row in self._database.rows(NoteRow, direction="in", subject=subject, state="early"):
            if _is_made(made, row.commitment, row.author, self._me):
                self._database.put(msgspec.structs.replace(row, state="verified"))

    def _mismatch(self, note: Note, made: list[Commitment]) -> NoteMismatchError:
        """Keep that a note was refused, where it is about a record that its sender shares with this organisation."""
        row = NoteRow(
            direction="in",
            commitment=note.commitment,
            author=note.sender,
            recipient=self._me,
            subject=note.subject,
            state="refused",
            created=self._recorder.now(),
        )
        emptied = _emptied(row, note.sender)
        if any((each.author, each.party) == (note.sender, self._me) for each in made):
            # One refusal a record and sender is enough to show, and bounds what a hostile peer can make this node keep.
            self._database.remove(NoteRow, direction="in", subject=note.subject, author=note.sender, state="refused")
            self._database.put(emptied)
        return NoteMismatchError(
            emptied.reason, remedy=f"Nothing of it was kept. Ask {note.sender}'s data officer to send it again."
        )

    def _incoming(self, commitment: str, author: str) -> NoteRow | None:
        return self._database.find(NoteRow, direction="in", commitment=commitment, author=author)

    def _keep(self, note: Note, state: str, salt: bytes, fields: dict[str, str]) -> None:
        self._database.put(
            NoteRow(
                direction="in",
                commitment=note.commitment,
                author=note.sender,
                recipient=self._me,
                subject=note.subject,
                salt=salt,
                fields=fields,
                state=state,
                created=self._recorder.now(),
            )
        )


def _is_made(made: list[Commitment], value: str, author: str, party: str) -> bool:
    return any((each.value, each.author, each.party) == (value, author, party) for each in made)


def _emptied(row: NoteRow, sender: str) -> NoteRow:
    """Return a note as refused, without its values."""
    reason = f"what {sender} sent is not what it committed to on the ledger"
    return msgspec.structs.replace(row, state="refused", salt=b"", fields={}, sealed=b"", reason=reason)
