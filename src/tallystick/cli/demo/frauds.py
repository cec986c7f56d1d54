"""Two frauds with files: a byte of a ledger, and whom a receipt is about. Both in copies, under `frauds/`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tallystick.cli.demo.scenes_sharing import Asked
from tallystick.cli.demo.stage import Stage, copy_database, expect, refusal
from tallystick.cli.demo.telling import Scene, Teller
from tallystick.codec.times import iso_time
from tallystick.errors import IntegrityError
from tallystick.node.homes import Home
from tallystick.node.inspection import check
from tallystick.sdk import verify_receipt

# Of the thirteen digits of a time in ms, the one that is worth some 115 days.
_DIGIT = 3


class _Alteration(NamedTuple):
    """One byte of a file that was changed: where, and what the record then says."""

    offset: int
    before: int
    after: int


def alter_ledger(stage: Stage, teller: Teller, scene: Scene, agreement: str) -> None:
    """Somebody moves the end of an agreement in a copy of the ledger, by one digit; the checker names the place."""
    folder = stage.frauds / "altered-ledger"
    folder.mkdir()
    copy = folder / "ledger.db"
    copy_database(stage.university.home / "ledger.db", copy)
    expect(check(copy).ok, "the copy is good before it is altered")
    altered = _move_end(copy, agreement)
    teller.done(
        f"In a copy of {stage.university.name}'s ledger.db, byte {altered.offset:,} is changed: {agreement} "
        f"would end on {iso_time(altered.after)[:10]} instead of {iso_time(altered.before)[:10]}."
    )
    report = check(copy)
    first = report.first
    expect(not report.ok and first is not None and "agreements" in str(first), "the checker names the record")
    teller.done("`tally ledger check` refuses the copy and names the place:")
    teller.note(f"“{first}”")
    scene.facts |= {"file": str(copy), "offset": altered.offset, "place": "" if first is None else first.place}


def alter_receipt(stage: Stage, teller: Teller, scene: Scene, asked: Asked) -> None:
    """The bank puts its own request into the receipt of an approval; and then any byte of it is changed."""
    good = next(stage.receipts.glob("*-approve-request.receipt.json")).read_bytes()
    trust = Home(stage.agency.home).read_trust()
    forged = good.replace(asked.by_university.encode(), asked.by_bank.encode())
    expect(forged != good, "the receipt names the request")
    path = stage.frauds / "altered.receipt.json"
    path.write_bytes(forged)
    teller.done(f"The receipt of the approval is made to say {asked.by_bank}, the request of {stage.bank.name}.")
    refused = refusal(IntegrityError, lambda: verify_receipt(forged, trust), "an altered receipt")
    reason = getattr(refused, "reason", "")
    teller.done(f"`tally receipt verify` refuses it ({reason}):")
    teller.note(f"“{refused.message}”")
    for position in range(len(good)):
        changed = bytes((*good[:position], good[position] ^ 1, *good[position + 1 :]))
        refusal(IntegrityError, partial(verify_receipt, changed, trust), f"byte {position} changed")
    teller.done(
        f"Nor can any other byte be changed: each of its {len(good):,} was, one at a time, and all were refused."
    )
    scene.facts |= {"file": str(path), "reason": reason, "bytes_tried": len(good)}


def _move_end(ledger: Path, agreement: str) -> _Alteration:
    """Change one digit of the end of an agreement in a ledger's file, as a hex editor would."""
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as opened:
        query = "SELECT value FROM records WHERE collection = 'agreements' AND key = ?"
        (value,) = opened.execute(query, (agreement,)).fetchone()
    before = json.loads(value)["ends"]
    digits = str(before)
    after = int(digits[:_DIGIT] + str((int(digits[_DIGIT]) + 1) % 10) + digits[_DIGIT + 1 :])
    data = ledger.read_bytes()
    start = data.find(value.encode())
    expect(start >= 0, "the record is in the file in one piece")
    offset = start + value.encode().index(f'"ends":{before}'.encode()) + len('"ends":') + _DIGIT
    ledger.write_bytes(data[:offset] + str(after)[_DIGIT].encode() + data[offset + 1 :])
    return _Alteration(offset, before, after)
