"""What nodes say to each other: JSON in canonical form for small things, length-prefixed MessagePack for blocks.

A `Head` is what a node knows of the top of the history, and who signed it. Both sides of an exchange send theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import msgspec

from tallystick.codec import MalformedError, StrictDecoder

PREFIX = "/peer/v1"
MAX_HEAD_BYTES = 2 << 20
MAX_HEADER_SIGNATURES = 2_000
MAX_ENGINE_BYTES = 1 << 20
MAX_BLOCKS_BYTES = 8 << 20
# A block is at least handed out alone, however large; the link to the core takes no larger message either.
MAX_ONE_BLOCK_BYTES = 64 << 20
MAX_TRANSACTIONS_BYTES = 16 << 20
MAX_TRANSACTIONS = 1_000
MAX_NOTE_BYTES = 256 << 10
MAX_NOTES_BYTES = 8 << 20
MAX_FORKS_BYTES = 16 << 20
MAX_FORKS = 8
MAX_WAIT_SECONDS = 30

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Hex32 = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
Hex64 = Annotated[str, msgspec.Meta(min_length=128, max_length=128)]
Name = Annotated[str, msgspec.Meta(max_length=40)]
Note = Annotated[str, msgspec.Meta(max_length=1 << 16)]


class Witnessed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cosignature with the checkpoint that it is about.

    Attributes:
        organisation: the witness.
        root: of the history, hex.
        signature: hex.
        size: of the history.
        time: seconds since 1970, part of what is signed.
    """

    organisation: Name
    root: Hex32
    signature: Hex64
    size: Natural
    time: Natural


class Countersigned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signature under a version of the trust file."""

    organisation: Name
    signature: Hex64
    version: Natural


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a node knows of the top of the history.

    Attributes:
        height: its last block.
        size: of its history.
        root: of its history, hex.
        checkpoints: the latest notes that the orderer signed and this node found good, newest first.
        cosignatures: of those checkpoints, as far as this node has them.
        trust_signatures: under the latest versions of the trust file.
        forks: how many fork proofs it keeps.
        restored: it comes from a backup and asks how far the history had gone.
    """

    height: Natural
    size: Natural
    root: Hex32
    checkpoints: Annotated[tuple[Note, ...], msgspec.Meta(max_length=16)] = ()
    cosignatures: Annotated[tuple[Witnessed, ...], msgspec.Meta(max_length=4_000)] = ()
    trust_signatures: Annotated[tuple[Countersigned, ...], msgspec.Meta(max_length=4_000)] = ()
    forks: Natural = 0
    restored: bool = False


class TrustSignatures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signatures under versions of the trust file."""

    trust_signatures: Annotated[tuple[Countersigned, ...], msgspec.Meta(max_length=4_000)]


class HeaderSigned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signature of the header of a height, by one that orders; hex."""

    height: Natural
    organisation: Name
    signature: Hex64


class HeaderSigneds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signatures of headers."""

    signatures: Annotated[tuple[HeaderSigned, ...], msgspec.Meta(max_length=MAX_HEADER_SIGNATURES)]


class EngineSpan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first and the last block of its own that a validator's engine has."""

    first: Natural
    last: Natural


class EngineHeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An engine is to begin behind a block: of it, and the two after it, the light client's answers are asked for."""

    height: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 4)]


class EngineTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a validator's engine answers to a light client, as it is: JSON of the engine's own.

    Attributes:
        commits: the signed headers of three heights.
        parameters: of the second of them.
        validators: of the three.
    """

    commits: Annotated[tuple[str, ...], msgspec.Meta(max_length=3)]
    parameters: str
    validators: Annotated[tuple[str, ...], msgspec.Meta(max_length=3)]


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consumer asks to open a delivery."""

    agreement: Annotated[str, msgspec.Meta(min_length=1, max_length=120)]


class OpenAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A delivery was opened; `package` is hex."""

    delivery: Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
    package: Annotated[str, msgspec.Meta(max_length=65_536)]


class Application(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to an application."""

    fingerprint: Hex32


class ApplicationStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an application stands: waiting, admitted or refused."""

    status: Annotated[str, msgspec.Meta(max_length=20)]


head_decoder: StrictDecoder[Head] = StrictDecoder(Head, max_bytes=MAX_HEAD_BYTES)
trust_decoder: StrictDecoder[TrustSignatures] = StrictDecoder(TrustSignatures, max_bytes=MAX_HEAD_BYTES)
signed_decoder: StrictDecoder[HeaderSigneds] = StrictDecoder(HeaderSigneds, max_bytes=MAX_HEAD_BYTES)
span_decoder: StrictDecoder[EngineSpan] = StrictDecoder(EngineSpan, max_bytes=4_096)
heights_decoder: StrictDecoder[EngineHeights] = StrictDecoder(EngineHeights, max_bytes=4_096)
told_decoder: StrictDecoder[EngineTold] = StrictDecoder(EngineTold, max_bytes=MAX_ENGINE_BYTES)
open_decoder: StrictDecoder[OpenRequest] = StrictDecoder(OpenRequest, max_bytes=4_096)
opened_decoder: StrictDecoder[OpenAnswer] = StrictDecoder(OpenAnswer, max_bytes=1 << 17)
application_decoder: StrictDecoder[Application] = StrictDecoder(Application, max_bytes=4_096)
status_decoder: StrictDecoder[ApplicationStatus] = StrictDecoder(ApplicationStatus, max_bytes=4_096)


class SignedBlock(NamedTuple):
    """A block as it travels."""

    header: bytes
    signatures: bytes
    transactions: list[bytes]


_encoder = msgspec.msgpack.Encoder()
_block_decoder = msgspec.msgpack.Decoder(tuple[bytes, bytes, list[bytes]])
_list_decoder = msgspec.msgpack.Decoder(list[bytes])


def encode_block(header: bytes, signatures: bytes, transactions: Iterable[bytes]) -> bytes:
    """Return one block with its length in front (4 bytes, big-endian)."""
    data = _encoder.encode((header, signatures, list(transactions)))
    return len(data).to_bytes(4, "big") + data


def decode_blocks(data: bytes) -> list[SignedBlock]:
    """Return the blocks in a response.

    Raises:
        MalformedError: it is not a row of blocks.
    """
    blocks = []
    view = memoryview(data)
    while view:
        size = int.from_bytes(view[:4], "big")
        if len(view) < 4 + size or not size:
            raise MalformedError("a block ends early")
        try:
            blocks.append(SignedBlock(*_block_decoder.decode(view[4 : 4 + size])))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise MalformedError("not a block") from None
        view = view[4 + size :]
    return blocks


def encode_list(items: Iterable[bytes]) -> bytes:
    """Return MessagePack of byte strings."""
    return _encoder.encode(list(items))


def decode_list(data: bytes, most: int) -> list[bytes]:
    """Return the byte strings in a MessagePack list.

    Raises:
        MalformedError: it is none, or has more than `most`.
    """
    try:
        items = _list_decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise MalformedError("not a MessagePack list of byte strings") from None
    if len(items) > most:
        raise MalformedError("too many at once")
    return items
