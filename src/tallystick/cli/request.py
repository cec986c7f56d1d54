"""`tally request`: ask for data, and decide what others ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.options import HOME, HomeOption, JsonOption, at, client, read_terms
from tallystick.cli.parties import show_private, show_recorded, show_terms
from tallystick.cli.screen import Screen, Word, show_time
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from tallystick.sdk import Zone
    from tallystick.views import RequestView

app = typer.Typer(help="Requests for data, and the negotiation of their terms.", no_args_is_help=True)

RequestArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the request, such as req-7kq2.")]
TermsOption = Annotated[
    str | None,
    typer.Option(
        "--terms", metavar="PRESET|FILE", help="Other terms than those on the table: a preset, or an ODRL policy."
    ),
]
CommentOption = Annotated[str, typer.Option("--comment", help="For the other party alone.")]
_COLOURS = {"approved": "green", "rejected": "red", "cancelled": "red", "expired": "red"}
_DIRECTIONS = ("", "sent", "received")


def state_of(request: RequestView) -> Word:
    """Return the state of a request as it is shown: how it was decided, or how far it is."""
    word = request.decision or request.state.lower()
    return Word(word, _COLOURS.get(word, "yellow"))


@app.command()
def send(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Its name, such as city-hospital/discharges-2024.")],
    purpose: Annotated[
        str, typer.Option("--purpose", help="What the data is for. You sign it; its owner alone reads it.")
    ],
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="One version alone; by default the latest at each delivery.")
    ] = None,
    terms: TermsOption = None,
    comment: CommentOption = "",
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Ask for a dataset, on its terms or on others."""
    screen = Screen(as_json)
    with client(home) as zone:
        sent = zone.request(dataset, purpose, version=version, proposal=terms and read_terms(terms), comment=comment)
    screen.document(sent)
    if sent.agreement:
        screen.line(f"{sent.id}: approved at once, as the terms say; the agreement is {sent.agreement}.")
    else:
        screen.line(f"{sent.id}: {sent.provider} is asked for {sent.dataset}, until {show_time(sent.expires)}.")
    show_recorded(screen, sent.recorded)
    if sent.agreement:
        screen.next(f"tally delivery fetch {sent.agreement}{at(home)}")
    else:
        screen.next(f"tally request show {sent.id}{at(home)}   (to see what {sent.provider} decides)")


@app.command("list")
def list_(
    direction: Annotated[str, typer.Option("--direction", help="Only those that were sent, or received.")] = "",
    state: Annotated[str, typer.Option("--state", help="Only those in this state now, such as requested.")] = "",
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that wait for this organisation.")] = False,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """List requests that were sent or received, newest first."""
    if direction not in _DIRECTIONS:
        raise UsageError(f"there is no direction {direction}", remedy="Give sent or received.")
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.requests(direction, state.upper(), waiting)
        mine = zone.organisation
    screen.document(found)
    screen.table(
        ("id", "dataset", "from", "to", "state", "waits for", "changed"),
        (
            (
                each.id,
                each.dataset,
                each.consumer,
                each.provider,
                state_of(each),
                "you" if each.turn == mine else each.turn,
                show_time(each.changed_at),
            )
            for each in found
        ),
        empty="No requests yet.",
    )
    chosen = next((each for each in found if each.turn == mine), found[0] if found else None)
    screen.next(f"tally request show {chosen.id}{at(home)}" if chosen else f"tally dataset list --all{at(home)}")


@app.command()
def show(identifier: RequestArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Show a request, its terms and what was said under it.

    What was said is for the parties alone: of the requests of others only the commitment is shown.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.show_request(identifier)
        mine = zone.organisation
    screen.document(found)
    screen.fields(
        [
            ("request", found.id),
            ("dataset", found.dataset if found.version is None else f"{found.dataset}, version {found.version}"),
            ("from", found.consumer),
            ("to", found.provider),
            ("state", state_of(found)),
            ("decided by", found.decided_by),
            ("waits for", "you" if found.turn == mine else found.turn),
            ("asked", show_time(found.requested_at)),
            ("changed", show_time(found.changed_at)),
            ("to decide by", show_time(found.expires) if found.turn else ""),
            ("agreement", found.agreement),
        ]
    )
    show_terms(screen, found.terms_summary)
    show_private(screen, found.private)
    if found.turn == mine:
        screen.next(f"tally request approve {found.id}{at(home)}   (or counter, or reject --why)")
    elif found.agreement:
        screen.next(f"tally agreement show {found.agreement}{at(home)}")
    elif found.turn:
        screen.next(f"tally request cancel {found.id}{at(home)}   (to take it back)")
    else:
        screen.next(f"tally receipt export {found.id}{at(home)}")


@app.command()
def approve(identifier: RequestArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Approve the terms on the table: an agreement comes of it."""
    screen = Screen(as_json)
    with client(home) as zone:
        decided = zone.approve(identifier)
        fetches = decided.consumer == zone.organisation
    screen.document(decided)
    screen.line(f"{decided.id} is approved; the agreement is {decided.agreement}.")
    show_recorded(screen, decided.recorded)
    verb = "delivery fetch" if fetches else "agreement show"
    screen.next(f"tally {verb} {decided.agreement}{at(home)}")


@app.command()
def counter(
    identifier: RequestArgument,
    terms: Annotated[
        str, typer.Option("--terms", metavar="PRESET|FILE", help="The terms that you put: a preset, or an ODRL policy.")
    ],
    comment: CommentOption = "",
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Put other terms to the other party."""
    policy = read_terms(terms)
    screen = Screen(as_json)
    with client(home) as zone:
        decided = zone.counter(identifier, policy, comment)
    screen.document(decided)
    screen.line(f"{decided.id}: other terms are put to {decided.turn}.")
    show_terms(screen, decided.terms_summary)
    show_recorded(screen, decided.recorded)
    screen.next(f"tally request show {decided.id}{at(home)}")


@app.command()
def reject(
    identifier: RequestArgument,
    why: Annotated[str, typer.Option("--why", help="The reason; the other party alone reads it.")],
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Reject a request; the reason goes to the other party alone."""
    with client(home) as zone:
        _ended(zone, zone.reject(identifier, why), "is rejected", home_option=at(home), as_json=as_json)


@app.command()
def cancel(identifier: RequestArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Take back a request that this organisation sent."""
    with client(home) as zone:
        _ended(zone, zone.cancel(identifier), "is taken back", home_option=at(home), as_json=as_json)


def _ended(zone: Zone, decided: RequestView, what: str, *, home_option: str, as_json: bool) -> None:
    screen = Screen(as_json)
    screen.document(decided)
    other = decided.provider if decided.consumer == zone.organisation else decided.consumer
    screen.line(f"{decided.id} {what}; {other} sees it on the ledger.")
    show_recorded(screen, decided.recorded)
    screen.next(f"tally receipt export {decided.id}{home_option}")
