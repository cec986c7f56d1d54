"""`tally delivery`: fetch data under an agreement, see who got what."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.options import HOME, HomeOption, JsonOption, at, client
from tallystick.cli.parties import show_private, show_recorded
from tallystick.cli.screen import Screen, Word, count_of, show_size, show_time
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from tallystick.views import DeliveryView

app = typer.Typer(help="Deliveries: data on its way, encrypted, and what arrived.", no_args_is_help=True)

DeliveryArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the delivery, such as dlv-7kq2m4xa.")]
_COLOURS = {"received": "green", "sent": "yellow", "failed": "red", "mismatched": "red"}


def state_of(delivery: DeliveryView) -> Word:
    """Return the state of a delivery as it is shown, a dispute included."""
    disputed = {"open": ", disputed", "answered": ", dispute answered"}.get(delivery.dispute, "")
    return Word(delivery.state + disputed, "red" if delivery.dispute == "open" else _COLOURS.get(delivery.state, ""))


@app.command()
def fetch(
    what: Annotated[
        str, typer.Argument(metavar="AGREEMENT|DATASET", help="An agreement, or a dataset that there is one on.")
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Folder for the data; by default it stays in the node's inbox."),
    ] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Fetch data under an agreement in force, and verify it.

    Every chunk is verified as it arrives, and the whole against the fingerprint on the ledger.
    """
    screen = Screen(as_json)
    with client(home) as zone, screen.progress(f"fetching {what}") as progress:
        got = zone.fetch(what, to, progress=progress)
    screen.document(got.to_json())
    screen.line(f"{got.dataset}, version {got.version}: {show_size(got.bytes)}, {count_of(got.files, 'file')}.")
    screen.fields(
        [
            ("delivery", got.delivery),
            ("path", got.path),
            ("fingerprint", f"{got.root}, as on the ledger"),
        ]
    )
    show_recorded(screen, got.recorded)
    screen.next(f"tally receipt export {got.delivery} --out {got.delivery}.receipt.json{at(home)}")


@app.command("list")
def list_(
    direction: Annotated[str, typer.Option("--direction", help="Only those that were sent, or received.")] = "",
    agreement: Annotated[str, typer.Option("--agreement", help="Only those under this agreement.")] = "",
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """List what this organisation sent and received, newest first."""
    if direction not in ("", "sent", "received"):
        raise UsageError(f"there is no direction {direction}", remedy="Give sent or received.")
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.deliveries(direction, agreement)
    screen.document(found)
    screen.table(
        ("id", "dataset", "version", "from", "to", "state", "size", "sent"),
        (
            (
                each.id,
                each.dataset,
                each.version,
                each.provider,
                each.consumer,
                state_of(each),
                show_size(each.bytes),
                show_time(each.sent_at),
            )
            for each in found
        ),
        empty="Nothing was sent or received yet.",
    )
    screen.next(f"tally delivery show {found[0].id}{at(home)}" if found else f"tally agreement list{at(home)}")


@app.command()
def show(identifier: DeliveryArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Show a delivery and what was said about it."""
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.delivery(identifier)
        mine = zone.organisation
    screen.document(found)
    screen.fields(
        [
            ("delivery", found.id),
            ("dataset", f"{found.dataset}, version {found.version}"),
            ("agreement", found.agreement),
            ("from", found.provider),
            ("to", found.consumer),
            ("state", state_of(found)),
            ("size", show_size(found.bytes)),
            ("sent", show_time(found.sent_at)),
            ("received", show_time(found.received_at)),
            ("failed", show_time(found.failed_at)),
            ("fingerprint", found.fingerprint),
            ("received root", found.root if found.root != found.fingerprint else "the same"),
            ("path", found.path),
            ("transfer", found.transfer if found.transfer != found.state else ""),
            ("arrived so far", show_size(found.bytes_done) if found.transfer and found.state == "sent" else ""),
            ("trouble", found.error),
        ]
    )
    show_private(screen, found.private)
    if found.dispute == "open" and found.provider == mine:
        screen.next(f'tally delivery answer {found.id} --what "..."{at(home)}')
    else:
        screen.next(f"tally receipt export {found.id}{at(home)}")


@app.command()
def dispute(
    identifier: DeliveryArgument,
    why: Annotated[str, typer.Option("--why", help="What is wrong; the owner alone reads it.")],
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Say that a delivery is not what was agreed.

    What is wrong goes to the owner of the data alone.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.dispute(identifier, why)
    screen.document(found)
    screen.line(f"{found.id} is disputed; {found.provider} is told why.")
    show_recorded(screen, found.recorded)
    screen.next(f"tally delivery show {shlex.quote(found.id)}{at(home)}   (to see what {found.provider} answers)")


@app.command()
def answer(
    identifier: DeliveryArgument,
    what: Annotated[str, typer.Option("--what", help="The answer; the recipient alone reads it.")],
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Answer a dispute."""
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.answer(identifier, what)
    screen.document(found)
    screen.line(f"The dispute of {found.id} is answered; {found.consumer} is told.")
    show_recorded(screen, found.recorded)
    screen.next(f"tally delivery show {found.id}{at(home)}")
