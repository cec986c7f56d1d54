"""`tally node`: run a node, join a zone, look at its health, back it up."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.node_engine import repair, validate
from tallystick.cli.options import HOME, HomeOption, JsonOption, PassphraseOption, at, client, is_remote, read_file
from tallystick.cli.organisation import grouped
from tallystick.cli.screen import Screen, Word, clean, count_of, plain, show_size, show_time

if TYPE_CHECKING:
    from tallystick.views import DiskUse, Misconduct, Standing, Status

_LITTLE_SPACE = 1 << 30

app = typer.Typer(help="This organisation's node.", no_args_is_help=True)
app.command()(validate)
app.command()(repair)


@app.command()
def run(home: HomeOption = HOME, passphrase_file: PassphraseOption = None) -> None:
    """Run the node until it is told to stop (Ctrl-C, or SIGTERM)."""
    # Where a light install lacks a node's libraries, this one says so, before processes that need them fail.
    import structlog  # noqa: F401

    from tallystick.node.access import ask_passphrase
    from tallystick.node.homes import Home, open_keys
    from tallystick.node.locks import lock_home
    from tallystick.node.supervisor_main import become_supervisor

    place = Home(home)
    screen = Screen(False)
    passphrase = ask_passphrase(passphrase_file)
    lock = lock_home(place.path)
    listen = place.settings.api.listen
    screen.line(f"Starting the node of {place.settings.node.organisation}; API at http://{listen}. Ctrl-C stops it.")
    sys.stdout.flush()
    # Here and not by the node's processes: whoever typed a wrong passphrase is told so.
    keys = open_keys(place, passphrase)
    screen.next(f"tally node status{at(home)}   (in another terminal)")
    # From here on there is a log; until here one line on stderr says why it does not start.
    last_words = ("The node has stopped.", clean(f"next: tally node run{at(home)}"))
    become_supervisor(place, keys, lock, last_words=last_words)


@app.command()
def status(home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Show how the node does.

    Exit code 3 if it does not run, 1 if it has caught the orderer at showing two histories.
    """
    from tallystick.cli.failures import REFUSED, complain

    screen = Screen(as_json)
    with client(home) as zone:
        now, standing = zone.status(), zone.standing()
    api = os.environ.get("TALLY_URL", "") if is_remote(home) else _api_of(home)
    screen.document({**plain(now), "standing": standing, "api": api})
    place = "" if is_remote(home) else str(home)
    screen.fields(
        [
            *_health(now, standing),
            *_engine(now),
            *_disk(now.disk),
            ("restarts", _restarts(now)),
            ("API", api),
            ("home", place),
            ("program", now.version),
        ]
    )
    if now.alarm:
        complain(
            f"error: {clean(now.alarm)} — tell the members of the zone, and show them the proof: tally ledger forks{at(home)}"
        )
        raise typer.Exit(REFUSED)
    screen.next(f"tally organisation show{at(home)}" if standing.application else f"tally zone status{at(home)}")


