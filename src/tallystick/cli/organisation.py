"""`tally organisation`: who is a member, who wants to be, and voting on both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.options import HOME, HomeOption, JsonOption, at, client, is_remote
from tallystick.cli.parties import show_recorded
from tallystick.cli.screen import Screen, Word, count_of, plain, show_time
from tallystick.errors import PeerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tallystick.sdk import Zone
    from tallystick.views import ApplicationView, MemberView, Vote

app = typer.Typer(help="Organisations: members of the zone, and who wants to join.", no_args_is_help=True)

OrganisationArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the organisation, such as city-hospital.")]


def grouped(fingerprint: str) -> str:
    """Return a fingerprint in groups of four, as people read it to each other."""
    return " ".join(fingerprint[at_ : at_ + 4] for at_ in range(0, len(fingerprint), 4))


def part_of(member: MemberView) -> str:
    """Return what a member does in the zone."""
    return "orders" if member.orders else "validates" if member.validates else "follows"


def own_member(zone: Zone) -> MemberView:
    """Return the entry of the organisation whose node was asked.

    Raises:
        UsageError: it is not a member.
    """
    return zone.organisation(zone.organisation)


@app.command("list")
def list_(home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """List the members, and the applications that wait."""
    screen = Screen(as_json)
    with client(home) as zone:
        members, applications = zone.organisations(), zone.applications()
    screen.document({"organisations": members, "applications": applications})
    screen.table(
        ("id", "name", "part", "status", "address", "member since"),
        (
            (
                f"{each.id} (you)" if each.mine else each.id,
                each.name,
                part_of(each),
                _status(each),
                each.address or "none",
                show_time(each.admitted_at),
            )
            for each in members
        ),
    )
    waiting = [each for each in applications if each.status == "waiting"]
    if not waiting:
        screen.next(f"tally zone invite ORGANISATION{at(home)}")
        return
    screen.line()
    screen.line(
        "They want to join. Compare the fingerprint with them by telephone or in person before you admit anybody:"
    )
    _applications(screen, waiting)
    screen.next(f"tally organisation admit {waiting[0].organisation} --fingerprint THE_ONE_THEY_READ_TO_YOU{at(home)}")


@app.command()
def show(
    identifier: Annotated[
        str | None, typer.Argument(metavar="ID", help="Of the organisation; by default that of this node.")
    ] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Show a member with its keys.

    Without an ID this organisation, with the fingerprint of the card that it applied with.
    """
    screen = Screen(as_json)
    card = None if identifier is not None or is_remote(home) else _own_card(home)
    try:
        with client(home) as zone:
            wanted = identifier or zone.organisation
            members = {each.id: each for each in zone.organisations()}
            member = zone.organisation(wanted) if identifier or wanted in members else None
    except PeerError:
        # Not running yet: what there is to compare is in the home.
        if card is None:
            raise
        member = None
    if card is None and member is None:
        raise UsageError("this organisation is not a member", remedy="See the members: tally organisation list")
    document = {} if member is None else plain(member)
    screen.document(document | ({"card": card} if card else {}))
    if member is not None:
        _show_member(screen, member)
    if card:
        screen.fields(
            [
                ("card of", "" if member else card["organisation"]),
                ("card fingerprint", grouped(card["fingerprint"])),
            ]
        )
    if member is None:
        screen.line(
            "Not a member yet, as far as this node knows: read the fingerprint to a member, who then admits you."
        )
        screen.next(f"tally node status{at(home)}")
    else:
        screen.next(f"tally dataset find --owner {member.id}{at(home)}")


@app.command()
def admit(
    identifier: OrganisationArgument,
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", help="As the applicant read it to you; spaces and case do not matter.")
    ],
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Vote to admit an applicant.

    You heard the fingerprint over another channel; it is compared with that of the card which came in.
    """
    with client(home) as zone:
        vote = zone.admit(identifier, fingerprint)
    _voted(Screen(as_json), vote, "is a member", f"tally organisation show {vote.organisation}{at(home)}")


@app.command()
def suspend(identifier: OrganisationArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Vote to suspend a member.

    Nothing that it signs is accepted until it is reinstated.
    """
    with client(home) as zone:
        vote = zone.suspend(identifier)
    _voted(Screen(as_json), vote, "is suspended", f"tally organisation show {vote.organisation}{at(home)}")


