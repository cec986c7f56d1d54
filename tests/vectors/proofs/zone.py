"""A zone in memory with keys that anyone can compute, from which tests and golden vectors take their proofs.

It keeps the rules of the formats and nothing else: no machine, no disk, no clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.codec import decode_sign1, encode_json, encode_sign1, protected_header, sha256, sig_structure
from tallystick.codec.cards import Card, CardKey
from tallystick.codec.cose import head
from tallystick.codec.payloads import Payload, Seen
from tallystick.keys import ED25519, Signer
from tallystick.merkle import StateTree, inclusion_path, leaf_hash, node_hash, state_key, state_leaf, tree_root
from tallystick.proofs import (
    Cosignature,
    Header,
    HeaderSignature,
    TrustEntry,
    TrustFile,
    app_hash,
    build_receipt,
    cosign,
    header_hash,
    history_leaf,
    sign_entry,
    sign_header,
    transactions_root,
)

START = 1_735_689_600_000
ORGANISATIONS = ("bank", "city", "hospital", "port", "university")


def signer(name: str) -> Signer:
    """Return the key that belongs to a name, the same at every run."""
    return ED25519.from_private(hashlib.sha256(b"test key of " + name.encode()).digest())


def make_card(organisation: str) -> Card:
    """Return the card of an organisation with one key a role."""
    roles = ("registration", "security", "service", "system")
    keys = tuple(CardKey(key=signer(f"{organisation}/{role}").public_key.hex(), role=role) for role in roles)
    return Card(
        organisation=organisation,
        name=f"The {organisation}",
        keys=keys,
        recovery=signer(f"{organisation}/recovery").public_key.hex(),
        encryption=hashlib.sha256(b"encryption of " + organisation.encode()).hexdigest(),
        tls_pins=(hashlib.sha256(b"tls of " + organisation.encode()).hexdigest(),),
        address=f"{organisation}.example:8443",
    )


@dataclass(frozen=True)
class Entry:
    """Where one operation went: what a receipt is built from."""

    transaction: bytes
    index: int
    outcome: int
    height: int
    time: int
    leaf_index: int


class Levels:
    """All hashes of a history tree, level by level."""

    def __init__(self) -> None:
        self.rows: list[list[bytes]] = [[]]

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash and complete the perfect subtrees that it ends."""
        self.rows[0].append(leaf)
        level = 0
        while len(self.rows[level]) % 2 == 0:
            if level + 1 == len(self.rows):
                self.rows.append([])
            self.rows[level + 1].append(node_hash(self.rows[level][-2], self.rows[level][-1]))
            level += 1

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a perfect subtree."""
        return self.rows[level][index]

    def root(self, size: int) -> bytes:
        """Return the root over the first `size` leaves."""
        if not size:
            return tree_root([])
        found, end = b"", size
        while end:
            level = (end & -end).bit_length() - 1
            part = self.rows[level][(end >> level) - 1]
            found = node_hash(part, found) if found else part
            end &= end - 1
        return found


class Zone:
    """A zone with its history, its headers and every member's keys."""

    def __init__(
        self,
        organisations: Sequence[str] = ORGANISATIONS,
        *,
        orderers: Sequence[str] = ("city",),
        chain: str = "riverside-1a2b3c4d",
        filler: int = 0,
    ) -> None:
        """Begin a zone.

        Args:
            organisations: founders.
            orderers: those of them who order.
            chain: chain id.
            filler: entries of no meaning that the history begins with.
        """
        self.chain = chain
        self.genesis_hash = sha256(encode_json([chain, sorted(organisations), sorted(orderers)]))
        self.trust = TrustFile.first(
            chain,
            self.genesis_hash,
            {name: self.key(name).public_key for name in organisations},
            {name: self.key(name) for name in orderers},
        )
        self.tree = Levels()
        self.state = StateTree()
        self.values: dict[bytes, bytes] = {}
        self.previous = self.genesis_hash
        self.headers: list[tuple[Header, list[HeaderSignature], int]] = []
        self.state_roots: list[bytes] = []
        self.pending: list[bytes] = []
        self.time = START
        for number in range(filler):
            self.tree.append(leaf_hash(b"filler %d" % number))

    @property
    def size(self) -> int:
        """Leaves of the history."""
        return len(self.tree.rows[0])

    def transaction(
        self, organisation: str, operations: Sequence[bytes], *, seen: Seen | None = None, nonce: int = 1
    ) -> bytes:
        """Return a signed transaction."""
        key = signer(f"{organisation}/service")
        payload = encode_json(
            Payload(
                atomic=True,
                expires=self.time + 600_000,
                nonce=f"{nonce:032x}",
                operations_root=tree_root(operations).hex(),
                organisation=organisation,
                seen=seen or Seen(root=self.tree.root(self.size).hex(), size=self.size),
                v=1,
            )
        )
        protected = protected_header(key.public_key)
        signature = key.sign(sig_structure(protected, self.genesis_hash, payload))
        parts = [b"\x82", encode_sign1(protected, payload, signature), head(4, len(operations))]
        for operation in operations:
            parts += (head(2, len(operation)), operation)
        return b"".join(parts)

    def record(self, transaction: bytes, operations: Sequence[bytes], outcome: int = 0) -> list[Entry]:
        """Put a transaction into the next block; return where its operations went."""
        transaction_id = frame_id(transaction, self.genesis_hash)
        height = len(self.headers) + 1
        entries = []
        for index, operation in enumerate(operations):
            entries.append(Entry(transaction, index, outcome, height, self.time, self.size))
            leaf = history_leaf(height, index, sha256(operation), outcome, self.time, transaction_id.hex())
            self.tree.append(leaf_hash(leaf))
        self.pending.append(transaction)
        return entries

    def put(self, collection: str, key: str, value: Mapping[str, Any]) -> None:
        """Write a record."""
        place = state_key(collection, key)
        raw = encode_json(value)
        self.values[place] = sha256(raw)
        self.state.apply(self.state.preview({place: state_leaf(place, sha256(raw))}))

    def block(self) -> tuple[Header, list[HeaderSignature], int]:
        """Make a block of what is pending, signed by all who order; return header, signatures and history size."""
        header = Header(
            app_hash=app_hash(self.state.root, self.tree.root(self.size), self.size).hex(),
            chain=self.chain,
            height=len(self.headers) + 1,
            previous=self.previous.hex(),
            time=self.time,
            transactions_root=transactions_root(self.pending).hex(),
        )
        signatures = self.sign(header, *self.trust.version_at(self.size).validators)
        self.headers.append((header, signatures, self.size))
        self.state_roots.append(self.state.root)
        self.previous, self.pending = header_hash(header), []
        self.time += 1_000
        return self.headers[-1]

    def sign(self, header: Header, *organisations: str) -> list[HeaderSignature]:
        """Return signatures of a header."""
        return [sign_header(header, organisation, self.key(organisation)) for organisation in organisations]

    def key(self, organisation: str) -> Signer:
        """Return the `system` key of a member."""
        return signer(f"{organisation}/system")

    def cosign(self, size: int, organisations: Sequence[str], root: bytes | None = None) -> list[Cosignature]:
        """Return cosignatures of this history."""
        return [
            cosign(
                self.chain,
                size,
                self.tree.root(size) if root is None else root,
                organisation=organisation,
                signer=self.key(organisation),
                time_s=START // 1_000 + 5,
            )
            for organisation in organisations
        ]

    def receipt(
        self,
        entry: Entry,
        witnesses: Sequence[str] = ("bank", "hospital", "port"),
        *,
        at: int = -1,
        links: Sequence[TrustEntry] = (),
        **changed: Any,
    ) -> bytes:
        """Return a receipt against one of the headers; `changed` replaces parts of it."""
        header, signatures, size = self.headers[at]
        parts: dict[str, Any] = {
            "transaction": entry.transaction,
            "index": entry.index,
            "outcome": entry.outcome,
            "height": entry.height,
            "time": entry.time,
            "leaf_index": entry.leaf_index,
            "size": size,
            "path": inclusion_path(entry.leaf_index, size, self.tree.node),
            "state_root": self.state_roots[at],
            "header": header,
            "header_signatures": signatures,
            "cosignatures": self.cosign(size, witnesses),
            "links": links,
        }
        return build_receipt(**{**parts, **changed})

    def change_members(
        self,
        members: Sequence[str],
        signers: Sequence[str],
        *,
        orderers: Sequence[str] = ("city",),
        needed: int | None = None,
        handover: bool = False,
    ) -> TrustEntry:
        """Return the next trust version, signed by `signers`, and follow it; with a handover it ends what was before."""
        keys = {name: self.key(name).public_key for name in members}
        entry = self.trust.next_entry(
            keys,
            validators=orderers,
            height=len(self.headers),
            since=self.size + 1 if handover else self.size,
            needed=needed,
            root=self.tree.root(self.size) if handover else None,
        )
        for name in signers:
            entry = sign_entry(self.trust.latest.hash, entry, name, self.key(name))
        self.trust = self.trust.extend([entry])
        return entry


def frame_id(transaction: bytes, genesis: bytes) -> bytes:
    """Return the id of a raw transaction."""
    frame, _ = decode_sign1(transaction, 1)
    return sha256(sig_structure(frame.protected, genesis, frame.payload))


def evidence(number: int = 0) -> bytes:
    """Return an operation of the usual size, about 200 bytes."""
    root = hashlib.sha256(b"evidence %d" % number).hexdigest()
    return encode_json(
        {
            "count": 3,
            "label": "inspection",
            "note": "quarterly fire inspection, building 4",
            "root": root,
            "type": "record_evidence",
            "v": number,
        }
    )


def small_zone() -> tuple[Zone, list[Entry]]:
    """Return a zone of five with three operations in one transaction, in a history of 12, two blocks later."""
    zone = Zone(filler=6)
    operations = [evidence(number) for number in range(3)]
    entries = zone.record(zone.transaction("hospital", operations), operations)
    zone.block()
    later = [evidence(9)]
    zone.record(zone.transaction("bank", later, nonce=2), later)
    zone.put("evidence", "ev-1", {"organisation": "hospital", "root": "00" * 32})
    zone.put("evidence", "ev-2", {"organisation": "bank", "root": "11" * 32})
    zone.block()
    return zone, entries
