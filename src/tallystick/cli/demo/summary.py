"""What the demo says before it begins and when all of it held: where everything is, and what can be tried."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tallystick.cli.demo.stage import Stage, number_word
from tallystick.cli.demo.telling import Teller
from tallystick.cli.screen import show_size

_AGREEMENTS = "select * from agreements"


def introduce(stage: Stage, teller: Teller) -> None:
    """Say what is going to be seen, and where it goes."""
    if stage.validators:
        teller.heading("Organisations share real data, and order what they record together. No one is in charge.")
    else:
        teller.heading("Four organisations share real data. None of them can alter what was agreed.")
    teller.text(f"Everything goes into {shown(stage.directory)}; every node is a process of its own on this machine.")


def sum_up(stage: Stage, teller: Teller, *, serve: bool) -> None:
    """Say where everything is and what can be tried."""
    receipts = sorted(stage.receipts.iterdir())
    teller.heading(f"All of it held, in {teller.seconds:.0f} s. Three frauds were tried, and three were caught.")
    teller.blank()
    teller.text(f"In {shown(stage.directory)}:")
    for name, what in _places(stage, receipts):
        teller.command(f"{name:<27}{what}")
    if serve:
        teller.heading(f"The {number_word(len(stage.players))} nodes run; Ctrl-C stops them. For programs:")
        for player in stage.players.values():
            teller.command(f"{player.organisation:<18}http://{player.api}   key: {player.organisation}/operator.json")
    teller.heading("What to try next")
    for command in _commands(stage, receipts[-1], serve=serve):
        teller.command(command)
    teller.blank()


def shown(directory: Path) -> str:
    """Return a path as short as it can be typed here."""
    here = Path.cwd()
    return str(directory.relative_to(here)) if directory.is_relative_to(here) else str(directory)


def _places(stage: Stage, receipts: list[Path]) -> Iterator[tuple[str, str]]:
    """Yield what lies where."""
    homes = [player.home for player in stage.players.values()]
    ledger = show_size(max((home / "ledger.db").stat().st_size for home in homes))
    proof = show_size(stage.fork_proof_path.stat().st_size)
    count = number_word(len(homes))
    yield "<organisation>/", f"{count} homes; each has the whole record, ledger.db, {ledger}"
    if stage.validators:
        yield "passphrase", "of the keys in all homes; beside them for the demo only"
    else:
        yield "<organisation>.passphrase", "of a home's keys; beside them for the demo only"
    yield "files/", "what they hold: tables, documents, proofs of evidence"
    if not stage.validators:
        yield "invitations/", "what three of them joined by; nothing in there is secret"
    size = show_size(sum(path.stat().st_size for path in receipts))
    yield "receipts/", f"{len(receipts)} receipts, {size} in all"
    yield "zone.json", "the zone's public trust file: all that a verifier needs"
    if stage.validators:
        yield "fork-proof.json", f"that {stage.bank.name} signed two histories, {proof}"
        yield "frauds/, logs/", "what was altered and forged; what the nodes and their engines wrote"
    else:
        yield "fork-proof.json", f"that the orderer told two histories, {proof}"
        yield "frauds/, logs/", "the altered copies; what the nodes wrote"


def _commands(stage: Stage, receipt: Path, *, serve: bool) -> Iterator[str]:
    """Yield commands that work where the demo was called."""
    university = stage.university.organisation
    yield from _way_to_tally()
    yield f"cd {shlex.quote(shown(stage.directory))}"
    yield f"tally receipt verify receipts/{receipt.name} --zone zone.json"
    yield f"tally ledger check --home {university}"
    yield f"tally ledger compare fork-proof.json --home {university}"
    yield "tally ledger check --home frauds/altered-ledger/ledger.db"
    if stage.validators:
        yield "tally receipt verify frauds/another-history.receipt.json --zone zone.json"
    yield f"sqlite3 -readonly {university}/ledger.db '{_AGREEMENTS}'"
    if stage.validators:
        if not serve:
            yield "tally network up ."
        yield "tally network status ."
        yield f"tally zone status --home {university}"
        if not serve:
            yield "tally network down ."
    elif serve:
        yield f"tally zone status --home {university}"
    else:
        yield f"tally node run --home {university} --passphrase-file {university}.passphrase"


def _way_to_tally() -> Iterator[str]:
    """Yield what makes `tally` known to the shell, where it is not."""
    beside = Path(sys.executable).parent / "tally"
    if beside.exists() and shutil.which("tally") != str(beside):
        yield f'export PATH={shlex.quote(str(beside.parent))}:"$PATH"'
