"""`tally agreement`: what an owner and a requester both signed."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.options import HOME, HomeOption, JsonOption, at, client
from tallystick.cli.parties import show_private, show_recorded, show_terms
from tallystick.cli.screen import Screen, Word, show_time

app = typer.Typer(help="Agreements: what an owner and a requester both signed.", no_args_is_help=True)

AgreementArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the agreement, such as agr-7kq2.")]
_COLOURS = {"in_force": "green", "pending": "yellow"}


def state_of(state: str) -> Word:
    """Return the state of an agreement as it is shown."""
    return Word(state.replace("_", " "), _COLOURS.get(state, ""))


@app.command("list")
def list_(
    state: Annotated[
        str, typer.Option("--state", help="Only those that are in_force, pending, ended or terminated now.")
    ] = "",
    dataset: Annotated[str, typer.Option("--dataset", help="Only those on this dataset.")] = "",
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """List the agreements of this organisation."""
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.agreements(state.replace(" ", "_"), dataset)
    screen.document(found)
    screen.table(
        ("id", "dataset", "owner", "recipient", "state", "from", "until"),
        (
            (
                each.id,
                each.dataset,
                each.provider,
                each.consumer,
                state_of(each.state),
                show_time(each.begins),
                show_time(each.ends) or "no end",
            )
            for each in found
        ),
        empty="No agreements yet: they come of requests.",
    )
    screen.next(f"tally agreement show {found[0].id}{at(home)}" if found else f"tally request list{at(home)}")


@app.command()
def show(identifier: AgreementArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Show an agreement, its terms and what was said under it.

    What was said is for the parties alone: of the agreements of others only the commitment is shown.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.agreement(identifier)
        fetches = found.consumer == zone.organisation
    screen.document(found)
    screen.fields(
        [
            ("agreement", found.id),
            ("dataset", found.dataset if found.version is None else f"{found.dataset}, version {found.version}"),
            ("owner", found.provider),
            ("recipient", found.consumer),
            ("state", state_of(found.state)),
            ("agreed", show_time(found.agreed_at)),
            ("from", show_time(found.begins)),
            ("until", show_time(found.ends) or "no end"),
            ("terminated", show_time(found.terminated_at)),
            ("by", found.terminated_by),
            ("request", found.request),
        ]
    )
    show_terms(screen, found.terms_summary)
    show_private(screen, found.private)
    if found.state == "in_force" and fetches:
        screen.next(f"tally delivery fetch {found.id}{at(home)}")
    else:
        screen.next(f"tally receipt export {found.id}{at(home)}")


@app.command()
def terminate(
    identifier: AgreementArgument,
    why: Annotated[str, typer.Option("--why", help="The reason; the other party alone reads it.")],
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """End an agreement: nothing more is delivered under it.

    Copies that were made remain where they are.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.terminate(identifier, why)
    screen.document(found)
    screen.line(f"{found.id} is terminated: no more of {found.dataset} is delivered to {found.consumer}.")
    show_recorded(screen, found.recorded)
    screen.next(f"tally receipt export {found.id}{at(home)}")
