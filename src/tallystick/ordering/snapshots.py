"""Snapshots: the ledger at one height, in chunks, so that a newcomer need not execute all blocks from the first.

Format 1. A snapshot is a description (canonical JSON) and chunks. The first chunk is the beginning: the edge of the
history tree, from which its root and all later ones follow, the signatures of the block's header, the blocks before it
without their transactions, and how many transactions and events there were. The others, of about a megabyte, hold every
record, sorted by collection and key, each as three byte strings (collection, key, value) behind their lengths (4 bytes,
big-endian). The description names each chunk's SHA-256 and the zone's header of the block, which the next one names.
Accepted ids and the zone's parameters are records like others.

Rules:

- Nothing of a snapshot is believed because somebody sent it. Each chunk is compared with the description; state tree
  and app hash are computed from the records, and must be those of the header. Whether enough of those who order signed
  that header is for the caller to say.
- The counts alone follow from nothing that is signed: they number this copy's own rows, and are put right when the
  older blocks have come.
- Only then is anything written, in one SQL transaction. A crash before it leaves an empty ledger, and none after it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json, sha256
from tallystick.machine import Beginning, Head
from tallystick.machine.execution import app_hash_of
from tallystick.merkle import Edge, StateTree, TileBuilder, state_key, state_leaf
from tallystick.proofs.forms import Natural, Positive
from tallystick.proofs.headers import Header, decode_header, header_hash
from tallystick.proofs.hexadecimal import HASH_BYTES, unhex

FORMAT = 1
CHUNK_BYTES = 1 << 20
# A record may fill a chunk alone; the zone's parameters bound it far below this.
MAX_CHUNK_BYTES = 8 << 20
MAX_CHUNKS = 100_000
MAX_DESCRIPTION_BYTES = 8 << 20
MAX_HEADS = 4_096
KEPT = 2
DESCRIPTION = "snapshot.json"
_LENGTH = 4

Record = tuple[str, str, bytes]


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a snapshot holds.

    Attributes:
        chain: chain id.
        chunks: SHA-256 of each chunk, hex.
        genesis: SHA-256 of the genesis, hex.
        header: of the block it was taken after, as its canonical text.
        height: of that block.
    """

    chain: str
    chunks: tuple[str, ...]
    genesis: str
    header: str
    height: Positive


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    header: str
    history_root: str
    size: Natural
    state_root: str


class _Beginning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    before: tuple[_Head, ...]
    entries: tuple[str, ...]
    events: Natural
    levels: tuple[tuple[str, ...], ...]
    signatures: str
    size: Natural
    state_root: str
    transactions: Natural


_decoder: StrictDecoder[Description] = StrictDecoder(Description, max_bytes=MAX_DESCRIPTION_BYTES)
_beginning_decoder: StrictDecoder[_Beginning] = StrictDecoder(_Beginning, max_bytes=MAX_CHUNK_BYTES)


# --- records -----------------------------------------------------------------------------------------------------------


