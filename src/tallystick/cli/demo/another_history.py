"""The third fraud where several order: one of them signs another history, alone, and shows it to a member's node.

It happens between the real nodes, while they run: the bank's keys sign what its own node never would (`node.rehearsal`),
and the university's node is shown it as nodes show each other what they know. So the proof stays in the homes, and the
zone is seen to go on.
"""

from __future__ import annotations

from functools import partial

from tallystick.cli.demo.scenes_network import newest
from tallystick.cli.demo.scenes_proofs import keep_receipt
from tallystick.cli.demo.scenes_zone import same_history
from tallystick.cli.demo.stage import Stage, expect, number_word, refusal, wait_for
from tallystick.cli.demo.telling import Scene, Teller
from tallystick.errors import IntegrityError
from tallystick.node.homes import Home
from tallystick.node.inspection import ForkFinding, check, kept_forks, read_fork_proof
from tallystick.node.rehearsal import OtherHistory, show_other_history, sign_other_history, signs_block
from tallystick.sdk import verify_receipt


def sign_another_history(stage: Stage, teller: Teller, scene: Scene) -> None:
    """The bank signs a history without the rejection of its request; nobody believes it, and it is convicted."""
    liar, shown = stage.bank, stage.university
    (rejection,) = stage.hospital.zone.operations(type="reject_request")
    signed = partial(signs_block, Home(shown.home), rejection.height, liar.organisation)
    wait_for(signed, f"{shown.name}'s copy has the bank's signature of block {rejection.height}")
    before = same_history(stage)
    other = sign_other_history(Home(liar.home), liar.passphrase, rejection.leaf)
    teller.done(
        f"{liar.name} has signed block {other.height}, in which it was rejected. With the same key it now signs another "
        f"block {other.height}, with something of its own in place of that, and a checkpoint of that history."
    )
    reason = _refuse_receipt(stage, teller, other)
    reaction = show_other_history(Home(liar.home), liar.passphrase, other, shown.organisation)
    expect(not reaction.signature_kept, "the signature under the other block counts for nothing")
    expect(reaction.forks, f"{shown.name}'s node has a proof")
    finding = _convict(stage, teller, reaction.forks[0])
    expect(same_history(stage) == before, "every copy is as it was")
    _go_on(stage, teller)
    scene.facts |= {
        "culprit": finding.culprit,
        "kind": finding.kind,
        "height": other.height,
        "receipt_refused": reason,
        "bytes": len(reaction.forks[0]),
    }


def _refuse_receipt(stage: Stage, teller: Teller, other: OtherHistory) -> str:
    """Try the receipt that the other history gives; return why it was refused."""
    path = stage.frauds / "another-history.receipt.json"
    path.write_bytes(other.receipt)
    trust = Home(stage.agency.home).read_trust()
    refused = refusal(IntegrityError, lambda: verify_receipt(other.receipt, trust), "a receipt that one has signed")
    reason = str(getattr(refused, "reason", ""))
    expect(reason == "too_few_header_signatures", "it is the signatures of the others that are missing")
    teller.done(f"A receipt from that history has every hash right, and is refused ({reason}):")
    teller.note(f"“{refused.message}”")
    return reason


def _convict(stage: Stage, teller: Teller, proof: bytes) -> ForkFinding:
    """Check the proof that the university's node has made, as anybody can."""
    stage.fork_proof_path.write_bytes(proof)
    trust = Home(stage.agency.home).read_trust()
    finding = read_fork_proof(proof, trust)
    expect(finding.culprit == stage.bank.organisation, "the proof names the bank and nobody else")
    teller.done(
        f"{stage.bank.name} shows it to {stage.university.name}'s node, which follows nothing of it, and makes a proof "
        "of the two: one file, which anybody checks offline, by the zone's public trust file alone:"
    )
    teller.note(f"“{finding.text}”")
    altered = proof.replace(b'"size":', b'"size":1', 1)
    refusal(IntegrityError, lambda: read_fork_proof(altered, trust), "an altered fork proof")
    return finding


def _go_on(stage: Stage, teller: Teller) -> None:
    """Record something more: one that lies stops nobody; and let all hear of it."""
    university = stage.university
    document = stage.files / university.organisation / "incident.txt"
    document.write_text(f"{stage.bank.name} showed us another history.\n", encoding="utf-8")
    recorded = university.zone.record_evidence([document], document.parent / "proofs")
    operation = wait_for(partial(newest, university), "the university's copy has the evidence")
    expect(operation.type == "record_evidence", "the newest operation is the evidence")
    receipt = keep_receipt(stage, university, operation)
    teller.done(f"The zone goes on: {university.name} records {recorded.id}, {receipt.verified.summary}.")
    root = wait_for(partial(same_history, stage), "all copies are the same")
    for player in stage.players.values():
        wait_for(partial(kept_forks, Home(player.home)), f"{player.name}'s node keeps a proof")
        report = check(player.home)
        expect(report.ok, f"the ledger of {player.name}: {report.first}")
        status = player.zone.status()
        expect(status.root == root and status.alarm is None, f"{player.name}'s node goes on")
    teller.done(
        f"All {number_word(stage.validators)} nodes have heard of it by now and keep the proof; every copy is the same, "
        "and in order."
    )
