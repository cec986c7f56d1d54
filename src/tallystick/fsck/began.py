"""Checking a copy that began from a snapshot and lacks the blocks before it: replay begins from the snapshot's records.

They are kept in the home until the older blocks have come. What they must lead to is the header of their block, signed by
more than two thirds of those who ordered then; who that was, the versions of the trust file tell, each signed by the
quorum of the one before. Of what was before nothing is said but that it is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from tallystick.codec import MalformedError
from tallystick.errors import IntegrityError
from tallystick.fsck.membership import Succession
from tallystick.fsck.report import Cell, Notes, damage, is_same
from tallystick.fsck.source import COLUMNS, LedgerFile, as_bytes
from tallystick.machine import Beginning
from tallystick.proofs.failures import TrustError
from tallystick.proofs.headers import check_signatures, decode_header, decode_signatures, quorum
from tallystick.proofs.trust import TrustEntry, TrustFile, TrustSignature
from tallystick.store.base import (
    BASE,
    BASE_EDGE,
    BASE_HEADS,
    BASE_ROWS,
    BEGAN,
    Base,
    decode_base,
    decode_edge,
    decode_heads,
)

Record = tuple[str, str, bytes]
SnapshotReader = Callable[[Path], tuple[Beginning, Iterator[Record]]]
"""Returns where the snapshot in a folder begins, and its records, all compared with the header; raises MalformedError."""

_entry_decoder = msgspec.json.Decoder(TrustEntry)


class Began(NamedTuple):
    """Where replay begins.

    Attributes:
        base: what the file says of it.
        beginning: what the snapshot says.
        records: of the snapshot.
        trust: versions up to that block.
    """

    base: Base
    beginning: Beginning
    records: Iterator[Record]
    trust: TrustFile


def check_meta(extra: dict[Cell, Cell], notes: Notes) -> None:
    """Check the rows of `meta` that only a copy that began from a snapshot has; name those that no copy has."""
    for name, value in extra.items():
        if name not in BASE_ROWS:
            notes.say(f"meta row {name!a}: column name", "a ledger has no such row")
        elif not isinstance(value, str):
            notes.say(f"meta row {name!a}: column value", "not a text")
        elif name == BEGAN and not (value.isascii() and value.isdigit()):
            notes.say(f"meta row {name!a}: column value", "not a height")
    if extra and BEGAN not in extra:
        notes.say(f"meta row {BEGAN}: column name", "it is missing")


def read_began(
    file: LedgerFile, extra: dict[Cell, Cell], home: Path | None, reader: SnapshotReader | None, founders: Succession
) -> Began | None:
    """Return where replay begins; None where it begins with the genesis.

    Args:
        file: the ledger.
        extra: rows of `meta` that not every copy has.
        home: where the snapshot is kept.
        reader: reads it.
        founders: who spoke for the zone when it began.

    Raises:
        DamageError: the snapshot is not there, or does not hold, or is not the one that the file says.
    """
    if BASE not in extra:
        return None
    try:
        base = decode_base(str(extra[BASE]))
    except IntegrityError as error:
        raise damage(f"meta row {BASE}: column value", error.message) from None
    folder = None if home is None else home / "beginning"
    if folder is None or reader is None or not folder.is_dir():
        raise damage(
            "beginning/",
            f"this copy began with block {base.height}; the records it began from are not here, nor are the older blocks "
            "yet: nothing can be replayed",
        )
    try:
        beginning, records = reader(folder)
    except MalformedError as error:
        raise damage("beginning/", f"the snapshot that this copy began from does not hold: {error.reason}") from None
    _check_rows(base, beginning, extra)
    trust = _trust_until(file, beginning.height, founders)
    _check_block(file, beginning, trust)
    return Began(base, beginning, records, trust)


def _check_rows(base: Base, beginning: Beginning, extra: dict[Cell, Cell]) -> None:
    """Compare the rows of `meta` with the snapshot."""
    expected = (beginning.height, beginning.head.size, beginning.transactions, beginning.events)
    if (base.height, base.size, base.transactions, base.events) != expected:
        raise damage(f"meta row {BASE}: column value", "not what the snapshot says that this copy began from")
    try:
        if decode_edge(str(extra.get(BASE_EDGE))) != beginning.edge:
            raise damage(f"meta row {BASE_EDGE}: column value", "not the edge of the history in the snapshot")
        if tuple(decode_heads(str(extra.get(BASE_HEADS)))) != beginning.before:
            raise damage(f"meta row {BASE_HEADS}: column value", "not the blocks that the snapshot names")
    except IntegrityError as error:
        raise damage("meta: column value", error.message) from None


def _trust_until(file: LedgerFile, height: int, founders: Succession) -> TrustFile:
    """Return the versions of the trust file up to a block, each signed by the quorum of the one before."""
    signatures: dict[Cell, list[TrustSignature]] = {}
    for version, organisation, signature in file.rows("trust_signatures"):
        if isinstance(organisation, str) and isinstance(signature, bytes):
            made = TrustSignature(organisation=organisation, signature=signature.hex())
            signatures.setdefault(version, []).append(made)
    entries = []
    try:
        for version, text in file.rows("trust"):
            entry = _entry_decoder.decode(as_bytes(text))
            listed = tuple(sorted(signatures.get(version, ()), key=lambda each: each.organisation))
            if entry.height <= height:
                entries.append(replace(entry, signatures=listed))
        first = founders.trust
        trust = TrustFile(first.chain, first.genesis, entries)
        if trust.version(1).hash != first.version(1).hash:
            raise damage("trust row 1: column entry", "not the version that the genesis leads to")
        trust.verify_chain()
    except (TrustError, msgspec.MsgspecError, TypeError) as error:
        raise damage("trust", f"its versions do not follow from each other: {error}") from None
    return trust


def _check_block(file: LedgerFile, beginning: Beginning, trust: TrustFile) -> None:
    """Check the row of the block that this copy began from."""
    head = beginning.head
    rows = file.select(
        "blocks",
        f"SELECT {', '.join(COLUMNS['blocks'])} FROM blocks NOT INDEXED WHERE height = ?",  # noqa: S608 - names of our own
        (beginning.height,),
    )
    row = next(rows, None)
    place = f"blocks row {beginning.height}"
    if row is None:
        raise damage(f"{place}: column height", "it is missing")
    expected: dict[str, Cell] = {
        "time_ms": beginning.time,
        "header": head.header.decode(),
        "state_root": head.state_root,
        "history_root": head.history_root,
        "size": head.size,
        "last_event": beginning.events,
    }
    for column, found in zip(COLUMNS["blocks"], row, strict=True):
        if column in expected and not is_same(expected[column], found):
            raise damage(f"{place}: column {column}", "not what the snapshot says", expected[column], found)
    signing = [version for version in trust.versions if version.height < beginning.height][-1].validators
    try:
        names = check_signatures(decode_header(head.header), decode_signatures(as_bytes(row[3])), signing)
    except (MalformedError, TypeError) as error:
        raise damage(f"{place}: column signatures", f"not the signatures of those who order: {error}") from None
    if len(names) < quorum(len(signing)):
        raise damage(f"{place}: column signatures", f"only {len(names)} of {len(signing)} that order have signed it")