def _api_of(home: Path) -> str:
    """Return where the API of the node of a home on this machine is."""
    import json

    from tallystick.node.homes import Home

    place = Home(home)
    try:
        # The port may have been left to the system to choose: the node says which it is.
        return str(json.loads(place.operator_path.read_bytes())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"http://{place.settings.api.listen}"


def _health(now: Status, standing: Standing) -> list[tuple[str, object]]:
    if now.alarm:
        health = Word("alarm", "red")
    elif standing.application:
        health = Word(f"not a member yet: the application is {standing.application}", "yellow")
    elif now.held:
        health = Word("held: it was restored, and asks the witnesses before it orders", "yellow")
    elif now.engine is not None and now.engine.trouble:
        health = Word(now.engine.trouble, "yellow")
    elif now.lag or standing.trouble:
        health = Word("behind" if now.lag else "not connected", "yellow")
    else:
        health = Word("well", "green")
    expires = standing.certificate_expires
    return [
        ("node of", now.organisation),
        ("zone", now.chain),
        ("health", health),
        ("alarm", Word(now.alarm or "", "red") if now.alarm else ""),
        ("suspicion", Word(now.suspicion or "", "yellow") if now.suspicion else ""),
        ("role", _role(now, standing)),
        ("trouble", Word(standing.trouble, "yellow") if standing.trouble else ""),
        ("block", f"{now.height}, of {show_time(now.time) or 'the beginning'}"),
        ("behind", Word(count_of(now.lag, "block"), "yellow") if now.lag else Word("no", "green")),
        ("beginning", Word(standing.beginning, "yellow") if standing.beginning else ""),
        ("older blocks", Word(_older(standing), "yellow") if standing.begun else ""),
        ("history", f"{count_of(now.size, 'operation')}, {now.witnessed:,} witnessed"),
        ("root", now.root),
        ("waiting", count_of(now.waiting, "transaction") if now.waiting else ""),
        ("trust", f"version {now.trust_version}" + (f", {now.trust_pending} pending" if now.trust_pending else "")),
        ("connections", f"port {standing.port}" if standing.port else "only its own: nobody can connect to it"),
        (
            "certificate",
            Word(f"until {show_time(expires)}; renews itself", "red" if expires < time.time() * 1_000 else "green")
            if expires
            else "",
        ),
    ]


def _older(standing: Standing) -> str:
    """Return how far a copy that began from a snapshot has come with the blocks before it."""
    coming = f"this copy began with block {standing.begun:,}; of those before, {standing.older:,} have been checked"
    return f"{coming}; it waits: {clean(standing.older_trouble)}" if standing.older_trouble else f"{coming}"


def _role(now: Status, standing: Standing) -> str:
    if now.role == "validator":
        return "orders together with others"
    return "orders" if now.role == "orderer" else f"follows {standing.following or 'nobody'}"


def _engine(now: Status) -> list[tuple[str, object]]:
    """Return what is shown of a validator's engine, and of the validators."""
    engine = now.engine
    if engine is None:
        return []
    connected = f"{engine.reachable} of {engine.validators} connected, {engine.needed} needed"
    mempool = f", {count_of(engine.mempool, 'bundle')} in its mempool" if engine.mempool else ""
    kept = f", keeps blocks from {engine.first} on" if engine.first > 1 else ""
    state = f"at block {engine.height}{kept}{mempool}" if engine.answers else "does not answer"
    return [
        ("validators", Word(connected, "" if engine.reachable >= engine.needed else "yellow")),
        ("engine", Word(state, "" if engine.answers else "yellow")),
        ("sealed", f"up to block {now.sealed}" if now.sealed < now.height else ""),
        (
            "misbehaviour",
            Word("; ".join(_misconduct(each) for each in now.misbehaviour), "red") if now.misbehaviour else "",
        ),
    ]


def _misconduct(found: Misconduct) -> str:
    what = {"duplicate_vote": "voted twice", "light_client_attack": "signed a forged header"}.get(
        found.kind, found.kind
    )
    return clean(f"{found.organisation or found.validator} {what} at block {found.height}")


def _restarts(now: Status) -> str:
    """Return how often which process was started again, and how the last one ended."""
    shown = [
        f"{name} {each.restarts} (last exit {each.last_exit}, {show_time(each.ended_at)})"
        for name, each in now.processes.items()
        if each.restarts
    ]
    return ", ".join(shown)


def _disk(disk: DiskUse | None) -> list[tuple[str, object]]:
    if disk is None:
        return []
    named = (("ledger", disk.ledger), ("log", disk.log), ("engine", disk.engine), ("data", disk.data))
    parts = ", ".join(f"{name} {show_size(size)}" for name, size in named if size or name != "engine")
    growth = disk.growth_a_day
    return [
        ("disk", f"{show_size(disk.used)}: {parts}"),
        ("growth a day", "not known yet" if growth is None else f"{'-' * (growth < 0)}{show_size(abs(growth))}"),
        ("free", Word(show_size(disk.free), "red" if disk.free < _LITTLE_SPACE else "")),
    ]


@app.command()
def join(
    invitation: Annotated[Path, typer.Argument(metavar="INVITATION", help="The file that a member gave you.")],
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="Where other members reach this node; none needed.")
    ] = "",
    api: Annotated[
        str, typer.Option("--api", metavar="HOST:PORT", help="Where this node's own API listens, on loopback.")
    ] = "127.0.0.1:7070",
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where it listens, if not at --address.")
    ] = None,
    organisation_name: Annotated[
        str,
        typer.Option("--organisation-name", help="Name of the organisation, for people; by default made of its id."),
    ] = "",
    home: HomeOption = HOME,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the home of a new member's node, and apply. Keys are made here and never leave it."""
    import asyncio

    from tallystick.node.access import new_passphrase
    from tallystick.node.join import decode_invitation
    from tallystick.node.join import join as apply

    data = read_file(invitation, "the invitation")
    invited = decode_invitation(data)
    name = organisation_name or invited.invited.replace("-", " ").title()
    passphrase = new_passphrase(passphrase_file)
    made, fingerprint = asyncio.run(apply(home, data, name, passphrase, address, api, listen=listen))
    screen = Screen(as_json)
    screen.document(
        {
            "home": str(made.path),
            "chain": invited.chain,
            "organisation": invited.invited,
            "inviter": invited.inviter,
            "fingerprint": fingerprint,
            "trust_file": str(made.trust_path),
            "trust_fingerprint": made.read_trust().fingerprint,
        }
    )
    screen.line(f"{invited.invited} has applied to join the zone {invited.chain}.")
    screen.fields(
        [
            ("home", made.path),
            ("fingerprint", grouped(fingerprint)),
            ("trust file", made.trust_path),
            ("trust fingerprint", made.read_trust().fingerprint),
        ]
    )
    screen.line(f"Read the fingerprint to {invited.inviter} by telephone or in person; a member then types:")
    screen.line(f"  tally organisation admit {invited.invited} --fingerprint {fingerprint}")
    screen.next(f"tally node run{at(home)}")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; must not be there yet.")],
    home: HomeOption = HOME,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one encrypted file with all that cannot be had again.

    The node may run meanwhile.
    """
    from tallystick.node.access import new_passphrase
    from tallystick.node.backup import backup as write_backup
    from tallystick.node.homes import Home

    place = Home(home)
    passphrase = new_passphrase(passphrase_file, purpose="the backup")
    screen = Screen(as_json)
    with screen.progress("backing up") as progress:
        made = write_backup(place, file, passphrase, progress)
    screen.document({"file": str(made.path), "bytes": made.size, "files": made.files, "height": made.height})
    screen.line(
        f"{made.path}: {show_size(made.size)}, {count_of(made.files, 'file')}, the ledger up to block {made.height}."
    )
    screen.line(
        "It was read back and is whole. It holds the node's keys: keep it, and its passphrase, as you keep those."
    )
    screen.next(f"tally node restore {shlex.quote(str(file))} --home NEWHOME   (to rehearse it)")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    home: HomeOption = HOME,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a node's home back from a backup, checking all of it."""
    from tallystick.node.access import ask_passphrase
    from tallystick.node.backup import restore as read_backup

    screen = Screen(as_json)
    passphrase = ask_passphrase(passphrase_file, purpose="the backup")
    with screen.progress("restoring") as progress:
        made = read_backup(file, home, passphrase, progress)
    screen.document(
        {
            "home": str(made.home.path),
            "files": made.files,
            "height": made.height,
            "operations": made.operations,
            "organisation": made.home.settings.node.organisation,
        }
    )
    screen.line(
        f"{made.home.path}: the node of {made.home.settings.node.organisation}, {count_of(made.files, 'file')}; "
        f"{count_of(made.operations, 'operation')} in {count_of(made.height, 'block')} were replayed and hold."
    )
    screen.line("Never run the old and the restored node at once: they hold the same keys.")
    screen.next(f"tally node run{at(home)}")
