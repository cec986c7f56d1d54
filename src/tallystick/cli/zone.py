"""`tally zone`: make a zone, see how it does, invite others."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.options import HOME, HomeOption, JsonOption, PassphraseOption, at, client, new_file
from tallystick.cli.organisation import part_of
from tallystick.cli.screen import Screen, Word, count_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tallystick.views import MemberView, Standing, Status

app = typer.Typer(help="The zone: its members and how well it is witnessed.", no_args_is_help=True)
_FAULT_TOLERANT = 4


@app.command()
def create(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Home of the first node; must be empty or absent.")],
    name: Annotated[str, typer.Option("--name", help="Name of the zone, for people.")],
    organisation: Annotated[str, typer.Option("--organisation", help="Id of the first member, such as city-hospital.")],
    organisation_name: Annotated[
        str, typer.Option("--organisation-name", help="Its name, for people; by default made of the id.")
    ] = "",
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="Where other members' nodes reach this one.")
    ] = "",
    api: Annotated[
        str, typer.Option("--api", metavar="HOST:PORT", help="Where this node's own API listens, on loopback.")
    ] = "127.0.0.1:7070",
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a zone of one organisation, and the home of its node."""
    from tallystick.node.access import new_passphrase
    from tallystick.node.homes import create_zone

    home = create_zone(
        directory,
        name=name,
        organisation=organisation,
        organisation_name=organisation_name or organisation.replace("-", " ").title(),
        passphrase=new_passphrase(passphrase_file),
        created_ms=time.time_ns() // 1_000_000,
        address=address,
        api_listen=api,
    )
    trust = home.read_trust()
    screen = Screen(as_json)
    screen.document(
        {
            "home": str(home.path),
            "chain": trust.chain,
            "organisation": organisation,
            "trust_file": str(home.trust_path),
            "fingerprint": trust.fingerprint,
        }
    )
    screen.line(f"The zone {trust.chain} is made; {organisation} orders for it.")
    screen.fields(
        [
            ("home", home.path),
            ("trust file", home.trust_path),
            ("fingerprint", trust.fingerprint),
            ("reached at", address or "by nobody: no --address was given"),
        ]
    )
    screen.next(f"tally node run{at(directory)}")


