"""The zone: one organisation makes it, three join, and in the end every copy of its record is checked."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from tallystick.cli.demo.player import Player
from tallystick.cli.demo.stage import Stage, expect, wait_for
from tallystick.cli.demo.telling import Scene, Teller
from tallystick.node.homes import Home, create_zone
from tallystick.node.inspection import check
from tallystick.node.join import invite, join

_SHOWN_FINGERPRINT = 16


def make_zone(stage: Stage, teller: Teller, scene: Scene) -> None:
    """City Hospital makes a zone of one and runs its node."""
    hospital = stage.hospital
    home = create_zone(
        hospital.home,
        name="Demo",
        organisation=hospital.organisation,
        organisation_name=hospital.name,
        passphrase=hospital.passphrase,
        created_ms=time.time_ns() // 1_000_000,
        address=hospital.address,
        api_listen=hospital.api,
    )
    chain = home.read_trust().chain
    teller.done(f"The zone {chain} is made. {hospital.name}'s keys were made in its home and are encrypted there.")
    hospital.start()
    teller.done(f"Its node runs, and orders for the zone; other nodes reach it at {hospital.address}.")
    scene.facts |= {"chain": chain, "orderer": hospital.organisation}


def join_all(stage: Stage, teller: Teller, scene: Scene) -> None:
    """Three organisations join as real ones do: invitation, application, fingerprint compared, admission, node."""
    joining = [player for player in stage.players.values() if player is not stage.hospital]
    for player in joining:
        fingerprint = _apply(stage, player)
        seen = [each for each in stage.hospital.zone.applications() if each.organisation == player.organisation]
        expect([fingerprint] == [each.fingerprint for each in seen], "the fingerprints on both sides are the same")
        vote = stage.hospital.zone.admit(player.organisation, fingerprint)
        expect(vote.carried, f"{player.name} is admitted")
        teller.done(
            f"{player.name} was invited and reads out {_spaced(fingerprint)} …; "
            f"{stage.hospital.name} sees the same, and admits it."
        )
        player.begin_start()
    for player in joining:
        player.finish_start()
    teller.done("Their nodes run, each a process with a home, keys and a copy of the record of its own.")
    for player in stage.players.values():
        wait_for(partial(_is_settled, player, len(stage.players)), f"{player.name} has caught up")
    members = stage.agency.zone.organisations()
    expect(len(members) == len(stage.players), "every copy lists four members")
    needed = stage.agency.zone.standing().needed
    teller.done(f"Every copy lists {len(members)} members; a receipt now needs {needed} witnesses besides the orderer.")
    scene.facts |= {"members": [each.id for each in members], "witnesses_needed": needed}


def check_all(stage: Stage, teller: Teller, scene: Scene) -> None:
    """Replay every organisation's copy from the beginning."""
    wait_for(partial(same_history, stage), "all copies are the same")
    size = stage.hospital.zone.status().size
    scene.facts["homes"] = {}
    for player in stage.players.values():
        report = check(player.home)
        expect(report.ok, f"the ledger of {player.name}: {report.first}")
        expect(report.operations == size, f"the copy of {player.name} has {size} operations")
        scene.facts["homes"][player.organisation] = {"blocks": report.blocks, "operations": report.operations}
        teller.done(
            f"{player.name}: {report.blocks} blocks and {report.operations} operations replayed; "
            "every root, signature and table holds."
        )


def _apply(stage: Stage, player: Player) -> str:
    """Make the home of a new member's node and apply with it; return the fingerprint that its people read out."""
    invitation = invite(Home(stage.hospital.home), player.organisation)
    (stage.invitations / f"{player.organisation}.json").write_bytes(invitation)
    _, fingerprint = asyncio.run(
        join(player.home, invitation, player.name, player.passphrase, player.address, player.api)
    )
    return fingerprint


def _is_settled(player: Player, members: int) -> bool:
    """Tell whether a node is a member in its own copy and its trust file is signed and names all members."""
    player.check_running()
    zone = player.zone
    status, standing = zone.status(), zone.standing()
    return not standing.application and status.lag == 0 and status.trust_version == members and not status.trust_pending


def same_history(stage: Stage) -> str | None:
    """Return the root of the history, once all copies have the same one."""
    roots = {player.zone.status().root for player in stage.players.values()}
    return roots.pop() if len(roots) == 1 else None


def _spaced(fingerprint: str) -> str:
    """Return the beginning of a fingerprint as people read it out."""
    shown = fingerprint[:_SHOWN_FINGERPRINT]
    return " ".join(shown[at : at + 4] for at in range(0, len(shown), 4))
