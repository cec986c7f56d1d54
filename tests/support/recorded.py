"""A home as a node leaves it, recorded with all operations of the house: what the checker has to judge.

Blocks go into a real `ledger.db` as they are made, tiles and checkpoints into `log/`, and every member's signature is
real. Everything is derived from names and a clock that only tests move, so every run gives the same ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tallystick.codec import tagged_hash
from tallystick.keys import ED25519, Signer
from tallystick.ledger.trustkeeper import SignedVersion, TrustKeeper
from tallystick.machine import Block, Event, Message, Parameters, State, execute_block
from tallystick.modules.agreements.ops import (
    ApproveRequest,
    CancelRequest,
    CounterRequest,
    RejectRequest,
    TerminateAgreement,
)
from tallystick.modules.catalogue.ops import ReviseDataset, WithdrawDataset
from tallystick.modules.deliveries.ops import (
    AnswerDispute,
    DisputeDelivery,
    RecordDeliveryFailed,
    RecordDeliveryReceived,
)
from tallystick.modules.evidence.ops import RecordEvidence, SupersedeEvidence
from tallystick.modules.organisations.ops import (
    AddKey,
    AdmitOrganisation,
    CancelRecovery,
    FinishRecovery,
    ReinstateOrganisation,
    RenameOrganisation,
    RevokeKey,
    RotateEncryptionKey,
    RotateKey,
    SetAddress,
    SetTlsPins,
    SuspendOrganisation,
)
from tallystick.modules.organisations.ops.start_recovery import NewKey, StartRecovery
from tallystick.node.homes import first_trust
from tallystick.proofs import (
    Header,
    build_headers_fork,
    cosign,
    decode_header,
    encode_header,
    encode_signatures,
    sign_checkpoint,
    sign_header,
    transactions_root,
)
from tallystick.proofs.headers import header_hash
from tallystick.proofs.trust import TrustFile, sign_entry
from tallystick.store import LedgerStore, TileLog
from tests.support.market import agree, content, counter_message, digest, offer, request_message, send, send_request
from tests.support.zones import (
    BANK,
    CITY,
    DAY,
    HOSPITAL,
    ORGANISATIONS,
    UNIVERSITY,
    SignedSimulator,
    make_card,
    public_hex,
    signing_key,
)

SCHOOL = "harbour-school"


class RecordedZone(SignedSimulator):
    """A zone whose blocks are kept as the orderer's node keeps them.

    Attributes:
        folder: the home.
        store: its ledger, open for writing.
        ordering: who orders; all of them sign each header.
    """

    def __init__(
        self,
        folder: Path,
        organisations: Sequence[str] = ORGANISATIONS,
        *,
        validators: Sequence[str] = (),
        parameters: Parameters | None = None,
    ) -> None:
        """Begin a zone in a new folder.

        Args:
            folder: the home; made here.
            organisations: members from the start.
            validators: who order together; by default the first of the members orders alone.
            parameters: limits, where the defaults will not do.
        """
        super().__init__(
            organisations, orderer="" if validators else None, validators=validators, parameters=parameters
        )
        folder.mkdir(parents=True)
        self.folder = folder
        self.ordering = tuple(validators) or (organisations[0],)
        self.orderer = self.ordering[0]
        records = [(collection, key, value) for (collection, key), value in self.reader.records.items()]
        path = folder / "ledger.db"
        LedgerStore.create(path, self.rulebook, chain=self.chain, genesis=self.genesis, records=records)
        self.store = LedgerStore(path, self.rulebook)
        self._tiles = TileLog(folder / "log")
        self._previous = self.genesis_hash
        (folder / "genesis.json").write_bytes(self.genesis)
        trust = first_trust(self.genesis, {name: self.system(name) for name in self.ordering})
        self._write_trust(trust)
        self._trust = TrustKeeper(
            trust,
            self.store,
            organisation=self.orderer,
            signer=self.system(self.orderer),
            on_change=self._write_trust,
        )

    def _write_trust(self, trust: TrustFile) -> None:
        (self.folder / "zone.json").write_bytes(trust.encode())

    def system(self, organisation: str) -> Signer:
        """Return the `system` key of a member as it is now."""
        return ED25519.from_private(bytes(self.key(organisation, "system")))

    def execute(self, transactions: Sequence[bytes], at_ms: int | None = None) -> list[Event]:
        """Execute a block, sign and keep it, as the engine does; `last_results` holds the outcomes."""
        self._advance(at_ms)
        signers = {name: self.system(name) for name in self.ordering}
        result = execute_block(self.ledger, Block(self.height, self.time, tuple(transactions)), self.rulebook)
        header = Header(
            app_hash=result.app_hash.hex(),
            chain=self.chain,
            height=self.height,
            previous=self._previous.hex(),
            time=self.time,
            transactions_root=transactions_root(result.block.transactions).hex(),
        )
        signatures = encode_signatures([sign_header(header, name, signer) for name, signer in signers.items()])
        self.store.commit_block(result, encode_header(header), signatures)
        self._previous = header_hash(header)
        self._tiles.append(result.leaves)
        self.last_results, self.last_writes = result.results, result.writes
        self.reader.write(result.writes)
        result.commit_to(self.ledger)
        for made in self._trust.follow(State(self.reader), height=self.height, size=result.size):
            self._sign_version(made.version)
        return [emitted.event for emitted in result.events]

    def _sign_version(self, number: int) -> None:
        """Let every member of the version before sign a version of the trust file."""
        derived = self._trust.derived
        before = derived.version(number - 1)
        for organisation in sorted(before.members.keys() - {self.orderer}):
            signer = ED25519.from_private(bytes(signing_key(organisation, "system")))
            signed = sign_entry(before.hash, derived.entries[number - 1], organisation, signer)
            mine = next(each for each in signed.signatures if each.organisation == organisation)
            self._trust.add(SignedVersion(number, organisation, bytes.fromhex(mine.signature)))

    def publish(self) -> None:
        """Sign the history as it is, let the other members cosign it, and write tiles and checkpoint."""
        last = self.store.last_block()
        assert last is not None
        block = self.store.block_of_size(last.size)
        assert block is not None
        note = sign_checkpoint(
            self.chain, last.size, last.history_root, organisation=self.orderer, signer=self.system(self.orderer)
        )
        self.store.add_checkpoint(last.size, last.history_root, block.height, note.decode())
        for name, key in self._trust.derived.version_at(last.size).members.items():
            # Who joined or changed its key with the last operation speaks for larger histories only.
            signer = self.system(name)
            if name not in self.ordering and signer.public_key == key:
                made = cosign(
                    self.chain,
                    last.size,
                    last.history_root,
                    organisation=name,
                    signer=signer,
                    time_s=self.time // 1_000,
                )
                self.store.add_cosignature(last.size, name, made.time, bytes.fromhex(made.signature))
        self._tiles.flush(note.decode())

    def keep_fork(self) -> None:
        """Keep a proof that the orderer signed two headers of one height."""
        last = self.store.last_block()
        assert last is not None
        header, signer = decode_header(last.header), self.system(self.orderer)
        other = replace(header, time=header.time + 1)
        signed = [[sign_header(each, self.orderer, signer)] for each in (header, other)]
        proof = build_headers_fork(header, signed[0], other, signed[1])
        assert proof is not None
        self.store.add_fork(proof)

    def close(self) -> None:
        """Close the ledger; what is in its write-ahead log goes into the file."""
        self.store.close()


def make_recorded_home(folder: Path, *, batch: int = 0) -> Path:
    """Record a home with every operation of every module, accepted and rejected, in about sixty blocks; return it.

    Args:
        folder: where to; must not exist.
        batch: so many more entries of the history, in transactions of up to 500.
    """
    zone = RecordedZone(folder)
    _trade(zone)
    zone.publish()
    _deliver(zone)
    zone.publish()
    _attest(zone, batch)
    zone.publish()
    _change_members(zone)
    zone.publish()
    zone.execute([])
    zone.keep_fork()
    zone.close()
    return folder


def refuse(zone: SignedSimulator, organisation: str, *messages: Message, atomic: bool = False) -> None:
    """Record operations that the rules reject: they stand on the history with their numbers."""
    zone.execute([zone.transaction(organisation, messages, zone.key(organisation, "service"), atomic=atomic)])
    assert any(outcome.code for outcome in zone.last_results[0].outcomes)


def _trade(zone: RecordedZone) -> None:
    """Offers, requests and what becomes of them."""
    offer(zone)
    offer(zone, f"{UNIVERSITY}/survey", "open-within-zone", title="Survey \u00e9t\u00e9 \U0001f4dd", field="education")
    offer(zone, f"{BANK}/rates", "research-90d", title="Rates", field="finance")
    zone.run(HOSPITAL, ReviseDataset(name=f"{HOSPITAL}/discharges-2024", version=content("two")))
    first = send_request(zone)
    zone.run(HOSPITAL, counter_message(first))
    zone.run(UNIVERSITY, CounterRequest(request=first, proposal=counter_message(first, "P20D").proposal))
    zone.run(HOSPITAL, RejectRequest(request=first, private=digest("too long")))
    second = send_request(zone, BANK)
    zone.run(BANK, CancelRequest(request=second))
    refuse(zone, HOSPITAL, ApproveRequest(request=second, terms=digest("none")), RejectRequest(request=first))
    zone.run(BANK, WithdrawDataset(name=f"{BANK}/rates"))
    refuse(zone, UNIVERSITY, request_message(zone, f"{BANK}/rates"), atomic=True)


def _deliver(zone: RecordedZone) -> None:
    """Deliveries under agreements, good and disputed."""
    agreement = agree(zone)
    received = send(zone, agreement)
    zone.run(UNIVERSITY, RecordDeliveryReceived(delivery=received, root=content().fingerprint))
    failed = send(zone, agreement)
    zone.run(HOSPITAL, RecordDeliveryFailed(delivery=failed, private=digest("cut")))
    disputed = send(zone, agreement)
    zone.run(UNIVERSITY, RecordDeliveryReceived(delivery=disputed, root=digest("other")))
    zone.run(UNIVERSITY, DisputeDelivery(delivery=received, private=digest("wrong year")))
    zone.run(HOSPITAL, AnswerDispute(delivery=received, private=digest("as offered")))
    zone.run(UNIVERSITY, TerminateAgreement(agreement=agreement, private=digest("done")))


def _attest(zone: RecordedZone, batch: int) -> None:
    """Evidence, alone, replaced, and many in a block with other members' transactions."""
    found: list[Any] = [zone.run(CITY, RecordEvidence(root=digest(f"file {n}"), count=n + 1))[0] for n in range(9)]
    zone.run(CITY, SupersedeEvidence(evidence=found[0].evidence, by=found[1].evidence))
    refuse(zone, CITY, SupersedeEvidence(evidence=found[1].evidence, by=found[0].evidence))
    zone.execute(
        [
            zone.transaction(name, [RecordEvidence(root=digest(name), count=2, bytes=900)], zone.key(name, "service"))
            for name in ORGANISATIONS
        ]
    )
    for start in range(0, batch, 500):
        messages = [RecordEvidence(root=digest(f"batch {n}"), count=1) for n in range(start, min(batch, start + 500))]
        zone.run_atomic(BANK, messages)
    zone.execute([])


