"""`tally ledger`: read the record, check it, compare it, write it out."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tallystick.cli.options import HOME, HomeOption, JsonOption, at, client, new_file, read_file, trust_path
from tallystick.cli.screen import SHORT_HASH, Screen, Word, clean, count_of, plain, show_time
from tallystick.cli.subjects import find_operations, place_of

if TYPE_CHECKING:
    from tallystick.views import EventView

_HASH_DIGITS = 64

app = typer.Typer(help="The shared record.", no_args_is_help=True)


def outcome_of(number: int) -> Word:
    """Return the outcome of an operation as it is shown."""
    return Word("accepted", "green") if number == 0 else Word(f"rejected, {number}", "red")


@app.command()
def log(
    type_: Annotated[str | None, typer.Option("--type", help="Only of this type, such as send_request.")] = None,
    organisation: Annotated[str | None, typer.Option("--organisation", help="Only asked for by this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="How many.")] = 20,
    before: Annotated[int | None, typer.Option("--before", min=0, help="Only entries before this one.")] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """List the operations of the history, newest first."""
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.operations(before=before, limit=limit, type=type_, organisation=organisation)
    screen.document(found)
    screen.table(
        ("entry", "time", "organisation", "operation", "outcome", "transaction"),
        (
            (
                each.leaf,
                show_time(each.time),
                each.organisation,
                each.type,
                outcome_of(each.outcome),
                f"{each.transaction[:SHORT_HASH]}/{each.index}",
            )
            for each in found
        ),
        empty="No such operations yet.",
    )
    if len(found) == limit and found[-1].leaf > 0:
        screen.line(f"Older ones: --before {found[-1].leaf}")
    screen.next(f"tally ledger show {found[0].leaf}{at(home)}" if found else f"tally zone status{at(home)}")


@app.command()
def show(
    identifier: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A transaction, as TX or TX/INDEX; the number of an entry; or the id of a request, agreement, delivery, "
            "dataset, evidence or organisation.",
        ),
    ],
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Show an operation: by its place, or the newest on a thing."""
    screen = Screen(as_json)
    with client(home) as zone:
        entry = place_of(zone, identifier)
        found = (entry,) if entry is not None else find_operations(zone, home, identifier)
        shown = entry or zone.operation(found[0].transaction, found[0].index)
    screen.document(shown)
    screen.fields(
        [
            ("operation", shown.type),
            ("asked by", shown.organisation),
            ("outcome", outcome_of(shown.outcome)),
            ("time", show_time(shown.time)),
            ("block", shown.height),
            ("entry", shown.leaf),
            ("transaction", f"{shown.transaction}/{shown.index}"),
        ]
    )
    for line in json.dumps(shown.operation, indent=2, ensure_ascii=False).splitlines():
        screen.line(f"  {line}")
    if len(found) > 1:
        screen.line("Earlier ones about it: " + ", ".join(f"{each.leaf} ({each.type})" for each in found[1:]))
    screen.next(f"tally receipt export {shown.transaction}/{shown.index}{at(home)}")


