"""Checkpoints and cosignatures: C2SP signed-note v1, tlog-checkpoint v1 and tlog-cosignature v1.

The note of a checkpoint is three lines (chain id, size, base64 root) and no extension lines; then an empty line; then
signature lines. The key of organisation `o` in chain `c` is named `o.c`: signature type 0x01 (plain Ed25519) says
"my copy of the history is this", type 0x04 (timestamped cosignature) says "I checked that it continues all that I saw".

Parsing takes exactly one byte sequence for each note: standard base64 with padding, no leading zeroes, no control
characters, at most `MAX_SIGNATURES` lines. As the specification asks, signatures by keys that the verifier does not
know are passed over, and one bad signature by a key that it knows makes the whole note bad.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from tallystick.codec import MalformedError, sha256
from tallystick.keys import ED25519, Signer
from tallystick.proofs.forms import Natural
from tallystick.proofs.hexadecimal import HASH_BYTES, KEY_BYTES, SIGNATURE_BYTES, unhex

TYPE_ED25519 = 0x01
TYPE_COSIGNATURE = 0x04
MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 1_024
MAX_SIZE = 2**53 - 1

_DASH = "— "
_NOT_IN_NAMES = re.compile(r"[+\s\x00-\x1f]")
_NOT_IN_TEXT = re.compile(r"[\x00-\x09\x0b-\x1f]")
_TYPES = (TYPE_ED25519, TYPE_COSIGNATURE)


class Cosignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member's statement that it checked a checkpoint, as receipts carry it.

    Attributes:
        organisation: who.
        signature: Ed25519 over `cosignature_message`, hex.
        time: seconds since 1970, as C2SP has it.
    """

    organisation: str
    signature: str
    time: Natural


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: key name, the four bytes of its id, and what follows them."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A signed note: its text, final newline included, and its signature lines in order."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """What a checkpoint says and who says so.

    Attributes:
        origin: chain id.
        size: leaves of the history.
        root: its root.
        signers: organisations with a good plain signature, sorted.
        cosignatures: the good cosignatures of members, sorted by organisation.
    """

    origin: str
    size: int
    root: bytes
    signers: tuple[str, ...]
    cosignatures: tuple[Cosignature, ...]


def key_name(organisation: str, chain: str) -> str:
    """Return the name of a member's key in notes."""
    return f"{organisation}.{chain}"


def key_id(name: str, kind: int, public_key: bytes) -> bytes:
    """Return the four bytes that stand for a key in a signature line."""
    return sha256(name.encode() + b"\n" + bytes((kind,)) + public_key)[:4]


def encode_vkey(name: str, kind: int, public_key: bytes) -> str:
    """Return the verifier key string that C2SP tools take: `name+id+base64(type || key)`."""
    material = base64.b64encode(bytes((kind,)) + public_key).decode()
    return f"{_check_name(name)}+{key_id(name, kind, public_key).hex()}+{material}"


def parse_vkey(text: str) -> tuple[str, int, bytes]:
    """Return name, signature type and public key of a verifier key string.

    Raises:
        MalformedError: it is not one, or its id is not that of its key.
    """
    name, plus, rest = text.partition("+")
    identifier, second, material = rest.partition("+")
    if not plus or not second:
        raise MalformedError("not a verifier key")
    raw = _from_base64(material)
    if len(raw) != 1 + KEY_BYTES or raw[0] not in _TYPES:
        raise MalformedError("not an Ed25519 verifier key")
    if key_id(_check_name(name), raw[0], raw[1:]).hex() != identifier:
        raise MalformedError("the id of a verifier key is not that of its key")
    return name, raw[0], raw[1:]


def checkpoint_body(chain: str, size: int, root: bytes) -> bytes:
    """Return the note text of a checkpoint."""
    return b"%b\n%d\n%b\n" % (chain.encode(), size, base64.b64encode(root))


def cosignature_message(body: bytes, time_s: int) -> bytes:
    """Return what a cosignature is over.

    Args:
        body: the checkpoint's note text.
        time_s: seconds since 1970.
    """
    return b"cosignature/v1\ntime %d\n%b" % (time_s, body)


def cosign(chain: str, size: int, root: bytes, *, organisation: str, signer: Signer, time_s: int) -> Cosignature:
    """Return a member's cosignature; the caller has checked that the history continues what it knew."""
    message = cosignature_message(checkpoint_body(chain, size, root), time_s)
    return Cosignature(organisation=organisation, signature=signer.sign(message).hex(), time=time_s)


def verify_cosignature(body: bytes, cosignature: Cosignature, public_key: bytes) -> bool:
    """Tell whether a key made this cosignature of a checkpoint's note text; never raises."""
    try:
        raw = unhex(cosignature.signature, SIGNATURE_BYTES)
    except MalformedError:
        return False
    return ED25519.verify(public_key, cosignature_message(body, cosignature.time), raw)


def cosignature_line(chain: str, cosignature: Cosignature, public_key: bytes) -> NoteSignature:
    """Return the signature line of a cosignature."""
    name = key_name(cosignature.organisation, chain)
    raw = cosignature.time.to_bytes(8, "big") + unhex(cosignature.signature, SIGNATURE_BYTES)
    return NoteSignature(name, key_id(name, TYPE_COSIGNATURE, public_key), raw)


