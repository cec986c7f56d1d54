"""A node's home of the toy rulebook, made by the real engine: every table has rows, and `log/` its tiles.

The bank orders, the clinic witnesses; or four order together. Everything is derived from names and a clock that stands
still between blocks, so that two homes made alike are the same byte for byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tallystick.fsck import Membership, MembershipReader, Report, check_home
from tallystick.fsck.membership import Succession
from tallystick.keys import ED25519, Signer
from tallystick.machine import Block, Message, execute_block
from tallystick.ordering import InlineVerifier, Solo
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
from tallystick.proofs.trust import TrustFile, sign_entry
from tallystick.proofs.trust_versions import TRUST_TAG
from tallystick.store import LedgerStore, TileLog
from tests.support.toy import RULEBOOK, PutNote, Toy

CHAIN = "toy-00000000"
GENESIS = b'{"chain":"toy-00000000","toy":1}'
ORDERER, WITNESS = "bank", "clinic"
SYSTEM = {ORDERER: ED25519.from_private(b"o" * 32), WITNESS: ED25519.from_private(b"w" * 32)}
TOGETHER = {name: ED25519.from_private(name.encode().ljust(32, b"t")) for name in ("bank", "city", "clinic", "port")}


def membership(validators: Sequence[str], signers: Mapping[str, Signer]) -> MembershipReader:
    """Return what reads the same members from any state."""
    made = Membership(tuple(validators), {name: signer.public_key for name, signer in signers.items()})
    return MembershipReader(lambda state: made, frozenset())


MEMBERSHIP = membership((ORDERER,), SYSTEM)
TOGETHER_MEMBERSHIP = membership(tuple(TOGETHER), TOGETHER)

Batch = Sequence[tuple[str, Sequence[Message | bytes], bool]]
"""Transactions of one block: (organisation, operations, atomic)."""


class LedgerHome:
    """A home that is being made.

    Attributes:
        folder: the home.
        toy: keys and genesis records.
        store: its ledger, open for writing.
        engine: the orderer's.
        signers: `system` keys of the members.
    """

    def __init__(self, folder: Path, *, together: bool = False) -> None:
        """Begin a zone of the bank and the clinic, or one of four that order together.

        Args:
            folder: the home.
            together: four order; their blocks are made by `rogue_block`.
        """
        self.signers = TOGETHER if together else SYSTEM
        self._membership = TOGETHER_MEMBERSHIP if together else MEMBERSHIP
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.toy = Toy(genesis=GENESIS)
        self.path = folder / "ledger.db"
        LedgerStore.create(self.path, RULEBOOK, chain=CHAIN, genesis=GENESIS, records=self.toy.records())
        self.store = LedgerStore(self.path, RULEBOOK)
        self.now = 1_000
        self.log = TileLog(folder / "log")
        self.headers: list[bytes] = []
        self.trust = self._first_trust()
        self.engine: Solo | None = None

    def run(self, blocks: Sequence[Batch]) -> None:
        """Make blocks, a second apart; an empty batch is a block without transactions."""
        asyncio.run(self._run(blocks))

    async def _run(self, blocks: Sequence[Batch]) -> None:
        engine = Solo(
            self.store.load_state(),
            self.store,
            RULEBOOK,
            SYSTEM[ORDERER],
            InlineVerifier(),
            organisation=ORDERER,
            clock_ms=lambda: self.now,
            previous=self.store.last_header_hash(),
            on_block=lambda result, header, signatures: self._block(result.leaves, header),
        )
        engine.start()
        for batch in blocks:
            self.now += 1_000
            seen = (engine.state.frontier.size, engine.state.frontier.root())
            pending = [
                engine.submit(self.toy.sign(name, *operations, atomic=atomic, seen=seen, expires=self.now + 500_000))
                for name, operations, atomic in batch
            ]
            if pending:
                await asyncio.gather(*pending)
            else:
                engine._make_block([])
        await engine.stop()

    def _block(self, leaves: list[bytes], header: bytes) -> None:
        self.headers.append(header)
        self.log.append(leaves)

    def rogue_block(
        self,
        transactions: Sequence[bytes],
        *,
        time: int = 2_000,
        signers: Sequence[str] = (ORDERER,),
        lie: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep a block without asking any engine whether it may be.

        Args:
            transactions: whatever they are.
            time: of the block.
            signers: who sign the header.
            lie: fields of the header that are to be others.
        """
        state = self.store.load_state()
        result = execute_block(state, Block(state.height + 1, time, tuple(transactions)), RULEBOOK)
        fields: dict[str, Any] = {
            "app_hash": result.app_hash.hex(),
            "chain": CHAIN,
            "height": state.height + 1,
            "previous": self.store.last_header_hash().hex(),
            "time": time,
            "transactions_root": transactions_root(transactions).hex(),
        }
        header = Header(**(fields | dict(lie or {})))
        signatures = encode_signatures([sign_header(header, name, self.signers[name]) for name in signers])
        self.store.commit_block(result, encode_header(header), signatures)

    def _first_trust(self) -> TrustFile:
        identity = self.toy.state.genesis_hash
        first = Succession(CHAIN, identity, self._membership.read(None)).trust  # type: ignore[arg-type]
        entry = first.entries[0]
        for name in entry.validators:
            entry = sign_entry(identity, entry, name, self.signers[name])
        trust = TrustFile(CHAIN, identity, (entry,))
        trust.verify_chain()
        return trust

    def write_trust(self) -> None:
        """Write `zone.json`, and the trust file's version into the ledger."""
        (self.folder / "zone.json").write_bytes(self.trust.encode())
        bare = Succession(CHAIN, self.trust.genesis, self._membership.read(None))  # type: ignore[arg-type]
        self.store.add_trust(1, bare.entry_text(1).encode())
        for name in self.trust.latest.validators:
            self.store.add_trust_signature(1, name, self.signers[name].sign(TRUST_TAG + self.trust.latest.hash))

    def write_checkpoint(self) -> None:
        """Sign the history as it is, have it cosigned, and write tiles and checkpoint."""
        last = self.store.last_block()
        assert last is not None
        block = self.store.block_of_size(last.size)
        assert block is not None
        note = sign_checkpoint(CHAIN, last.size, last.history_root, organisation=ORDERER, signer=SYSTEM[ORDERER])
        self.store.add_checkpoint(last.size, last.history_root, block.height, note.decode())
        made = cosign(
            CHAIN, last.size, last.history_root, organisation=WITNESS, signer=SYSTEM[WITNESS], time_s=self.now // 1_000
        )
        self.store.add_cosignature(last.size, WITNESS, made.time, bytes.fromhex(made.signature))
        self.log.flush(note.decode())

    def write_fork(self) -> None:
        """Keep a proof that the orderer signed two headers of one height."""
        first = decode_header(self.headers[0])
        fields: dict[str, Any] = {name: getattr(first, name) for name in first.__struct_fields__}
        second = Header(**(fields | {"time": first.time + 1}))
        signed = [[sign_header(header, ORDERER, SYSTEM[ORDERER])] for header in (first, second)]
        proof = build_headers_fork(first, signed[0], second, signed[1])
        assert proof is not None
        self.store.add_fork(proof)

    def close(self) -> None:
        """Close the ledger."""
        self.store.close()


def note(key: str, text: str = "hello") -> PutNote:
    """Return an operation that puts a note."""
    return PutNote(key=key, text=text)


def make_home(folder: Path) -> Path:
    """Make a small home in which every table has rows, outcomes differ, and one block is empty; return it."""
    home = LedgerHome(folder)
    home.write_trust()
    home.run([[("bank", [note("a")], True)], [("clinic", [note("b", "\u00e9t\u00e9"), note("a")], False)]])
    home.write_checkpoint()
    home.run([[("bank", [note("c"), note("d", "")], True), ("clinic", [b"{}"], True)], []])
    home.run([[("bank", [note("e"), note("f")], True)]])
    home.write_checkpoint()
    home.write_fork()
    home.close()
    return folder


def check(home: Path, *, together: bool = False, **options: Any) -> Report:
    """Check a home of the toy rulebook."""
    reader = TOGETHER_MEMBERSHIP if together else MEMBERSHIP
    return check_home(home, RULEBOOK, lambda _: Toy(genesis=GENESIS).records(), membership=reader, **options)