@app.command()
def reinstate(identifier: OrganisationArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Vote to reinstate a suspended member."""
    with client(home) as zone:
        vote = zone.reinstate(identifier)
    _voted(Screen(as_json), vote, "is reinstated", f"tally organisation show {vote.organisation}{at(home)}")


@app.command()
def promote(identifier: OrganisationArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Vote to make a member a validator.

    Where the validators order together, it has announced its engine before: tally node validate.
    """
    with client(home) as zone:
        vote = zone.promote(identifier)
    _voted(Screen(as_json), vote, "is a validator", f"tally organisation show {vote.organisation}{at(home)}")


@app.command()
def demote(identifier: OrganisationArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Vote to take a member out of the validators.

    It stays a member. Who orders alone cannot be taken out.
    """
    with client(home) as zone:
        vote = zone.demote(identifier)
    _voted(Screen(as_json), vote, "is no validator any more", f"tally organisation show {vote.organisation}{at(home)}")


@app.command()
def address(
    where: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="Where other members reach this node; '' for nowhere.")
    ],
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Register where other members reach this node.

    Where it listens, `peers.listen` in tally.toml says.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        recorded = zone.set_address(where)
    screen.document(recorded)
    screen.line(f"Others reach this node at {where}." if where else "Others do not reach this node any more.")
    show_recorded(screen, recorded)
    screen.next(f"tally organisation show{at(home)}")


@app.command()
def rename(
    name: Annotated[str, typer.Argument(metavar="NAME", help="How people call this organisation.")],
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Register another name for this organisation; its id stays."""
    screen = Screen(as_json)
    with client(home) as zone:
        recorded = zone.rename(name)
    screen.document(recorded)
    screen.line(f"This organisation is called {name} now.")
    show_recorded(screen, recorded)
    screen.next(f"tally organisation show{at(home)}")


def _own_card(home: Path) -> dict[str, str] | None:
    """Return what people compare of the card that a home applied with; None where it did not apply."""
    from tallystick.node.homes import Home
    from tallystick.node.inspection import own_card

    return own_card(Home(home))


def _status(member: MemberView) -> Word:
    return Word(member.status, "green" if member.status == "active" else "red")


def _show_member(screen: Screen, member: MemberView) -> None:
    screen.fields(
        [
            ("organisation", f"{member.id} (you)" if member.mine else member.id),
            ("name", member.name),
            ("part", part_of(member)),
            ("status", _status(member)),
            ("address", member.address or "none: it makes its own connections"),
            ("engine", "" if member.engine is None else f"{member.engine.address}, key {member.engine.consensus}"),
            ("member since", show_time(member.admitted_at)),
            ("suspended", show_time(member.suspended_at)),
            ("encryption key", member.encryption),
            *(("TLS key", pin) for pin in member.tls_pins),
        ]
    )
    columns = ("role", "key", "added", "held here") if member.mine else ("role", "key", "added")
    screen.table(
        columns,
        (
            (", ".join(each.roles), each.key, show_time(each.added_at), "yes" if each.held_here else "no")[
                : len(columns)
            ]
            for each in member.keys
        ),
        empty="It has no keys in force.",
    )


def _applications(screen: Screen, waiting: Sequence[ApplicationView]) -> None:
    for each in waiting:
        screen.fields(
            [
                ("organisation", each.organisation),
                ("name", each.name),
                ("address", each.address or "none"),
                ("applied", show_time(each.received_at)),
                ("votes", ", ".join(each.votes)),
                ("fingerprint", grouped(each.fingerprint)),
            ]
        )
        screen.line()


def _voted(screen: Screen, vote: Vote, what: str, after: str) -> None:
    screen.document(vote)
    if vote.carried:
        screen.line(f"{vote.organisation} {what}: {count_of(vote.votes, 'vote')} of {vote.validators}.")
    else:
        screen.line(
            f"Your vote on {vote.organisation} is recorded: {vote.votes} of {vote.validators}; "
            "more than two thirds are needed."
        )
    show_recorded(screen, vote.recorded)
    screen.next(after)
