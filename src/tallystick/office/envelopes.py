"""The form of a note: values of party-only fields on their way from who committed to them to the other party.

    note    canonical JSON {chain, commitment, key, recipient, sealed, sender, subject, v}
    sealed  HPKE to the recipient's registered X25519 key `key`, info = binding(purpose, chain, sender, recipient,
            subject, commitment), of canonical JSON {fields, salt, v}

`sender` is what the note claims; it counts only because it must be the peer that the note came from, and the author of
the commitment on the ledger. What opens is still only a claim until the values give the commitment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, check_hash, encode_json, sha256
from tallystick.dataplane.refusals import PackageError
from tallystick.dataplane.sealing import OVERHEAD_BYTES, binding, open_sealed, seal
from tallystick.office.refusals import NoteRefusedError

MAX_FIELDS = 16
MAX_VALUE_CHARACTERS = 8_000
MAX_CONTENT_BYTES = 64 << 10
MAX_NOTE_BYTES = 2 * (MAX_CONTENT_BYTES + OVERHEAD_BYTES) + 2_048
_PURPOSE = b"tallystick/note-v1"

Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]


class Note(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A note as it travels."""

    chain: Identifier
    commitment: Hash
    key: Hash
    recipient: Identifier
    sealed: str
    sender: Identifier
    subject: Identifier
    v: Literal[1]


class NoteContent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is sealed: all fields behind the commitment, and its salt."""

    fields: dict[str, str]
    salt: Hash
    v: Literal[1]


_notes: StrictDecoder[Note] = StrictDecoder(Note, max_bytes=MAX_NOTE_BYTES)
_contents: StrictDecoder[NoteContent] = StrictDecoder(NoteContent, max_bytes=MAX_CONTENT_BYTES)


def note_id(note: bytes) -> str:
    """Return the id that a note is acknowledged by: SHA-256 of it, hex."""
    return sha256(note).hex()


def seal_note(
    *,
    chain: str,
    sender: str,
    recipient: str,
    key: str,
    subject: str,
    commitment: str,
    salt: bytes,
    fields: Mapping[str, str],
) -> bytes:
    """Return a note, sealed.

    Raises:
        PackageError: the recipient's key is none.
    """
    content = encode_json(NoteContent(fields=dict(fields), salt=salt.hex(), v=1))
    info = _info(chain, sender, recipient, subject, commitment)
    return encode_json(
        Note(
            chain=chain,
            commitment=commitment,
            key=key,
            recipient=recipient,
            sealed=seal(bytes.fromhex(key), content, info).hex(),
            sender=sender,
            subject=subject,
            v=1,
        )
    )


def decode_note(data: bytes) -> Note:
    """Read a note's form; nothing of it is believed by that.

    Raises:
        NoteRefusedError: it is not a note.
    """
    try:
        note = _notes.decode(data)
        check_hash(note.commitment)
        check_hash(note.key)
        if bytes.fromhex(note.sealed).hex() != note.sealed:
            raise MalformedError("not lower-case hex")
    except (MalformedError, ValueError):
        raise refused("it is not of a note's form") from None
    return note


def open_note(note: Note, private_key: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the salt and the values in a note.

    Raises:
        NoteRefusedError: it does not open, or what is in it is not of its form.
    """
    info = _info(note.chain, note.sender, note.recipient, note.subject, note.commitment)
    try:
        content = _contents.decode(open_sealed(private_key, bytes.fromhex(note.sealed), info))
        check_hash(content.salt)
    except PackageError:
        raise refused("it does not open with the key that it names") from None
    except MalformedError:
        raise refused("what it holds is not of its form") from None
    return bytes.fromhex(content.salt), content.fields


def refused(reason: str) -> NoteRefusedError:
    """Return the refusal of a note."""
    return NoteRefusedError(
        f"a note is refused: {reason}", remedy="Ask its sender's operator to send it again, with a current version."
    )


def _info(chain: str, sender: str, recipient: str, subject: str, commitment: str) -> bytes:
    parts = (chain, sender, recipient, subject, commitment)
    return binding(_PURPOSE, *(part.encode() for part in parts))
