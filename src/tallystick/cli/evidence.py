"""`tally evidence`: record that files existed, and prove it, a file at a time."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from tallystick.cli.dataset import existing
from tallystick.cli.options import HOME, HomeOption, JsonOption, at, client, read_file, trust_path
from tallystick.cli.parties import show_recorded
from tallystick.cli.screen import SHORT_HASH, Screen, Word, count_of, plain, show_size, show_time

app = typer.Typer(
    help="Evidence: proof that files existed, unchanged since. The files stay where they are.",
    no_args_is_help=True,
)


@app.command()
def record(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, and folders of which every file counts.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for the proofs; by default in the node's home.")
    ] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Record that files exist, and write a proof for each.

    One salted root over all of them goes on the ledger: nothing of a file, nor a hash that could be guessed.
    """
    screen = Screen(as_json)
    found = [existing(path) for path in paths]
    with client(home) as zone, screen.progress("recording evidence") as progress:
        made = zone.record_evidence(found, None if out is None else out.absolute(), progress=progress)
    screen.document(made)
    screen.line(f"{made.id}: {count_of(made.count, 'file')} recorded.")
    show_recorded(screen, made.recorded)
    if made.proofs:
        folder = Path(made.proofs[0]).parent if out is None else out
        screen.line(f"The proofs are in {folder}.")
    if not made.witnessed:
        screen.line("Too few members have witnessed it yet: the node writes the proofs anew when they have.")
    if len(found) == 1 and found[0].is_file() and made.proofs:
        screen.next(f"tally evidence verify {shlex.quote(str(paths[0]))} {shlex.quote(made.proofs[0])}{at(home)}")
    else:
        screen.next(f"tally evidence show {made.id}{at(home)}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file, under whatever name.")],
    proof: Annotated[Path, typer.Argument(metavar="PROOF", help="Its proof, NAME.proof.json.")],
    zone: Annotated[
        Path | None, typer.Option("--zone", metavar="FILE", help="The trust file; by default zone.json of the home.")
    ] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Check that a file was recorded and is unchanged, offline.

    Nobody is trusted but the zone.
    """
    from tallystick.node.inspection import verify_evidence

    screen = Screen(as_json)
    trust = read_file(trust_path(zone, home), "the trust file")
    shown = verify_evidence(file, read_file(proof, "the proof"), trust)
    screen.document({"ok": True, **plain(shown)})
    screen.fields(
        [
            ("file", f"{file} (recorded as {shown.name})"),
            ("size", show_size(shown.size)),
            ("sha-256", shown.sha256),
            ("evidence", f"{shown.evidence}, of {count_of(shown.count, 'file')}"),
            ("recorded by", shown.organisation),
            ("recorded", f"{show_time(shown.recorded_at)}; the file has not changed since"),
            ("zone", shown.chain),
            ("witnesses", ", ".join(shown.witnesses) or "nobody yet"),
        ]
    )
    screen.line(f"It holds: {shown.summary}.")
    screen.next(f"tally ledger show {shown.transaction}")


@app.command("list")
def list_(home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """List evidence that was recorded here, newest first."""
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.evidence()
    screen.document(found)
    screen.table(
        ("id", "files", "recorded", "witnessed", "root", "superseded by"),
        (
            (
                each.id,
                each.count,
                show_time(each.recorded_at),
                Word("yes", "green") if each.witnessed else Word("not yet", "yellow"),
                each.root[:SHORT_HASH],
                each.superseded_by,
            )
            for each in found
        ),
        empty="No evidence yet.",
    )
    screen.next(f"tally evidence show {found[0].id}{at(home)}" if found else f"tally evidence record PATH{at(home)}")


@app.command()
def show(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Of the evidence, such as ev-7kq2m4xa.")],
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Show evidence, its files and where their proofs are."""
    from tallystick.errors import UsageError

    screen = Screen(as_json)
    with client(home) as zone:
        found = next((each for each in zone.evidence() if each.id == identifier), None)
    if found is None:
        raise UsageError(f"this node recorded no evidence {identifier}", remedy="List it: tally evidence list")
    screen.document(found)
    screen.fields(
        [
            ("evidence", found.id),
            ("recorded by", found.organisation),
            ("recorded", show_time(found.recorded_at)),
            ("files", found.count),
            ("root", found.root),
            ("witnessed", Word("yes", "green") if found.witnessed else Word("not yet", "yellow")),
            ("superseded by", found.superseded_by),
        ]
    )
    screen.table(
        ("file", "proof"),
        zip(found.names, found.proofs, strict=False),
        empty="Names and proofs are not on this machine.",
    )
    screen.next(f"tally receipt export {found.id}{at(home)}")