def sign_checkpoint(
    chain: str,
    size: int,
    root: bytes,
    *,
    organisation: str,
    signer: Signer,
    cosignatures: Iterable[NoteSignature] = (),
) -> bytes:
    """Return a checkpoint signed by one organisation's `system` key.

    Args:
        chain: chain id, which is the origin.
        size: leaves of the history.
        root: its root.
        organisation: who signs.
        signer: its `system` key.
        cosignatures: lines to carry along, from `cosignature_line`.
    """
    body = checkpoint_body(chain, size, root)
    name = key_name(organisation, chain)
    line = NoteSignature(name, key_id(name, TYPE_ED25519, signer.public_key), signer.sign(body))
    return format_note(Note(body.decode(), (line, *cosignatures)))


def format_note(note: Note) -> bytes:
    """Return the bytes of a signed note.

    Raises:
        MalformedError: its text or a name is not allowed in one.
    """
    _check_text(note.text)
    lines = [note.text, "\n"]
    for line in note.signatures:
        material = base64.b64encode(line.key_id + line.signature).decode()
        lines.append(f"{_DASH}{_check_name(line.name)} {material}\n")
    return "".join(lines).encode()


def parse_note(data: bytes) -> Note:
    """Read a signed note; its signatures are not checked here.

    Raises:
        MalformedError: it is not one in the one form that is allowed.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise MalformedError("note is too long")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise MalformedError("note is not UTF-8") from None
    text, separator, tail = whole.rpartition("\n\n")
    text += "\n"
    _check_text(text)
    if not separator or not tail.endswith("\n"):
        raise MalformedError("note has no signatures")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError("note has too many signatures")
    return Note(text, tuple(_parse_line(line) for line in lines))


def parse_checkpoint(data: bytes) -> tuple[str, int, bytes, Note]:
    """Read a checkpoint; its signatures are not checked here.

    Returns:
        origin, size, root, and the note.

    Raises:
        MalformedError: not a note, or not a checkpoint of exactly three lines.
    """
    note = parse_note(data)
    lines = note.text.split("\n")
    if len(lines) != 4 or not lines[0]:
        raise MalformedError("a checkpoint is three lines")
    origin, size, root = lines[:3]
    if not size.isascii() or not size.isdigit() or (size[0] == "0" and size != "0") or len(size) > 16:
        raise MalformedError("not a tree size")
    raw = _from_base64(root)
    if len(raw) != HASH_BYTES or int(size) > MAX_SIZE:
        raise MalformedError("not a tree head")
    return origin, int(size), raw, note


def verify_checkpoint(data: bytes, chain: str, members: Mapping[str, bytes]) -> VerifiedCheckpoint:
    """Read a checkpoint and check every signature on it by a member's key.

    Args:
        data: the note.
        chain: chain id that it must have as origin.
        members: organisation -> `system` key, of the trust version that holds at its size.

    Raises:
        MalformedError: not a checkpoint of this chain, a bad or repeated signature by a member, or no member's at all.
    """
    origin, size, root, note = parse_checkpoint(data)
    if origin != chain:
        raise MalformedError("checkpoint of another zone")
    known: dict[tuple[str, bytes], tuple[str, int, bytes]] = {}
    for organisation in sorted(members):
        public_key = members[organisation]
        name = key_name(organisation, chain)
        for kind in _TYPES:
            known[name, key_id(name, kind, public_key)] = (organisation, kind, public_key)
    body = note.text.encode()
    signers: set[str] = set()
    cosignatures: dict[str, Cosignature] = {}
    for line in note.signatures:
        match = known.get((line.name, line.key_id))
        if match is None:
            continue
        organisation, kind, public_key = match
        if kind == TYPE_ED25519:
            if organisation in signers or not ED25519.verify(public_key, body, line.signature):
                raise MalformedError("a bad signature by a member")
            signers.add(organisation)
            continue
        cosignature = _cosignature_of(organisation, line.signature)
        if organisation in cosignatures or not verify_cosignature(body, cosignature, public_key):
            raise MalformedError("a bad cosignature by a member")
        cosignatures[organisation] = cosignature
    if not signers and not cosignatures:
        raise MalformedError("no member signed this checkpoint")
    ordered = tuple(cosignatures[organisation] for organisation in sorted(cosignatures))
    return VerifiedCheckpoint(origin, size, root, tuple(sorted(signers)), ordered)


def _cosignature_of(organisation: str, raw: bytes) -> Cosignature:
    time_s = int.from_bytes(raw[:8], "big")
    if len(raw) != 8 + SIGNATURE_BYTES or time_s > MAX_SIZE:
        raise MalformedError("a bad cosignature by a member")
    return Cosignature(organisation=organisation, signature=raw[8:].hex(), time=time_s)


def _parse_line(line: str) -> NoteSignature:
    name, space, material = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise MalformedError("not a signature line")
    raw = _from_base64(material)
    if len(raw) < 5:
        raise MalformedError("not a signature line")
    return NoteSignature(_check_name(name), raw[:4], raw[4:])


def _check_name(name: str) -> str:
    if not name or _NOT_IN_NAMES.search(name):
        raise MalformedError("not a key name")
    return name


def _check_text(text: str) -> None:
    if not text.endswith("\n") or text == "\n":
        raise MalformedError("note text does not end in a newline")
    if _NOT_IN_TEXT.search(text):
        raise MalformedError("a control character in a note")


def _from_base64(text: str) -> bytes:
    """Decode standard base64 with padding, in the one spelling that encoding gives."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise MalformedError("not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise MalformedError("not canonical base64")
    return raw
