"""`tally receipt`: take proof of what was recorded, and check it without a network."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.options import HOME, HomeOption, JsonOption, client, read_file, trust_path
from tallystick.cli.screen import Screen, Word, show_size, show_time
from tallystick.cli.subjects import find_operations
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.views import OperationView

app = typer.Typer(help="Receipts: proof of record in a small file, checked offline.", no_args_is_help=True)

SUFFIX = ".receipt.json"
ReceiptArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The receipt.")]
_STANDARD_OUTPUT = Path("-")
_SIGNED = ("header_signatures", "cosignatures")


@app.command()
def export(
    identifier: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Of a request, agreement, delivery, dataset, evidence or organisation; or a transaction, as TX or "
            "TX/INDEX; or the number of an entry of the history.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Where to; by default ID.OPERATION.receipt.json here. - is standard output."
        ),
    ] = None,
    operation: Annotated[
        str, typer.Option("--operation", metavar="TYPE", help="Which, such as send_request; by default the newest.")
    ] = "",
    wait: Annotated[
        float,
        typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait until enough members witness it."),
    ] = 30.0,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the receipt of an operation, once it is verified."""
    screen = Screen(as_json)
    with client(home) as zone:
        found = find_operations(zone, home, identifier)
        chosen = _choose(found, operation, identifier)
        receipt = zone.receipt(chosen.transaction, chosen.index, wait_s=wait)
    if out == _STANDARD_OUTPUT:
        sys.stdout.write(receipt.data.decode())
        return
    place = out or Path(f"{identifier.replace('/', '-')}.{chosen.type}{SUFFIX}")
    receipt.save(place)
    others = [each for each in found if each.leaf != chosen.leaf]
    screen.document(
        {
            "file": str(place),
            "bytes": len(receipt.data),
            "verified": receipt.verified.to_json(),
            "others": others,
        }
    )
    screen.line(f"{place}: {show_size(len(receipt.data))}, {receipt.verified.summary}.")
    for line in receipt.verified.explain()[:2]:
        screen.line(line)
    if others:
        screen.line("Also on the ledger about it; name one with --operation, or by its entry:")
        screen.table(
            ("entry", "operation", "by", "time"), ((o.leaf, o.type, o.organisation, show_time(o.time)) for o in others)
        )
    screen.next(_verify_command(place, home))


def _choose(found: Sequence[OperationView], wanted: str, identifier: str) -> OperationView:
    """Return the newest operation, or the newest of a type.

    Raises:
        UsageError: there is none of that type.
    """
    chosen = next((each for each in found if wanted in ("", each.type)), None)
    if chosen is None:
        types = ", ".join(dict.fromkeys(each.type for each in found))
        raise UsageError(f"there is no {wanted} about {identifier}", remedy=f"There is: {types}.")
    return chosen


@app.command()
def verify(
    file: ReceiptArgument,
    zone: Annotated[
        Path | None,
        typer.Option("--zone", metavar="FILE", help="The zone's trust file, zone.json; by default that of the home."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--file", metavar="DATA", help="Check also that this file or folder is the one it is about."),
    ] = None,
    salt: Annotated[
        str,
        typer.Option(
            "--salt", metavar="HEX", help="Of the data's fingerprint; by default from DATA.fingerprint.json beside it."
        ),
    ] = "",
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Verify a receipt, offline.

    Nobody is trusted but the zone; any changed byte makes it fail.
    """
    from tallystick.sdk import verify_receipt

    screen = Screen(as_json)
    trust = read_file(trust_path(zone, home), "the trust file")
    verified = verify_receipt(read_file(file, "the receipt"), trust, file=data, salt=salt)
    screen.document({"ok": True, **verified.to_json(), "file": None if data is None else str(data)})
    for line in verified.explain():
        screen.line(line)
    if data is not None:
        screen.line(f"{data} is the very data that it is about.")
    screen.line(f"The receipt holds: {verified.summary}.")
    screen.next(f"tally receipt show {shlex.quote(str(file))}")


@app.command()
def refresh(
    file: ReceiptArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to; by default in its place.")
    ] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Make a receipt anew, under the newest signatures.

    For receipts from before the order was handed over to all validators. What it proves must be the same as before.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        receipt = zone.refresh(read_file(file, "the receipt"))
    place = out or file
    receipt.save(place)
    screen.document({"file": str(place), "bytes": len(receipt.data), "verified": receipt.verified.to_json()})
    screen.line(f"{place}: {show_size(len(receipt.data))}, {receipt.verified.summary}.")
    screen.next(_verify_command(place, home))


@app.command()
def show(file: ReceiptArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Show what a receipt says, without checking any of it."""
    screen = Screen(as_json)
    said = _read(file)
    screen.document(said)
    outcome = said.get("outcome")
    screen.fields(
        [
            ("zone", said.get("chain")),
            ("outcome", "accepted" if outcome == 0 else f"rejected with number {outcome}"),
            ("time", _time(said.get("time"))),
            ("block", said.get("height")),
            ("entry", f"{said.get('leaf_index')} of {said.get('size')}"),
            ("ordered by", _names(said["header_signatures"])),
            ("cosigned by", _names(said["cosignatures"])),
            ("size", show_size(file.stat().st_size)),
        ]
    )
    screen.line("operation:")
    for line in json.dumps(said["operation"], indent=2, ensure_ascii=False).splitlines():
        screen.line(f"  {line}")
    screen.fields([("verified", Word("no: this is only what the file says", "yellow"))])
    screen.next(_verify_command(file, home))


def _verify_command(file: Path, home: Path) -> str:
    zone = home / "zone.json" if (home / "zone.json").is_file() else Path("zone.json")
    return f"tally receipt verify {shlex.quote(str(file))} --zone {shlex.quote(str(zone))}"


def _read(file: Path) -> dict[str, Any]:
    """Return what a receipt says.

    Raises:
        UsageError: it is not a receipt at all.
    """
    try:
        said = json.loads(read_file(file, "the receipt"))
        if not isinstance(said, dict) or not isinstance(said["operation"], dict):
            raise ValueError
        if not all(isinstance(each, dict) for name in _SIGNED for each in said[name]):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{file} is not a receipt", remedy="Make one: tally receipt export ID") from None
    return said


def _names(signatures: Sequence[dict[str, object]]) -> str:
    """Return who signed, by what a file says that nobody has checked."""
    return ", ".join(str(each.get("organisation")) for each in signatures) or "nobody"


def _time(value: object) -> str:
    """Return a time of a file that nobody has checked."""
    return show_time(value) if isinstance(value, int) and 0 <= value < 10**14 else str(value)