@app.command()
def status(home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Show the members, who orders, and who has witnessed what."""
    screen = Screen(as_json)
    with client(home) as zone:
        now, standing, members, trust = zone.status(), zone.standing(), zone.organisations(), zone.trust
        applications = [each for each in zone.applications() if each.status == "waiting"]
    orderers = [each.id for each in members if each.orders]
    screen.document(
        {
            "chain": now.chain,
            "orderers": orderers,
            "members": len(members),
            "size": now.size,
            "witnessed": now.witnessed,
            "needed": standing.needed,
            "trust_version": now.trust_version,
            "trust_fingerprint": trust.fingerprint,
            "applications": applications,
            "standing": standing,
            "organisations": members,
        }
    )
    behind = now.size - now.witnessed
    screen.fields(
        [
            ("zone", now.chain),
            ("ordered by", ", ".join(orderers)),
            ("members", len(members)),
            ("history", f"{count_of(now.size, 'operation')} in {count_of(now.height, 'block')}"),
            ("quorum", _quorum(len(orderers), standing.needed, len(members) - len(orderers))),
            ("witnessed", Word(f"{now.witnessed:,} of {now.size:,}", "yellow" if behind else "green")),
            ("trust", f"version {now.trust_version}" + (f", {now.trust_pending} pending" if now.trust_pending else "")),
            ("fingerprint", trust.fingerprint),
            ("alarm", Word(now.alarm, "red") if now.alarm else ""),
        ]
    )
    screen.table(
        ("organisation", "part", "status", "block", "history", "witnessed", "state"), _rows(now, standing, members)
    )
    if applications:
        screen.line(f"{count_of(len(applications), 'application')} to decide.")
        screen.next(f"tally organisation list{at(home)}")
    else:
        screen.next(f"tally ledger log{at(home)}")


def _quorum(orderers: int, needed: int, others: int) -> str:
    """Return who must have signed what a receipt proves."""
    witnesses = f"{needed} of {others} other members must witness a receipt"
    if orderers == 1:
        return witnesses
    ordering = f"more than two thirds of the {orderers} that order must sign a receipt"
    return f"{ordering}, {witnesses}" if needed else ordering


def _rows(now: Status, standing: Standing, members: tuple[MemberView, ...]) -> Iterator[tuple[object, ...]]:
    """Yield a row for each member: what is known of its node."""
    heard = {each.organisation: each for each in standing.nodes}
    for member in members:
        node = heard.get(member.id)
        state = Word("not heard of yet", "yellow")
        if member.id == now.organisation:
            state = Word("this node", "green")
            yield member.id, part_of(member), member.status, now.height, now.size, "", state
            continue
        if node is None:
            yield member.id, part_of(member), member.status, "", "", "", state
            continue
        if node.forks:
            state = Word(f"keeps {count_of(node.forks, 'fork proof')}", "red")
        elif node.trouble:
            state = Word(node.trouble, "yellow")
        elif node.height:
            state = Word("well", "green")
        # Who orders signs headers; the others witness.
        witnessed = "" if member.orders else node.witnessed
        yield member.id, part_of(member), member.status, node.height, node.size, witnessed, state


@app.command()
def grow(home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Agree that all validators order together from now on.

    Typed at each validator's node, after each has announced its engine (tally node validate). The last one makes it so: the
    next block is ordered by all, the history goes on, and each node starts its engine by itself.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        vote = zone.hand_over()
        members = zone.organisations()
    screen.document(vote)
    if vote.carried:
        count = sum(1 for each in members if each.validates)
        screen.line(f"The {count_of(count, 'validator')} order together after block {vote.recorded.height}.")
        if count < _FAULT_TOLERANT:
            screen.line("With fewer than four of them, all must be there: four bear the loss of one.")
        screen.line("Receipts from before are made anew with: tally receipt refresh FILE")
        screen.next(f"tally zone status{at(home)}")
    else:
        screen.line(f"Agreed: {vote.votes} of {count_of(vote.validators, 'validator')}; all of them must.")
        screen.next("tally zone grow   (at the nodes of the others)")


@app.command()
def invite(
    organisation: Annotated[
        str, typer.Argument(metavar="ORGANISATION", help="Id that the new member is to have, such as river-university.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to; by default ORGANISATION.invitation.json here."),
    ] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Write an invitation. Nothing secret is in it: who joins is decided when the fingerprints are compared."""
    from tallystick.node.homes import Home
    from tallystick.node.join import decode_invitation
    from tallystick.node.join import invite as make_invitation

    data = make_invitation(Home(home), organisation)
    place = Path(f"{organisation}.invitation.json") if out is None else out
    with new_file(place) as file:
        file.write(data)
    invitation = decode_invitation(data)
    screen = Screen(as_json)
    screen.document(
        {
            "file": str(place),
            "chain": invitation.chain,
            "organisation": invitation.invited,
            "inviter": invitation.inviter,
            "nodes": [{"organisation": each.organisation, "address": each.address} for each in invitation.nodes],
            "trust_fingerprint": invitation.trust,
        }
    )
    screen.line(f"{place}: {invitation.inviter} invites {invitation.invited} to the zone {invitation.chain}.")
    screen.fields(
        [
            ("to ask", ", ".join(f"{each.organisation} at {each.address}" for each in invitation.nodes)),
            ("trust fingerprint", invitation.trust),
        ]
    )
    screen.line("Send it in a way that nobody can alter unnoticed. On the other machine, they type:")
    screen.line(f"  tally node join {shlex.quote(place.name)} --address HOST:PORT")
    screen.next(f"tally organisation list{at(home)}   (when they have applied)")
