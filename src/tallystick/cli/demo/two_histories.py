"""The third fraud: the organisation that orders tells one member another history than all others.

The four nodes are stopped for it, and two understudies take the stage under the same addresses: a node that runs from a
copy of the hospital's home of before it decided, and one that runs from a copy of the agency's home of now. They meet as
any two nodes do. So the fraud is a real one, with the real keys, and the homes of the four have no part in it.
"""

from __future__ import annotations

from pathlib import Path

from tallystick.cli.demo.player import Player
from tallystick.cli.demo.scenes_sharing import Asked
from tallystick.cli.demo.stage import Stage, copy_home, expect, refusal, wait_for
from tallystick.cli.demo.telling import Scene, Teller
from tallystick.errors import IntegrityError
from tallystick.node.homes import Home
from tallystick.node.inspection import kept_forks, read_fork_proof


def set_aside(stage: Stage) -> Path:
    """Copy the hospital's home as it is before it decides; return where to."""
    home = stage.frauds / f"{stage.hospital.organisation}-before"
    copy_home(stage.hospital.home, home)
    return home


def tell_two_histories(stage: Stage, teller: Teller, scene: Scene, asked: Asked, before: Path) -> None:
    """The hospital decides once more, otherwise, and shows that to the agency's node."""
    stage.stop()
    home = stage.frauds / f"{stage.agency.organisation}-now"
    copy_home(stage.agency.home, home)
    teller.done("The four nodes are stopped; what follows happens between two copies of homes.")
    liar, witness = stage.understudy(stage.hospital, before), stage.understudy(stage.agency, home)
    liar.start()
    height = liar.zone.status().height
    liar.zone.approve(asked.by_bank)
    teller.done(
        f"{stage.hospital.name} runs from a copy of before it decided, and now approves {asked.by_bank}: "
        f"another block {height + 1}, signed with the same key."
    )
    witness.start()
    alarm = wait_for(lambda: witness.zone.status().alarm, "the agency's node raises the alarm")
    teller.done(f"{stage.agency.name}'s node, which has the other block {height + 1}, meets it and raises the alarm:")
    teller.note(f"“{alarm}”")
    _expect_not_followed(witness, liar)
    teller.done("It follows no more, witnesses nothing of it, and keeps the proof.")
    proof = wait_for(lambda: kept_forks(Home(home)), "the agency's node keeps a proof")[0]
    stage.fork_proof_path.write_bytes(proof)
    trust = Home(stage.university.home).read_trust()
    finding = read_fork_proof(proof, trust)
    expect(finding.culprit == stage.hospital.organisation, "the proof names the hospital and nobody else")
    teller.done("The proof is one file, which anybody checks offline, by the zone's public trust file alone:")
    teller.note(f"“{finding.text}”")
    altered = proof.replace(b'"size":', b'"size":1', 1)
    refusal(IntegrityError, lambda: read_fork_proof(altered, trust), "an altered fork proof")
    for player in (witness, liar):
        player.begin_stop()
    for player in (witness, liar):
        player.finish_stop()
    scene.facts |= {"culprit": finding.culprit, "kind": finding.kind, "alarm": alarm, "bytes": len(proof)}


def _expect_not_followed(witness: Player, liar: Player) -> None:
    """Go on only if a node has taken nothing of the other history and follows nobody."""
    wait_for(lambda: not witness.zone.standing().following, "the agency's node follows no more")
    status = witness.zone.status()
    theirs = liar.zone.status()
    expect(status.root != theirs.root, "the two have different histories")
    mine = next(each for each in liar.zone.standing().nodes if each.organisation == witness.organisation)
    expect(mine.witnessed < theirs.size, "the agency has not witnessed the other history")
