"""Where several order together: they make a zone, order, and go on when one of them is gone."""

from __future__ import annotations

from functools import partial

from tallystick.cli.demo.player import Player
from tallystick.cli.demo.scenes_proofs import keep_receipt
from tallystick.cli.demo.scenes_sharing import WEATHER
from tallystick.cli.demo.scenes_zone import same_history
from tallystick.cli.demo.stage import Stage, expect, number_word, wait_for
from tallystick.cli.demo.telling import Scene, Teller
from tallystick.node.inspection import check
from tallystick.node.network import create_network
from tallystick.views import OperationView

_FORECAST = "Price crop insurance by the weather."


def enough(validators: int) -> int:
    """Return how many of so many that order are more than two thirds."""
    return validators * 2 // 3 + 1


def make_zone(stage: Stage, teller: Teller, scene: Scene) -> None:
    """All make a zone: a genesis that names each of them, and a home for each."""
    homes = create_network(stage.directory, validators=stage.validators, name="Demo", organisations=list(stage.players))
    stage.enter(homes)
    chain = homes[0].read_trust().chain
    names = [player.name for player in stage.players.values()]
    teller.done(f"The zone {chain} is made by {', '.join(names[:-1])} and {names[-1]}: its genesis names them all.")
    teller.note(
        "Each has a home with keys of its own. They lie under one passphrase here, for the demo only: for real, each "
        "organisation makes its own home on its own machine."
    )
    scene.facts |= {"chain": chain, "validators": list(stage.players)}


def order_together(stage: Stage, teller: Teller, scene: Scene) -> None:
    """Their nodes start, find each other, and make the first block."""
    count = number_word(stage.validators)
    stage.start()
    teller.done("Their nodes run, each with an engine, a home, keys and a copy of the record of its own.")
    for player in stage.players.values():
        wait_for(partial(_takes_part, player), f"{player.name} orders together with the others")
    members = stage.agency.zone.organisations()
    expect(len(members) == stage.validators, f"every copy lists {count} members")
    expect(all(each.orders for each in members), "all of them order")
    needed = enough(stage.validators)
    teller.done(
        f"All {count} order together: each executes every block, and signs it with its own key. "
        f"{number_word(needed).capitalize()} signatures are enough, and fewer prove nothing."
    )
    teller.note(f"No one is in charge: {number_word(stage.validators - needed)} of them may be down, or hostile.")
    scene.facts |= {"members": [each.id for each in members], "enough": needed}


def lose_one(stage: Stage, teller: Teller, scene: Scene) -> None:
    """One node is killed; the others record something meanwhile; it comes back and has it."""
    lost, bank, others = stage.agency, stage.bank, [each for each in stage.players.values() if each != stage.agency]
    lost.kill()
    teller.done(f"{lost.name}'s node is killed (kill -9, every process of it).")
    asked = bank.zone.request(WEATHER, _FORECAST)
    expect(asked.agreement, "the terms of the weather need nobody's approval")
    teller.done(f"{bank.name} asks for {WEATHER} all the same, and {asked.agreement} is in force.")
    operation = wait_for(partial(newest, bank), "the bank's copy has its request")
    expect(operation.type == "send_request", "the newest operation is the request")
    receipt = keep_receipt(stage, bank, operation)
    expect(lost.organisation not in receipt.verified.orderers, "who is gone has not signed")
    teller.done(f"Its receipt verifies: {receipt.verified.summary}, {lost.name} not among them.")
    for player in others:
        wait_for(partial(_has, player, operation.leaf), f"{player.name} has the request")
    lost.start()
    wait_for(partial(_has, lost, operation.leaf), f"{lost.name} has caught up")
    wait_for(partial(same_history, stage), "all copies are the same")
    report = check(lost.home)
    expect(report.ok, f"the ledger of {lost.name}: {report.first}")
    teller.done(f"{lost.name}'s node is back, has the block that it missed, and its whole copy is in order.")
    scene.facts |= {
        "killed": lost.organisation,
        "agreement": asked.agreement,
        "orderers": list(receipt.verified.orderers),
        "summary": receipt.verified.summary,
    }


def _takes_part(player: Player) -> bool:
    """Tell whether a node has a block of its own and hears all others."""
    player.check_running()
    return player.zone.status().height > 0 and not player.zone.standing().trouble


def newest(player: Player) -> OperationView | None:
    """Return what an organisation's own copy has last."""
    return next(iter(player.zone.operations(limit=1)), None)


def _has(player: Player, leaf: int) -> bool:
    player.check_running()
    return player.zone.status().size > leaf
