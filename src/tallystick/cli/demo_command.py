"""`tally demo`: the main job, end to end, on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tallystick.cli.options import JsonOption


def demo(
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="A new folder for all of it; named by the time if missing."),
    ] = None,
    validators: Annotated[
        int | None,
        typer.Option(
            "--validators",
            metavar="N",
            min=4,
            max=12,
            help="How many order together, on the distributed engine; by default one orders for all.",
        ),
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Leave the nodes running at the end, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Share real data between organisations, and catch frauds.

    Four organisations are made on this machine, and three frauds are tried.

    Each organisation is a node of its own. Data is offered, found, requested, approved and rejected, delivered and
    verified; then a ledger and a receipt are tampered with, and an orderer tries to show two histories. With
    --validators, all of them order together, and one of them is killed meanwhile.
    """
    from tallystick.cli.demo.play import play
    from tallystick.cli.engine import ensure_engine
    from tallystick.cli.screen import Screen

    if validators is not None:
        ensure_engine(Screen(as_json))
    raise typer.Exit(play(directory, validators=validators or 0, serve=serve, as_json=as_json))
