"""`tally node validate` and `tally node repair`: a node that orders together with others, and one that lost something."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.engine import ensure_engine
from tallystick.cli.options import HOME, HomeOption, JsonOption, at, client, is_remote
from tallystick.cli.organisation import own_member
from tallystick.cli.parties import show_recorded
from tallystick.cli.screen import Screen
from tallystick.errors import UsageError


def validate(
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where its engine listens for the other validators'.")
    ],
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="Where they reach it; by default the same.")
    ] = "",
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Announce this node's engine, so that it can validate.

    Makes the engine's keys, registers them, and sets the role in tally.toml. The validators then vote: tally organisation
    promote.
    """
    from tallystick.node.homes import Home
    from tallystick.node.validating import prepare_announcement, set_up_role

    if is_remote(home):
        raise UsageError("this is done on the machine of the node", remedy="Unset TALLY_URL, and name the home.")
    screen = Screen(as_json)
    ensure_engine(screen)
    place = Home(home)
    announced = prepare_announcement(place, address or listen)
    recorded = None
    with client(home) as zone:
        member = own_member(zone)
        now = member.engine
        known = now is not None and (now.consensus, now.node, now.address) == announced[:3]
        with set_up_role(place, listen):
            if not known:
                recorded = zone.set_engine(*announced)
    shown = announced._asdict()
    del shown["proof"]
    screen.document({**shown, "listen": listen, "validates": member.validates, "recorded": recorded})
    screen.line(f"The engine of {member.id} is announced: its key is {announced.consensus}.")
    if recorded is not None:
        show_recorded(screen, recorded)
    if recorded is not None:
        screen.line("Where validators order together, the node starts its engine by itself, which then catches up.")
    else:
        screen.line("It was before. The role is in tally.toml; stop the node and start it again if it follows still.")
    if member.validates:
        screen.next(f"tally node status{at(home)}")
    else:
        screen.next(f"tally organisation promote {member.id}   (at the node of each validator)")


def repair(
    engine: Annotated[
        bool, typer.Option("--engine", help="Let the engine begin anew, though its blocks are there.")
    ] = False,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Put damaged files aside, to be fetched anew.

    Only while the node does not run. What the engine signed last is never reset: where it is lost, its key is replaced.
    """
    from tallystick.node.homes import Home
    from tallystick.node.repair import repair as repair_home

    screen = Screen(as_json)
    done = repair_home(Home(home), engine=engine)
    screen.document({"home": str(home), "done": done})
    for line in done:
        screen.line(line)
    if not done:
        screen.line("Nothing is to be repaired, as far as the last block shows.")
        screen.next(f"tally ledger check{at(home)}")
        return
    screen.next(f"tally node run{at(home)}")
