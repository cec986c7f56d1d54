"""Checkpoints and who witnesses them: the part of the ledger that no single node can bend.

The orderer signs a checkpoint of what is on its disk. Every other node compares it with its own copy and cosigns it; the
cosignatures travel directly between the nodes, not only through the orderer. Two signed statements about the history
that cannot both be true are a fork proof (`proofs.forks`): it is kept and shown. Where the orderer signed both, this node
trusts it no more; where a member's word stands against the orderer's, the proof names both, and the orderer goes on being
followed, or any one member could stop the zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tallystick.codec import MalformedError
from tallystick.errors import IntegrityError, PeerError
from tallystick.keys import Signer
from tallystick.ledger.ports import BlockRow, Store
from tallystick.ledger.trustkeeper import TrustKeeper
from tallystick.merkle import consistency_path
from tallystick.merkle.log import Node, range_hash
from tallystick.proofs.checkpoints import (
    TYPE_ED25519,
    Cosignature,
    checkpoint_body,
    cosign,
    key_id,
    key_name,
    parse_note,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignature,
)
from tallystick.proofs.forks import build_histories_fork
from tallystick.proofs.headers import decode_header, decode_signatures
from tallystick.proofs.statements import (
    CheckpointStatement,
    CosignatureStatement,
    HeaderStatement,
    header_statement,
)


class SizedCosignature(NamedTuple):
    """A cosignature with the checkpoint that it is about, as nodes exchange them."""

    size: int
    root: bytes
    cosignature: Cosignature


class ForkError(IntegrityError):
    """Somebody showed two histories.

    Attributes:
        size: of the histories that differ.
        proof: the file that shows it to anybody.
        culprit: who is proved to have told two histories, or None where it is one of two.
    """

    def __init__(self, message: str, size: int, proof: bytes, culprit: str | None) -> None:
        super().__init__(
            message,
            remedy="The proof is kept: `tally ledger compare` shows it. Tell the other members.",
        )
        self.size = size
        self.proof = proof
        self.culprit = culprit

    def __reduce__(self) -> tuple[type[ForkError], tuple[str, int, bytes, str | None]]:
        return ForkError, (self.message, self.size, self.proof, self.culprit)


class Witness:
    """Signs, checks and collects checkpoints and cosignatures for one node."""

    def __init__(
        self,
        store: Store,
        trust: TrustKeeper,
        *,
        organisation: str,
        signer: Signer,
        clock_s: Callable[[], int],
        nodes: Callable[[int], Node],
    ) -> None:
        """Prepare a witness.

        Args:
            store: this node's copy.
            trust: the zone's trust file.
            organisation: whose node this is.
            signer: its `system` key.
            clock_s: UTC time, seconds; cosignatures carry it.
            nodes: gives, for a size of the history, what gives the hashes of its tree, for fork proofs.
        """
        self._store = store
        self._trust = trust
        self._organisation = organisation
        self._signer = signer
        self._clock_s = clock_s
        self._nodes = nodes

    def members_at(self, size: int) -> Mapping[str, bytes]:
        """Return organisation -> `system` key of those who speak for the zone at a size, as this ledger has it."""
        return self._trust.derived.version_at(size).members

    def publish(self, size: int, root: bytes, height: int) -> bytes:
        """Sign the checkpoint of a block on disk (the orderer's part); return the note."""
        note = sign_checkpoint(self._store.chain, size, root, organisation=self._organisation, signer=self._signer)
        self._store.add_checkpoint(size, root, height, note.decode())
        return note

    def check(self, note: bytes) -> tuple[int, bytes, int] | None:
        """Compare the orderer's checkpoint with this node's copy.

        Args:
            note: as the orderer, or another node, gave it.

        Returns:
            size, root, and height of the block; None while this copy is shorter than the checkpoint, or began later.

        Raises:
            PeerError: it is not a checkpoint that the orderer signed.
            ForkError: the orderer signed another history than this copy's.
        """
        size, root, statement = self._read(note)
        last = self._store.last_block()
        if last is None or size > last.size or size < self._store.unknown_below():
            return None
        block = self._store.block_of_size(size)
        if size and (block is None or block.history_root != root):
            raise ForkError(
                f"{statement.organisation} signed another history of size {size} than it gave this node",
                size,
                self._prove(statement),
                statement.organisation,
            )
        # The empty history is there from the genesis on, whatever blocks without an operation follow.
        return size, root, block.height if block is not None and size else 0

    def cosign(self, note: bytes) -> SizedCosignature | None:
        """Check the orderer's checkpoint against this node's copy and cosign it.

        Args:
            note: as the orderer, or another node, gave it.

        Returns:
            this node's cosignature, already kept; None while this copy is shorter than the checkpoint, and where this
            node's key does not speak for the zone yet: who joins with the last operation witnesses larger histories.

        Raises:
            PeerError: it is not a checkpoint that the orderer signed.
            ForkError: the orderer signed another history than this copy's.
        """
        checked = self.check(note)
        if checked is None:
            return None
        size, root, height = checked
        if self.members_at(size).get(self._organisation) != self._signer.public_key:
            self._store.add_checkpoint(size, root, height, note.decode())
            return None
        made = cosign(
            self._store.chain,
            size,
            root,
            organisation=self._organisation,
            signer=self._signer,
            time_s=self._clock_s(),
        )
        known = [each for each in self._store.cosignatures(size) if each[0] == self._organisation]
        self._store.add_checkpoint(size, root, height, note.decode())
        if known:
            _, time_s, signature = known[0]
            made = Cosignature(organisation=self._organisation, signature=signature.hex(), time=time_s)
        else:
            self._store.add_cosignature(size, self._organisation, made.time, bytes.fromhex(made.signature))
        return SizedCosignature(size, root, made)

    def add(self, given: SizedCosignature) -> bool:
        """Take another node's cosignature.

        Returns:
            whether it is good and new; one beyond this copy is not an error, only too early.

        Raises:
            ForkError: a member cosigned another history than this copy's.
        """
        organisation = given.cosignature.organisation
        if organisation == self._organisation:
            return False
        last = self._store.last_block()
        if last is None or given.size > last.size or given.size < self._store.unknown_below():
            return False
        key = self.members_at(given.size).get(organisation)
        body = checkpoint_body(self._store.chain, given.size, given.root)
        if key is None or not verify_cosignature(body, given.cosignature, key):
            return False
        root = self._store.history_root(given.size)
        if root != given.root:
            raise ForkError(
                f"{organisation} witnessed another history of size {given.size} than this copy has",
                given.size,
                self._prove(_as_statement(given)),
                organisation if organisation in self._trust.derived.version_at(given.size).validators else None,
            )
        if any(name == organisation for name, _, _ in self._store.cosignatures(given.size)):
            return False
        raw = bytes.fromhex(given.cosignature.signature)
        self._store.add_cosignature(given.size, organisation, given.cosignature.time, raw)
        return True

    def recent(self, limit: int = 8) -> list[SizedCosignature]:
        """Return the cosignatures of the latest checkpoints, for other nodes, newest first."""
        rows = self._store.query(
            "SELECT c.size, p.root, c.organisation, c.time_s, c.signature FROM cosignatures c "
            "JOIN checkpoints p ON p.size = c.size WHERE c.size IN "
            "(SELECT size FROM checkpoints ORDER BY size DESC LIMIT ?) ORDER BY c.size DESC, c.organisation",
            (limit,),
        )
        return [
            SizedCosignature(size, root, Cosignature(organisation=name, signature=signature.hex(), time=time_s))
            for size, root, name, time_s, signature in rows
        ]

    def witnessed_size(self) -> int:
        """Return the largest checkpoint with as many cosignatures of others as its version needs; 0 if none."""
        for size, names in self._store.query(
            "SELECT size, group_concat(organisation) FROM cosignatures GROUP BY size ORDER BY size DESC LIMIT 64"
        ):
            version = self._trust.derived.version_at(size)
            others = [name for name in names.split(",") if name in version.members and name not in version.validators]
            if version.needed and len(others) >= version.needed:
                return int(size)
        return 0

    def _read(self, note: bytes) -> tuple[int, bytes, CheckpointStatement]:
        """Return size and root of a checkpoint that the orderer of its size signed, and the signed statement.

        Raises:
            PeerError: it is not one.
        """
        lines = note.split(b"\n", 2)
        claimed = lines[1] if len(lines) > 2 and lines[1].isdigit() and len(lines[1]) < 17 else b"0"
        version = self._trust.derived.version_at(int(claimed))
        try:
            checkpoint = verify_checkpoint(note, self._store.chain, version.validators)
            if not checkpoint.signers:
                raise MalformedError("not signed as a checkpoint")
        except MalformedError as error:
            raise PeerError(
                f"a checkpoint was offered that is not the orderer's: {error.reason}",
                remedy="Follow another member's node; this one did not prove what it said.",
            ) from None
        organisation = checkpoint.signers[0]
        name = key_name(organisation, self._store.chain)
        identifier = key_id(name, TYPE_ED25519, version.validators[organisation])
        signature = next(
            line.signature for line in parse_note(note).signatures if (line.name, line.key_id) == (name, identifier)
        )
        statement = CheckpointStatement(
            organisation=organisation,
            root=checkpoint.root.hex(),
            signature=signature.hex(),
            size=checkpoint.size,
        )
        return checkpoint.size, checkpoint.root, statement

    def _prove(self, other: CheckpointStatement | CosignatureStatement) -> bytes:
        """Return the fork proof of a statement that this copy contradicts.

        Against it stands the signed header of the block of that size; or where this copy has no block of that
        size, of the next longer one, with the path that shows which root its history has at that size.
        """
        size = other.size
        rows = self._store.query("SELECT size FROM blocks WHERE size >= ? ORDER BY height LIMIT 1", (size,))
        block = self._store.block_of_size(rows[0][0])
        assert block is not None  # noqa: S101 - statements beyond this copy are not judged
        mine = signed_statement(block, other.organisation)
        if block.size == size:
            return build_histories_fork(self._store.chain, other, mine)
        node = self._nodes(block.size)
        return build_histories_fork(
            self._store.chain,
            other,
            mine,
            prefix_root=range_hash(0, size, node),
            path=consistency_path(size, block.size, node),
        )


def signed_statement(block: BlockRow, organisation: str = "") -> HeaderStatement:
    """Return what a block of this copy says of the history, in the words of one that signed its header.

    Args:
        block: with at least one signature.
        organisation: whose signature is best, if it is there: it then contradicts itself.
    """
    signatures = decode_signatures(block.signatures)
    signed = next((each for each in signatures if each.organisation == organisation), signatures[0])
    return header_statement(decode_header(block.header), signed, block.state_root, block.history_root, block.size)


def _as_statement(given: SizedCosignature) -> CosignatureStatement:
    return CosignatureStatement(
        organisation=given.cosignature.organisation,
        root=given.root.hex(),
        signature=given.cosignature.signature,
        size=given.size,
        time=given.cosignature.time,
    )
