"""`tally engine`: the distributed engine's program, which validators run beside their node."""

from __future__ import annotations

import sys

import typer

from tallystick.cli.options import JsonOption
from tallystick.cli.screen import Screen

app = typer.Typer(help="The program with which several organisations order together.", no_args_is_help=True)


def ensure_engine(screen: Screen) -> None:
    """Build the engine for a command that needs it, unless it is there: ask before, where somebody can answer.

    Raises:
        NodeError: it cannot be built.
    """
    from tallystick.node.engine import find_engine, install_engine

    if find_engine() is not None:
        return
    if sys.stdin.isatty() and not screen.as_json:
        typer.confirm(
            "The distributed engine is not installed. Build it now (a minute or two)?", default=True, abort=True
        )
    else:
        screen.line("The distributed engine is not installed; it is built now.")
    install_engine(screen.line)


@app.command()
def install(as_json: JsonOption = False) -> None:
    """Build the engine from its published source.

    It is one pinned version of CometBFT, verified, four of its constants put right, and kept for this user; with it comes
    a program that checks signatures faster. That takes a minute or two the first time. A Go compiler is used if there is
    one, and fetched for this alone if not.
    """
    from tallystick.node.engine import ENGINE_BUILD, find_engine, install_engine

    screen = Screen(as_json)
    found = find_engine()
    if found is None:
        found = install_engine(lambda text: screen.line(text))
    screen.document({"path": str(found), "version": ENGINE_BUILD})
    screen.line(f"CometBFT {ENGINE_BUILD} is at {found}.")
    screen.next("tally network create net --validators 4")


@app.command()
def show(as_json: JsonOption = False) -> None:
    """Tell whether the engine is installed, and what checks signatures."""
    from tallystick.node.engine import ENGINE_BUILD, find_engine, find_verifier

    found, verifier = find_engine(), find_verifier()
    screen = Screen(as_json)
    paths = {"path": found, "verifier": verifier}
    screen.document({name: path and str(path) for name, path in paths.items()} | {"version": ENGINE_BUILD})
    screen.fields(
        [
            ("version", ENGINE_BUILD),
            ("program", found or "not installed"),
            ("signatures", verifier or "by libsodium, which comes with this package"),
        ]
    )
    screen.next("tally engine install" if found is None else "tally network create net --validators 4")
