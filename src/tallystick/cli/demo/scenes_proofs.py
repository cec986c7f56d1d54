"""Proofs: evidence of documents, and a receipt of everything that was recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

from tallystick.cli.demo.player import Player
from tallystick.cli.demo.stage import DATA, Stage, expect, refusal, wait_for
from tallystick.cli.demo.telling import Scene, Teller
from tallystick.errors import NodeError
from tallystick.node.homes import Home
from tallystick.node.inspection import verify_evidence
from tallystick.sdk import Receipt, verify_receipt
from tallystick.views import OperationView

_ALL = 500


def record_evidence(stage: Stage, teller: Teller, scene: Scene) -> None:
    """The university records that it has some documents, and shows one of them with its proof."""
    university = stage.university
    folder = stage.files / university.organisation
    documents = _put_documents(folder / "documents")
    recorded = university.zone.record_evidence(documents, folder / "proofs")
    expect(recorded.count == len(documents), "all documents are behind one root")
    teller.done(f"{university.name} records {recorded.count} documents as {recorded.id}: one salted root, no names.")
    trust = (stage.agency.home / "zone.json").read_bytes()
    proofs = [Path(path) for path in recorded.proofs]
    expect(len(proofs) == len(documents), "there is a proof for each document")
    by_name = {path.name.removesuffix(".proof.json"): path for path in proofs}
    for document in documents:
        shown = verify_evidence(document, by_name[document.name].read_bytes(), trust)
    teller.done(f"Each has a proof file of its own; {shown.name} verifies without any node: {shown.summary}.")
    changed = folder / "changed.txt"
    changed.write_bytes(document.read_bytes() + b" ")
    proof = by_name[document.name].read_bytes()
    refused = refusal(NodeError, lambda: verify_evidence(changed, proof, trust), "a document with a space more")
    changed.unlink()
    teller.done("The same document with one space more is refused:")
    teller.note(f"“{_without(refused.message, folder)}”")
    scene.facts |= {"evidence": recorded.id, "documents": recorded.count, "proofs": [str(path) for path in proofs]}


def export_receipts(stage: Stage, teller: Teller, scene: Scene) -> None:
    """Export a receipt of every operation, with the trust file that they are verified with."""
    zone = stage.hospital.zone
    shutil.copyfile(stage.hospital.home / "zone.json", stage.trust_path)
    operations = sorted(zone.operations(limit=_ALL), key=lambda each: each.leaf)
    expect([each.leaf for each in operations] == list(range(zone.status().size)), "the history has no gap")
    if not stage.validators:
        # The last entry has its witnesses last; then all have.
        wait_for(lambda: zone.status().witnessed >= len(operations), "all of the history is witnessed")
    largest = max(len(keep_receipt(stage, stage.hospital, operation).data) for operation in operations)
    teller.done(f"{len(operations)} operations, {len(operations)} receipts, the largest {largest:,} bytes.")
    trust = Home(stage.bank.home).read_trust()
    verified = [verify_receipt(path.read_bytes(), trust) for path in sorted(stage.receipts.iterdir())]
    expect(all(each.outcome == 0 for each in verified), "all receipts are of something accepted")
    weakest = min(verified, key=lambda each: len(each.orderers)).summary
    strongest = max(verified, key=lambda each: len(each.orderers)).summary
    teller.done(
        f"All of them verify offline, by {stage.bank.name}'s zone.json: {strongest}"
        f"{'' if weakest == strongest else f'; at least: {weakest}'}."
    )
    scene.facts |= {"receipts": len(operations), "largest_bytes": largest, "summary": weakest}


def keep_receipt(stage: Stage, player: Player, operation: OperationView) -> Receipt:
    """Put the receipt of an operation, as an organisation's own node gives it, with the others."""
    receipt = player.zone.receipt(operation.transaction, operation.index)
    path = stage.receipts / f"{operation.leaf:03d}-{operation.type.replace('_', '-')}.receipt.json"
    path.write_bytes(receipt.data)
    return receipt


def _put_documents(folder: Path) -> list[Path]:
    """Put the sources and licences of the tables into a folder; these are the documents."""
    folder.mkdir(parents=True)
    made = []
    for path in sorted(DATA.glob("*/*")):
        if path.suffix in (".md", ".txt"):
            target = folder / f"{path.parent.name}-{path.name}"
            shutil.copyfile(path, target)
            made.append(target)
    return made


def _without(text: str, folder: Path) -> str:
    return text.replace(f"{folder}/", "")
