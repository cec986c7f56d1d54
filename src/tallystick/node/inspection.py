"""Looking into a home that need not be running: check all of it, compare it with a checkpoint, find operations in it.

Nothing here writes to a home. What is read comes from the SQLite file, which a node may be writing to meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tallystick.codec import MalformedError, decode_json, iso_time, sha256
from tallystick.codec.cards import card_fingerprint
from tallystick.errors import IntegrityError, UsageError
from tallystick.fsck import Report, check_home
from tallystick.ledger.witness import signed_statement
from tallystick.merkle import Frontier, consistency_path, leaf_hash, node_hash
from tallystick.modules import genesis_writes, rulebook
from tallystick.node.homes import Home
from tallystick.office.evidence_proofs import VerifiedEvidence
from tallystick.office.evidence_proofs import verify_evidence as check_evidence
from tallystick.proofs.checkpoints import parse_checkpoint, verify_checkpoint
from tallystick.proofs.forks import ForkFinding, build_histories_fork, verify_fork_proof
from tallystick.proofs.statements import CheckpointStatement, Statement, cosignature_statement
from tallystick.proofs.transactions import split_transaction
from tallystick.proofs.trust import TrustFile
from tallystick.store import LedgerStore
from tallystick.views import OperationView

__all__ = [
    "Comparison",
    "ForkFinding",
    "Report",
    "VerifiedEvidence",
    "check",
    "compare",
    "history",
    "kept_forks",
    "operations_about",
    "own_card",
    "read_fork_proof",
    "verify_evidence",
]


class Comparison(NamedTuple):
    """What a checkpoint says of this copy.

    Attributes:
        chain: of both.
        size: of the checkpoint's history.
        own_size: of this copy's.
        signers: who signed or cosigned the checkpoint.
        relation: `same` (this copy holds that history), `ahead` (it is of a longer one, of which nothing can be said
            yet) or `fork`.
        proof: bytes of the fork proof, or empty.
        text: one sentence.
    """

    chain: str
    size: int
    own_size: int
    signers: tuple[str, ...]
    relation: str
    proof: bytes
    text: str


def check(home: Path, progress: Callable[[int, int], None] | None = None) -> Report:
    """Replay a home's ledger, or a copy of a `ledger.db`, from genesis and recompute everything.

    Raises:
        UsageError: there is no ledger.
    """
    from tallystick.node.beginning import read_beginning  # only here: what orders is not wanted for anything else

    _ledger_of(home)
    return check_home(home, rulebook(), genesis_writes, progress, snapshot=read_beginning)


def history(home: Path) -> Iterator[dict[str, Any]]:
    """Yield every operation of a home's history with its place and outcome, oldest first.

    Raises:
        UsageError: there is no ledger.
        StorageError: it cannot be read, or its older part has not come yet.
    """
    with closing(LedgerStore(_ledger_of(home), rulebook(), read_only=True)) as store:
        last = store.last_block()
        store.check_held(0)
        for leaf in range(last.size if last else 0):
            found = store.find_operation(leaf)
            if found is None:
                raise IntegrityError(f"the history has no entry {leaf}", remedy="Type: tally ledger check")
            _, operations = split_transaction(found.transaction)
            yield {
                "leaf": leaf,
                "height": found.height,
                "time": iso_time(found.time),
                "transaction": found.transaction_id.hex(),
                "index": found.position,
                "outcome": found.outcome,
                "operation": _readable(operations[found.position]),
            }


def operations_about(home: Path, field: str, identifier: str, events: Sequence[str]) -> list[OperationView]:
    """Return the operations that caused events about a thing, newest first.

    Args:
        home: of the copy.
        field: of the events that names the thing, such as `request`.
        identifier: of the thing.
        events: how the types of the events begin.

    Raises:
        UsageError: there is no ledger.
        StorageError: it cannot be read.
    """
    kinds = " OR ".join("substr(json_extract(e.body, '$.type'), 1, ?) = ?" for _ in events)
    statement = (
        "SELECT DISTINCT o.leaf, t.height, b.time_ms, t.organisation, o.type, o.outcome, lower(hex(t.id)), "  # noqa: S608 - no value of anybody is in it
        "o.leaf - t.first_leaf FROM events e JOIN operations o ON o.leaf = e.leaf JOIN transactions t ON t.seq = o.tx "
        f"JOIN blocks b ON b.height = t.height WHERE json_extract(e.body, ?) = ? AND ({kinds}) ORDER BY o.leaf DESC"
    )
    values = [f"$.{field}", identifier, *(value for name in events for value in (len(name), name))]
    names = OperationView.__struct_fields__[:-1]
    with closing(LedgerStore(_ledger_of(home), rulebook(), read_only=True)) as store:
        return [OperationView(**dict(zip(names, row, strict=True))) for row in store.query(statement, values)]


def verify_evidence(file: Path, proof: bytes, trust: bytes) -> VerifiedEvidence:
    """Check a file and its proof, offline.

    Args:
        file: the file, under whatever name.
        proof: the bytes of its proof file.
        trust: the bytes of the zone's trust file.

    Raises:
        IntegrityError: they do not prove it, or the trust file is not a good one.
        StorageError: the file cannot be read.
    """
    return check_evidence(file, proof, TrustFile.parse(trust))


def own_card(home: Home) -> dict[str, str] | None:
    """Return id, name and fingerprint of the card that a home applied with; None where it was not made by joining."""
    from tallystick.node.join import read_card  # only here: it brings the network along, which a light install has not

    signed = read_card(home)
    if signed is None:
        return None
    return {
        "organisation": signed.card.organisation,
        "name": signed.card.name,
        "fingerprint": card_fingerprint(signed.card),
    }


def kept_forks(home: Home) -> list[bytes]:
    """Return the fork proofs that a node keeps."""
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        return store.forks()


def read_fork_proof(data: bytes, trust: TrustFile | bytes) -> ForkFinding:
    """Check a fork proof.

    Args:
        data: the bytes of the proof.
        trust: the zone's trust file, or its bytes.

    Raises:
        ForkProofError: it proves nothing.
        TrustError: the trust file is not a good one.
    """
    return verify_fork_proof(data, TrustFile.parse(trust) if isinstance(trust, bytes) else trust)


def compare(home: Home, note: bytes) -> Comparison:
    """Compare a signed checkpoint of another member with this copy.

    Args:
        home: of the copy.
        note: the checkpoint, as any node serves it as `log/checkpoint`.

    Raises:
        IntegrityError: it is no checkpoint that members of this zone signed.
    """
    trust = home.read_trust()
    try:
        _, size, root, parsed = parse_checkpoint(note)
        members = trust.version_at(size).members
        checkpoint = verify_checkpoint(note, trust.chain, members)
    except MalformedError as error:
        raise IntegrityError(
            f"this is no checkpoint of {trust.chain}: {error.reason}", remedy="Get the file again from that member."
        ) from None
    signers = tuple(sorted({*checkpoint.signers, *(each.organisation for each in checkpoint.cosignatures)}))
    named = ", ".join(signers)
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        last = store.last_block()
        own_size = last.size if last else 0
        if last is None or size > own_size:
            text = f"{named} signed a history of {size} entries; this copy has {own_size}. Compare again when it has grown."
            return Comparison(trust.chain, size, own_size, signers, "ahead", b"", text)
        own_root = store.history_root(size)
        if own_root is None:
            own_root = _root_of(store, size)
        if own_root == root:
            text = f"{named} signed the very history that this copy has, up to entry {size}."
            return Comparison(trust.chain, size, own_size, signers, "same", b"", text)
        if checkpoint.signers:
            organisation = checkpoint.signers[0]
            line = next(each for each in parsed.signatures if each.name.startswith(f"{organisation}."))
            theirs: Statement = CheckpointStatement(
                organisation=organisation, root=root.hex(), signature=line.signature.hex(), size=size
            )
        else:
            theirs = cosignature_statement(size, root, checkpoint.cosignatures[0])
        mine = signed_statement(last, theirs.organisation)
        path = () if size in (0, own_size) else consistency_path(size, own_size, _Nodes(store, own_size))
        proof = build_histories_fork(trust.chain, theirs, mine, prefix_root=own_root, path=path)
    finding = verify_fork_proof(proof, trust)
    return Comparison(trust.chain, size, own_size, signers, "fork", proof, finding.text)


class _Nodes:
    """All inner nodes of a history, in memory: only looked at where a fork was found."""

    def __init__(self, store: LedgerStore, size: int) -> None:
        self._levels = [[leaf_hash(leaf) for leaf in store.leaves(0, size)]]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])

    def __call__(self, level: int, index: int) -> bytes:
        return self._levels[level][index]


def _root_of(store: LedgerStore, size: int) -> bytes:
    frontier = Frontier()
    for leaf in store.leaves(0, size):
        frontier.append(leaf_hash(leaf))
    return frontier.root()


def _ledger_of(home: Path) -> Path:
    path = home if home.is_file() else home / "ledger.db"
    if not path.is_file():
        raise UsageError(
            f"there is no ledger at {path}", remedy="Name the home of a node with --home, or a copy of a ledger.db."
        )
    return path


def _readable(operation: bytes) -> Any:
    """Return an operation as JSON; where it is none, its hash."""
    try:
        return decode_json(operation)
    except MalformedError:
        return {"sha256": sha256(operation).hex()}