@app.command()
def events(
    after: Annotated[int, typer.Option("--after", min=0, help="Only those behind this number.")] = 0,
    from_height: Annotated[
        int | None, typer.Option("--from-height", min=1, help="From this block on, in place of --after.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="How many; all by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as they happen, until Ctrl-C.")] = False,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """List what happened, oldest first.

    With --json, one JSON object a line.
    """
    last = after
    with client(home) as zone:
        try:
            found = zone.events(after, from_height=from_height, follow=follow)
            for event in islice(found, limit):
                last = event.sequence
                _print_event(event, as_json)
        except KeyboardInterrupt:
            # That is how following ends.
            pass
    Screen(as_json).next(f"tally ledger events --after {last}{at(home)}")


def _shown(name: str, value: object) -> str:
    """Return a value of an event: times as times, hashes shortened."""
    if isinstance(value, int) and name in ("expires", "ready_at"):
        return show_time(value).replace(" ", "T")
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)
    return text[:SHORT_HASH] if len(text) == _HASH_DIGITS and set(text) <= set("0123456789abcdef") else text


def _print_event(event: EventView, as_json: bool) -> None:
    if as_json:
        print(json.dumps(plain(event)))
    else:
        said = " ".join(f"{name}={_shown(name, value)}" for name, value in event.event.items() if name != "type")
        Screen(False).line(f"{event.sequence:>6}  entry {event.leaf:<6}  {event.event['type']:<22}  {said}")
    sys.stdout.flush()


@app.command()
def check(home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Replay the ledger and recompute everything.

    The first damaged place is named. --home may also name a copy of a ledger.db alone.
    """
    from tallystick.cli.failures import REFUSED, complain
    from tallystick.node.inspection import check as check_all

    screen = Screen(as_json)
    with screen.progress("replaying") as progress:
        report = check_all(home, progress)
    screen.document(
        {
            "ok": report.ok,
            "complete": report.complete,
            "blocks": report.blocks,
            "sealed": report.sealed,
            "begun": report.begun,
            "transactions": report.transactions,
            "operations": report.operations,
            "records": report.records,
            "events": report.events,
            "findings": [
                {"place": found.place, "what": found.what, "expected": found.expected, "found": found.found}
                for found in report.findings
            ],
        }
    )
    if report.ok:
        what = "What is here" if report.begun else "All of it"
        screen.line(
            f"{what} holds: {count_of(report.blocks, 'block')}, {count_of(report.transactions, 'transaction')}, "
            f"{count_of(report.operations, 'operation')}, {count_of(report.events, 'event')}, "
            f"{count_of(report.records, 'record')}."
        )
        if report.begun:
            screen.line(
                f"History before block {report.begun + 1} is not held here yet, and was not looked at: this copy began "
                "from a snapshot, whose records lead to that block's signed header. See: tally node status"
            )
        if report.sealed < report.blocks:
            screen.line(
                f"{count_of(report.blocks - report.sealed, 'block')} at the end: not yet signed by more than two thirds "
                "of those who order, which is so for a moment after each block."
            )
        screen.next(f"tally ledger log{at(home)}")
        return
    for finding in report.findings:
        screen.line(str(finding))
    if not report.complete:
        screen.line("The check could not look at everything behind that.")
    complain(
        f"error: the ledger does not hold; first damaged place: {clean(report.first or 'unknown')} — "
        "stop the node and type: tally node repair   (it keeps this copy as evidence; without other members, restore a "
        "backup; where the format alone is another, use the version of Tallystick that wrote it)"
    )
    raise typer.Exit(REFUSED)


@app.command()
def compare(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Another member's log/checkpoint, or a fork proof.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Where a fork proof goes; never over another one.")] = Path(
        "fork-proof.json"
    ),
    zone: Annotated[
        Path | None,
        typer.Option("--zone", metavar="FILE", help="For a fork proof: the trust file; by default that of the home."),
    ] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Compare a signed checkpoint with this copy's history.

    Two that conflict make a fork proof, which anybody can check: by this command, with the trust file alone.
    """
    from tallystick.cli.failures import REFUSED, complain
    from tallystick.node.homes import Home
    from tallystick.node.inspection import compare as compare_histories

    data = read_file(checkpoint, "the checkpoint")
    screen = Screen(as_json)
    if data.startswith(b"{"):
        _check_fork(screen, data, trust_path(zone, home))
    found = compare_histories(Home(home), data)
    place = _free(out) if found.relation == "fork" else None
    if place is not None:
        place.write_bytes(found.proof)
    screen.document(
        {
            "relation": found.relation,
            "chain": found.chain,
            "size": found.size,
            "own_size": found.own_size,
            "signers": list(found.signers),
            "text": found.text,
            "proof": place and str(place),
        }
    )
    screen.line(found.text)
    if place is not None:
        complain(f"error: two histories: {clean(found.text)} — the proof is in {place}: show it to every member")
        raise typer.Exit(REFUSED)
    screen.next(f"tally ledger check{at(home)}")


def _check_fork(screen: Screen, proof: bytes, trust: Path) -> NoReturn:
    """Say what a fork proof proves, and end: it is no success to find one that holds."""
    from tallystick.cli.failures import REFUSED, complain
    from tallystick.node.inspection import read_fork_proof

    finding = read_fork_proof(proof, read_file(trust, "the trust file"))
    screen.document({"relation": "fork", "culprit": finding.culprit, "kind": finding.kind, "text": finding.text})
    screen.line(f"The proof holds. {finding.text}")
    complain(f"error: {clean(finding.text)} — tell the members of the zone, and keep the file")
    raise typer.Exit(REFUSED)


def _free(path: Path) -> Path:
    """Return a path at which there is nothing yet: it, or one numbered behind it."""
    found, number = path, 2
    while found.exists():
        found, number = path.with_stem(f"{path.stem}-{number}"), number + 1
    return found


@app.command()
def forks(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write each proof to a new file in this folder.")
    ] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """List the fork proofs that this node keeps; exit 1 if any.

    A fork proof shows that a member signed two histories; the node raises an alarm where it has one.
    """
    from tallystick.cli.failures import REFUSED, complain
    from tallystick.node.homes import Home
    from tallystick.node.inspection import kept_forks, read_fork_proof

    place = Home(home)
    trust = place.read_trust()
    rows = []
    for proof in kept_forks(place):
        finding = read_fork_proof(proof, trust)
        file = None if out is None else _free(out / "fork-proof.json")
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(proof)
        rows.append(
            {"kind": finding.kind, "culprit": finding.culprit, "text": finding.text, "file": file and str(file)}
        )
    screen = Screen(as_json)
    screen.document(rows)
    for row in rows:
        screen.line(str(row["text"]) + (f" {row['file']}" if row["file"] else ""))
    if rows:
        kept = f"in {out}" if out is not None else f"written out by: tally ledger forks --out DIR{at(home)}"
        complain(f"error: {count_of(len(rows), 'fork proof')}, {kept} — show it to every member of the zone")
        raise typer.Exit(REFUSED)
    screen.line("This node has met no two histories.")
    screen.next(f"tally ledger check{at(home)}")


@app.command()
def export(
    out: Annotated[Path | None, typer.Option("--out", help="A file; standard output by default.")] = None,
    home: HomeOption = HOME,
) -> None:
    """Write out the whole history, one JSON object a line."""
    from tallystick.node.inspection import history

    if out is None:
        for entry in history(home):
            print(json.dumps(entry))
        return
    count = 0
    with new_file(out) as file:
        for entry in history(home):
            file.write(json.dumps(entry).encode() + b"\n")
            count += 1
    Screen(False).line(f"{out}: {count_of(count, 'operation')}.")
    Screen(False).next(f"tally ledger check{at(home)}")