def _change_members(zone: RecordedZone) -> None:
    """Members and keys come and go, so that the trust file has several versions."""
    zone.run(UNIVERSITY, RenameOrganisation(name="State University \u00e0 la carte"))
    zone.run(UNIVERSITY, SetAddress(address="university.example:9443"))
    zone.run(UNIVERSITY, SetTlsPins(pins=tuple(sorted((digest("pin one"), digest("pin two"))))))
    zone.run(BANK, RotateEncryptionKey(encryption=tagged_hash(b"tests/encryption", b"second").hex()))
    further = signing_key(BANK, "further")
    zone.run(BANK, AddKey(key=public_hex(further), roles=("service",), proof=zone.proof(BANK, further)))
    zone.run(BANK, RevokeKey(key=public_hex(further)))
    zone.run(HOSPITAL, AdmitOrganisation(card=make_card(SCHOOL)))
    zone.run(SCHOOL, RecordEvidence(root=digest("school"), count=1, private=digest("title")))
    zone.publish()
    zone.run(HOSPITAL, SuspendOrganisation(organisation=CITY))
    zone.run(HOSPITAL, ReinstateOrganisation(organisation=CITY))
    fresh = signing_key(UNIVERSITY, "system-2")
    old = public_hex(signing_key(UNIVERSITY, "system"))
    zone.run(UNIVERSITY, RotateKey(old=old, new=public_hex(fresh), proof=zone.proof(UNIVERSITY, fresh)))
    zone.use_key(UNIVERSITY, "system", fresh)
    zone.run(SCHOOL, CancelRecovery(recovery=_start_recovery(zone)))
    recovery = _start_recovery(zone)
    zone.run(SCHOOL, FinishRecovery(recovery=recovery), at_ms=zone.time + 3 * DAY)
    for role in ("security", "system"):
        zone.use_key(SCHOOL, role, signing_key(SCHOOL, f"{role}-2"))
    zone.publish()
    zone.run(HOSPITAL, RecordEvidence(root=digest("end"), count=1), at_ms=zone.time + 31 * DAY)


def _start_recovery(zone: RecordedZone) -> str:
    """Announce new keys of the school and return the recovery's id."""
    announced = []
    for purpose, roles in (("security", ("registration", "security")), ("system", ("service", "system"))):
        key = signing_key(SCHOOL, f"{purpose}-2")
        announced.append(NewKey(key=public_hex(key), roles=roles, proof=zone.proof(SCHOOL, key, recovery=True)))
    events: list[Any] = zone.run(SCHOOL, StartRecovery(keys=tuple(sorted(announced, key=lambda new: new.key))))
    return str(events[0].recovery)
