"""Evidence: recording that files existed, and handing out proofs, a file for each.

Rules:

- The files stay where they are; the ledger gets one salted root over all of them.
- Salt, names and hashes are on disk before the root is submitted: without the salt a recorded root would prove nothing.
- A proof is written again whenever asked; it is complete once enough members have witnessed the record.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tallystick.dataplane.sidecars import sync_folder
from tallystick.dataplane.sources import check_path, scan
from tallystick.errors import RejectedError, StorageError, UsageError
from tallystick.keys import make_private_folder
from tallystick.ledger import NotYetWitnessedError
from tallystick.merkle.commitments import SALT_BYTES
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.modules.evidence.queries import find_evidence, superseded_by
from tallystick.modules.evidence.records import EVIDENCE
from tallystick.modules.evidence.records import Evidence as EvidenceRecord
from tallystick.office.database import EvidenceRow, OfficeDatabase
from tallystick.office.evidence_proofs import (
    SUFFIX,
    FileFacts,
    VerifiedEvidence,
    build_proof,
    evidence_root,
    measure_file,
    verify_evidence,
)
from tallystick.office.recording import Recorder
from tallystick.office.refusals import not_found
from tallystick.proofs.trust import TrustFile
from tallystick.views import EvidenceView, Recorded

MAX_FILES = 100_000
WAIT_FOR_WITNESSES_S = 10.0
_POLL_S = 0.1


class Evidence:
    """Evidence that this organisation recorded."""

    def __init__(self, recorder: Recorder, database: OfficeDatabase, folder: Path) -> None:
        self._recorder = recorder
        self._database = database
        self._folder = folder
        self._me = recorder.organisation

    async def record(
        self, paths: Sequence[Path], out: Path | None = None, *, wait_s: float = WAIT_FOR_WITNESSES_S
    ) -> EvidenceView:
        """Record files and write a proof for each.

        Args:
            paths: files, and folders of which every file counts.
            out: folder for the proofs; by default one under the node's `outbox/`.
            wait_s: how long to wait until the record is witnessed; proofs written before that lack the receipt.

        Raises:
            RejectedError: the ledger refuses it.
            NodeError: a file cannot be read, or two have the same name.
        """
        files = await asyncio.to_thread(_measure, paths)
        salt = secrets.token_bytes(SALT_BYTES)
        root = evidence_root(salt, files)
        folder = (self._folder / root[:16]) if out is None else out
        row = EvidenceRow(
            root=root,
            salt=salt,
            files=files,
            folder=str(folder.absolute()),
            created=self._recorder.now(),
        )
        self._database.put(row)
        try:
            done = await self._recorder.record(RecordEvidence(root=root, count=len(files)))
        except RejectedError:
            self._database.remove(EvidenceRow, root=root)
            raise
        row = msgspec.structs.replace(
            row,
            evidence=done.new_id("evidence_recorded", "evidence"),
            transaction_id=done.recorded.transaction,
            position=done.recorded.index,
        )
        self._database.put(row)
        view = await self._write(row, wait_s)
        return msgspec.structs.replace(view, recorded=done.recorded)

    async def proofs(self, identifier: str, out: Path | None = None, *, wait_s: float = 0.0) -> EvidenceView:
        """Write the proofs of evidence again, into the same or another folder.

        Raises:
            NotFoundError: this node did not record it.
        """
        row = self._database.find(EvidenceRow, evidence=identifier)
        if row is None:
            raise not_found("evidence of this node", identifier, "tally evidence list")
        if out is not None:
            row = msgspec.structs.replace(row, folder=str(out.absolute()))
        return await self._write(row, wait_s)

    async def resume(self) -> None:
        """Take up what a crash left: evidence on the ledger whose id or proofs this node has not written yet."""
        lost = {row.root: row for row in self._database.rows(EvidenceRow, evidence="")}
        if lost:
            for event in self._recorded_by_me():
                row = lost.get(event["root"])
                if row is not None:
                    self._database.put(msgspec.structs.replace(row, **event))
        for row in self._database.rows(EvidenceRow):
            if row.evidence and not row.proofs:
                await self._write(row, 0.0)

    def show(self, identifier: str) -> EvidenceView:
        """Return evidence.

        Raises:
            NotFoundError: there is none of that id.
        """
        record = find_evidence(self._recorder.state(), identifier)
        if record is None:
            raise not_found("evidence", identifier, "tally evidence list")
        return self._view(identifier, record, self._database.find(EvidenceRow, evidence=identifier))

    @staticmethod
    def verify(file: Path, proof: bytes, trust: TrustFile) -> VerifiedEvidence:
        """Check a file and its proof offline; see `verify_evidence`."""
        return verify_evidence(file, proof, trust)

    async def _write(self, row: EvidenceRow, wait_s: float) -> EvidenceView:
        """Write all proofs of a row, with the receipt if the record is witnessed in time."""
        receipt = await self._receipt(row, wait_s)
        await asyncio.to_thread(self._write_files, row, receipt)
        self._database.put(msgspec.structs.replace(row, proofs=0 if receipt is None else 1))
        return self.show(row.evidence)

    async def _receipt(self, row: EvidenceRow, wait_s: float) -> bytes | None:
        ledger = self._recorder.ledger
        leaf = ledger.leaf_of(row.transaction_id, row.position)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            try:
                return ledger.receipt(leaf, since=1)
            except NotYetWitnessedError:
                if loop.time() >= deadline:
                    return None
            await asyncio.sleep(_POLL_S)

    def _write_files(self, row: EvidenceRow, receipt: bytes | None) -> None:
        folder = Path(row.folder)
        try:
            if not folder.exists():
                make_private_folder(folder)
            for index, (name, _, _) in enumerate(row.files):
                proof = build_proof(
                    chain=self._recorder.ledger.store.chain,
                    organisation=self._me,
                    evidence=row.evidence,
                    salt=row.salt,
                    files=row.files,
                    index=index,
                    receipt=receipt,
                )
                path = folder / f"{name}{SUFFIX}"
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
                temporary.write_bytes(proof)
                os.replace(temporary, path)
            sync_folder(folder)
        except OSError as error:
            raise StorageError(
                f"the proofs cannot be written to {folder}: {error.strerror}",
                remedy=f"The evidence is recorded as {row.evidence}; write its proofs into another folder.",
            ) from None

    def _recorded_by_me(self) -> list[dict[str, str]]:
        """Return root, id and transaction of all evidence of this organisation, from the events of this copy."""
        ledger = self._recorder.ledger
        found: list[dict[str, str]] = []
        events = ledger.events(0)
        while events:
            for event in events:
                if event.body["type"] == "evidence_recorded" and event.body["organisation"] == self._me:
                    operation = ledger.store.find_operation(event.leaf)
                    assert operation is not None  # noqa: S101 - an event has its operation
                    found.append(
                        {
                            "root": event.body["root"],
                            "evidence": event.body["evidence"],
                            "transaction_id": operation.transaction_id.hex(),
                        }
                    )
            events = ledger.events(events[-1].sequence)
        return found

    def _view(self, identifier: str, record: EvidenceRecord, row: EvidenceRow | None) -> EvidenceView:
        names = () if row is None else tuple(name for name, _, _ in row.files)
        recorded = None
        if row is not None and row.transaction_id:
            ledger = self._recorder.ledger
            leaf = ledger.leaf_of(row.transaction_id, row.position)
            operation = ledger.store.find_operation(leaf)
            recorded = Recorded(
                transaction=row.transaction_id,
                index=row.position,
                height=0 if operation is None else operation.height,
                leaf=leaf,
            )
        return EvidenceView(
            id=identifier,
            organisation=record.organisation,
            root=record.root,
            count=record.count,
            recorded_at=record.recorded_at,
            superseded_by=superseded_by(self._recorder.state(), identifier) or "",
            names=names,
            proofs=() if row is None else tuple(str(Path(row.folder) / f"{name}{SUFFIX}") for name in names),
            witnessed=row is not None and bool(row.proofs),
            recorded=recorded,
        )

    def list(self, *, all_members: bool = False) -> tuple[EvidenceView, ...]:
        """Return evidence, newest first: one's own, or that of all members."""
        known = {row.evidence: row for row in self._database.rows(EvidenceRow)}
        views = [
            self._view(key, record, known.get(key))
            for key, record in self._recorder.state().scan(EVIDENCE)
            if all_members or record.organisation == self._me
        ]
        return tuple(sorted(views, key=lambda view: (-view.recorded_at, view.id)))


def _measure(paths: Sequence[Path]) -> tuple[FileFacts, ...]:
    """Return the facts of all files behind paths, in the order of their names' UTF-8 bytes.

    A file goes by its own name, a file in a folder by the folder's name and its path in it.
    """
    found: dict[str, Path] = {}
    for path in paths:
        source = scan(path)
        for entry in source.manifest.files:
            single = source.manifest.kind == "file"
            name = check_path(entry.path if single else f"{source.manifest.name}/{entry.path}")
            if name in found:
                raise UsageError(f"two files are called {name}", remedy="Record them apart, or rename one.")
            found[name] = source.location if single else source.location / entry.path
    if not 0 < len(found) <= MAX_FILES:
        raise UsageError(f"evidence is of 1 to {MAX_FILES} files", remedy="Name the files or folders to record.")
    ordered = sorted(found, key=str.encode)
    return tuple((name, *measure_file(found[name])) for name in ordered)