def encode_chunks(records: Iterable[Record], chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield records as chunks; a chunk ends with the record that fills it."""
    chunk = bytearray()
    for collection, key, value in records:
        for part in (collection.encode(), key.encode(), value):
            chunk += len(part).to_bytes(_LENGTH, "big")
            chunk += part
        if len(chunk) >= chunk_bytes:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


def decode_chunk(chunk: bytes) -> Iterator[Record]:
    """Yield the records of a chunk.

    Raises:
        MalformedError: it is not one.
    """
    offset = 0
    while offset < len(chunk):
        parts: list[bytes] = []
        for _ in range(3):
            start = offset + _LENGTH
            offset = start + int.from_bytes(chunk[offset:start], "big")
            if start > len(chunk) or offset > len(chunk):
                raise MalformedError("a record is cut short")
            parts.append(chunk[start:offset])
        try:
            parts[2].decode()
            yield parts[0].decode(), parts[1].decode(), parts[2]
        except UnicodeDecodeError:
            raise MalformedError("a record is not text") from None


def records_root(records: Iterable[Record]) -> bytes:
    """Return the root of the state tree over records.

    Raises:
        MalformedError: they are not sorted, or one is repeated.
    """

    def entries() -> Iterator[tuple[bytes, bytes]]:
        before: tuple[bytes, bytes] | None = None
        for collection, key, value in records:
            place = (collection.encode(), key.encode())
            if before is not None and place <= before:
                raise MalformedError("records are not sorted, or one is repeated")
            before = place
            hashed = state_key(collection, key)
            yield hashed, state_leaf(hashed, sha256(value))

    return StateTree.build(entries()).root


# --- description and beginning -----------------------------------------------------------------------------------------


def decode_description(data: bytes) -> Description:
    """Read a description from exactly its canonical bytes.

    Raises:
        MalformedError: anything else.
    """
    description = _decoder.decode(data)
    if not 1 <= len(description.chunks) <= MAX_CHUNKS:
        raise MalformedError("not 1 to 100,000 chunks")
    for text in (*description.chunks, description.genesis):
        unhex(text, HASH_BYTES)
    header = decode_header(description.header.encode())
    if (header.chain, header.height) != (description.chain, description.height):
        raise MalformedError("the header is of another block")
    return description


def encode_beginning(beginning: Beginning) -> bytes:
    """Return the first chunk."""
    edge = beginning.edge
    form = _Beginning(
        before=tuple(
            _Head(
                header=head.header.decode(),
                history_root=head.history_root.hex(),
                size=head.size,
                state_root=head.state_root.hex(),
            )
            for head in beginning.before[:MAX_HEADS]
        ),
        entries=tuple(entry.decode() for entry in edge.entries),
        events=beginning.events,
        levels=tuple(tuple(part.hex() for part in level) for level in edge.levels),
        signatures=beginning.signatures.decode(),
        size=edge.size,
        state_root=beginning.head.state_root.hex(),
        transactions=beginning.transactions,
    )
    return encode_json(form)


def decode_beginning(data: bytes, header: Header, text: bytes) -> Beginning:
    """Read the first chunk; the header speaks for all of it but the signatures and the counts.

    Args:
        data: the chunk.
        header: of the block.
        text: its canonical bytes.

    Raises:
        MalformedError: it is not one, or not what the header commits to.
    """
    form = _beginning_decoder.decode(data)
    levels = tuple(tuple(unhex(part, HASH_BYTES) for part in level) for level in form.levels)
    edge = Edge(form.size, tuple(entry.encode() for entry in form.entries), levels)
    try:
        history_root = TileBuilder.from_edge(edge).frontier().root()
    except ValueError as error:
        raise MalformedError(f"the edge of the history: {error}") from None
    head = Head(text, unhex(form.state_root, HASH_BYTES), history_root, form.size)
    if app_hash_of(head.state_root, head.history_root, head.size).hex() != header.app_hash:
        raise MalformedError("the edge of the history is not the one that the header commits to")
    return Beginning(
        height=header.height,
        time=header.time,
        head=head,
        signatures=form.signatures.encode(),
        edge=edge,
        transactions=form.transactions,
        events=form.events,
        before=_before(form.before, header),
    )


def _before(forms: Sequence[_Head], after: Header) -> tuple[Head, ...]:
    """Return the blocks before one, each the one that the next names."""
    heads = []
    if len(forms) > MAX_HEADS:
        raise MalformedError("too many blocks")
    for form in forms:
        header = decode_header(form.header.encode())
        if header_hash(header).hex() != after.previous or header.height != after.height - 1:
            raise MalformedError("a block is not the one before the next")
        head = Head(
            form.header.encode(),
            unhex(form.state_root, HASH_BYTES),
            unhex(form.history_root, HASH_BYTES),
            form.size,
        )
        if app_hash_of(head.state_root, head.history_root, head.size).hex() != header.app_hash:
            raise MalformedError("the roots of a block are not those that its header commits to")
        heads.append(head)
        after = header
    return tuple(heads)


def verify_snapshot(description: Description, chunk: Callable[[int], bytes]) -> Beginning:
    """Return where a snapshot begins, if its chunks are those of its description and lead to the app hash of its header.

    Args:
        description: what they must be.
        chunk: reads one by its number.

    Raises:
        MalformedError: they are not.
    """

    def read(index: int) -> bytes:
        data = chunk(index)
        if sha256(data).hex() != description.chunks[index]:
            raise MalformedError(f"chunk {index} is not the one that the description names")
        return data

    text = description.header.encode()
    beginning = decode_beginning(read(0), decode_header(text), text)
    root = records_root(record for index in range(1, len(description.chunks)) for record in decode_chunk(read(index)))
    if root != beginning.head.state_root:
        raise MalformedError("the records are not those that the header commits to")
    return beginning


def records_of(description: Description, chunk: Callable[[int], bytes]) -> Iterator[Record]:
    """Yield all records of a snapshot.

    Raises:
        MalformedError: a chunk is not one.
    """
    for index in range(1, len(description.chunks)):
        yield from decode_chunk(chunk(index))


# --- a folder of them --------------------------------------------------------------------------------------------------


def write_snapshot(
    folder: Path, records: Iterable[Record], beginning: Callable[[], Beginning], *, chain: str, genesis: str
) -> Description:
    """Write a snapshot whole under its height, then show it; forget all but the newest few.

    Args:
        folder: for snapshots alone.
        records: all of them.
        beginning: gives where it begins, asked after the records: more may have signed the header by then.
        chain: chain id.
        genesis: SHA-256 of the genesis, hex.
    """
    fresh = folder / "making.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    hashes = []
    for index, chunk in enumerate(encode_chunks(records), 1):
        (fresh / str(index)).write_bytes(chunk)
        hashes.append(sha256(chunk).hex())
    begins = beginning()
    first = encode_beginning(begins)
    (fresh / "0").write_bytes(first)
    description = Description(
        chain=chain,
        chunks=(sha256(first).hex(), *hashes),
        genesis=genesis,
        header=begins.head.header.decode(),
        height=begins.height,
    )
    (fresh / DESCRIPTION).write_bytes(encode_json(description))
    target = folder / str(begins.height)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    for old in snapshot_heights(folder)[:-KEPT]:
        shutil.rmtree(folder / str(old), ignore_errors=True)
    return description


def snapshot_heights(folder: Path) -> list[int]:
    """Return the heights of the snapshots in a folder that are whole, lowest first."""
    try:
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    except FileNotFoundError:
        return []


def read_description(folder: Path, height: int) -> bytes | None:
    """Return the description of a snapshot in a folder, or None."""
    try:
        return (folder / str(height) / DESCRIPTION).read_bytes()
    except OSError:
        return None


def read_chunk(folder: Path, height: int, index: int) -> bytes | None:
    """Return one chunk of a snapshot in a folder, or None."""
    try:
        return (folder / str(height) / str(index)).read_bytes()
    except OSError:
        return None
