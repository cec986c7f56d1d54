"""Checkpoints and who witnesses them: the part of the ledger that no single node can bend.

The orderer signs a checkpoint of what is on its disk. Every other node compares it with its own copy and cosigns it; the
cosignatures travel directly between the nodes, not only through the orderer. Two signed roots of one size that differ
are a fork proof: it is kept, shown, and from then on this node trusts the orderer no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tallystick.codec import MalformedError
from tallystick.errors import IntegrityError, PeerError
from tallystick.keys import Signer
from tallystick.ledger.ports import Store
from tallystick.ledger.trustkeeper import TrustKeeper
from tallystick.proofs.checkpoints import (
    Cosignature,
    checkpoint_body,
    cosign,
    cosignature_line,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignature,
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
        evidence: the two signed statements, to be kept as a fork proof.
    """

    def __init__(self, message: str, size: int, evidence: tuple[bytes, ...]) -> None:
        super().__init__(
            message,
            remedy="This node stopped trusting the orderer. `tally ledger compare` shows the proof; tell the members.",
        )
        self.size = size
        self.evidence = evidence


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
    ) -> None:
        """Prepare a witness.

        Args:
            store: this node's copy.
            trust: the zone's trust file.
            organisation: whose node this is.
            signer: its `system` key.
            clock_s: UTC time, seconds; cosignatures carry it.
        """
        self._store = store
        self._trust = trust
        self._organisation = organisation
        self._signer = signer
        self._clock_s = clock_s

    def members_at(self, size: int) -> Mapping[str, bytes]:
        """Return organisation -> `system` key of those who speak for the zone at a size, as this ledger has it."""
        return self._trust.derived.version_at(size).members

    def publish(self, size: int, root: bytes, height: int) -> bytes:
        """Sign the checkpoint of a block on disk (the orderer's part); return the note."""
        note = sign_checkpoint(self._store.chain, size, root, organisation=self._organisation, signer=self._signer)
        self._store.add_checkpoint(size, root, height, note.decode())
        return note

    def cosign(self, note: bytes) -> SizedCosignature | None:
        """Check the orderer's checkpoint against this node's copy and cosign it.

        Args:
            note: as the orderer, or another node, gave it.

        Returns:
            this node's cosignature, already kept; None while this copy is shorter than the checkpoint.

        Raises:
            PeerError: it is not a checkpoint that the orderer signed.
            ForkError: the orderer signed another history than this copy's.
        """
        size, root = self._read(note)
        block = self._store.block_of_size(size)
        last = self._store.last_block()
        if last is None or size > last.size:
            return None
        if block is None or block.history_root != root:
            raise ForkError(f"the orderer signed another history of size {size} than it gave this node", size, (note,))
        made = cosign(
            self._store.chain,
            size,
            root,
            organisation=self._organisation,
            signer=self._signer,
            time_s=self._clock_s(),
        )
        known = [each for each in self._store.cosignatures(size) if each[0] == self._organisation]
        self._store.add_checkpoint(size, root, block.height, note.decode())
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
        if last is None or given.size > last.size:
            return False
        key = self.members_at(given.size).get(organisation)
        body = checkpoint_body(self._store.chain, given.size, given.root)
        if key is None or not verify_cosignature(body, given.cosignature, key):
            return False
        root = self._store.history_root(given.size)
        if root != given.root:
            line = cosignature_line(self._store.chain, given.cosignature, key)
            raise ForkError(
                f"{organisation} witnessed another history of size {given.size} than this copy has",
                given.size,
                (body, line.signature),
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
            others = [name for name in names.split(",") if name in version.members and name != version.orderer]
            if version.needed and len(others) >= version.needed:
                return int(size)
        return 0

    def _read(self, note: bytes) -> tuple[int, bytes]:
        """Return size and root of a checkpoint that the orderer of its size signed.

        Raises:
            PeerError: it is not one.
        """
        lines = note.split(b"\n", 2)
        claimed = lines[1] if len(lines) > 2 and lines[1].isdigit() and len(lines[1]) < 17 else b"0"
        version = self._trust.derived.version_at(int(claimed))
        try:
            checkpoint = verify_checkpoint(note, self._store.chain, {version.orderer: version.orderer_key})
        except MalformedError as error:
            raise PeerError(
                f"a checkpoint was offered that is not the orderer's: {error.reason}",
                remedy="Follow another member's node; this one did not prove what it said.",
            ) from None
        return checkpoint.size, checkpoint.root
