"""`tally network`: a whole zone of several organisations on this machine, for trying, testing and measuring."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from tallystick.cli.engine import ensure_engine
from tallystick.cli.options import JsonOption
from tallystick.cli.screen import Screen, clean, show_time

app = typer.Typer(help="A whole zone on this machine, to try and measure.", no_args_is_help=True)
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the network.")]


@app.command()
def create(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder; must be empty or absent.")],
    validators: Annotated[
        int, typer.Option("--validators", min=1, max=100, help="Organisations that order together.")
    ] = 4,
    replicas: Annotated[int, typer.Option("--replicas", min=0, max=100, help="Members with full copies besides.")] = 0,
    organisations: Annotated[
        Path | None, typer.Option("--organisations", metavar="FILE", help="Ids to use, one a line, validators first.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the zone, for people.")] = "Local Network",
    as_json: JsonOption = False,
) -> None:
    """Make the homes of a network, one for each organisation.

    All keys are on this machine under one passphrase, in DIR/passphrase: for real, each organisation makes its own home.
    """
    from tallystick.node.network import create_network

    ids = (
        []
        if organisations is None
        else [line.strip() for line in organisations.read_text().splitlines() if line.strip()]
    )
    screen = Screen(as_json)
    homes = create_network(directory, validators=validators, replicas=replicas, name=name, organisations=ids)
    screen.document(
        {
            "directory": str(directory),
            "trust_file": str(directory / "zone.json"),
            "members": [
                {
                    "organisation": home.settings.node.organisation,
                    "role": home.settings.node.role,
                    "home": str(home.path),
                }
                for home in homes
            ],
        }
    )
    screen.table(
        ["organisation", "role", "home"],
        [(home.settings.node.organisation, home.settings.node.role, home.path) for home in homes],
    )
    screen.next(f"tally network up {shlex.quote(str(directory))}")


@app.command()
def up(directory: Directory, as_json: JsonOption = False) -> None:
    """Start every node of the network, and return when all answer."""
    from tallystick.node.network import members, wait_until_up
    from tallystick.node.network import up as start_all

    screen = Screen(as_json)
    if any(member.role == "validator" for member in members(directory)):
        ensure_engine(screen)
    started = start_all(directory)
    wait_until_up(directory)
    screen.document({"members": [{"organisation": each.organisation, "pid": each.pid} for each in started]})
    screen.line(f"{len(started)} nodes run.")
    screen.next(f"tally network status {shlex.quote(str(directory))}")


@app.command()
def down(directory: Directory, as_json: JsonOption = False) -> None:
    """Stop every node of the network."""
    from tallystick.node.network import down as stop_all

    stopped = stop_all(directory)
    screen = Screen(as_json)
    screen.document({"stopped": stopped})
    screen.line(f"{stopped} nodes were stopped.")
    screen.next(f"tally network up {shlex.quote(str(directory))}")


@app.command()
def status(directory: Directory, as_json: JsonOption = False) -> None:
    """Tell how every node of the network does."""
    from tallystick.errors import NodeError
    from tallystick.node.network import members
    from tallystick.sdk import connect

    screen = Screen(as_json)
    rows = []
    for member in members(directory):
        row: dict[str, object] = {"organisation": member.organisation, "role": member.role, "state": "stopped"}
        if member.pid is not None:
            try:
                with connect(home=member.home) as zone:
                    told = zone.status()
                trouble = told.engine.trouble if told.engine is not None else ""
                row |= {
                    "state": told.alarm or trouble or "runs",
                    "height": told.height,
                    "size": told.size,
                    "time": told.time,
                }
                row |= {"waiting": told.waiting, "lag": told.lag}
            except NodeError as error:
                row |= {"state": error.message}
        rows.append(row)
    screen.document({"members": rows})
    screen.table(
        ["organisation", "role", "state", "height", "entries", "waiting", "last block"],
        [
            (
                row["organisation"], row["role"], row["state"], row.get("height", ""), row.get("size", ""),
                row.get("waiting", ""), show_time(int(str(row.get("time", 0)))),
            )
            for row in rows
        ],
    )  # fmt: skip
    screen.next(f"tally network logs {shlex.quote(str(directory))}")


@app.command()
def logs(
    directory: Directory,
    lines: Annotated[int, typer.Option("--lines", min=1, max=10_000, help="How many of the newest of each.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what the nodes and their engines wrote, in the order of time."""
    from tallystick.node.log_files import LogFiles

    files = LogFiles(directory)
    found = files.newest(lines)
    while True:
        for each in found:
            _print_line(each.organisation, each.line, as_json)
        if not follow:
            break
        time.sleep(0.3)
        found = files.more()


def _print_line(organisation: str, line: str, as_json: bool) -> None:
    """Print a line with its organisation; with --json one JSON object a line."""
    print(
        json.dumps({"organisation": organisation, "line": line}) if as_json else f"{organisation}  {clean(line)}",
        flush=True,
    )
