"""A zone of four that order together, and of replicas, made without any engine: homes, keys, and blocks signed as wished.

The homes are those of `tally network create`. Blocks are executed beside them and signed with the validators' real keys,
so that a test may let two of them sign what four should, or one of them with a key of yesterday.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from nacl.signing import SigningKey

from tallystick.keys import ED25519, OpenKeys, Signer
from tallystick.machine import Block, BlockResult, LedgerState, Message, build_transaction, execute_block
from tallystick.merkle import EMPTY_ROOT
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.modules.organisations.ops import DemoteValidator, RotateKey
from tallystick.modules.organisations.possession import possession_message
from tallystick.node import network
from tallystick.node.homes import Home, open_keys
from tallystick.node.peers.messages import SignedBlock
from tallystick.proofs.headers import (
    Header,
    HeaderSignature,
    encode_header,
    encode_signatures,
    header_hash,
    sign_header,
    transactions_root,
)
from tallystick.store import LedgerStore

VALIDATORS = ("city-hospital", "river-university", "harbour-bank", "city-agency")
REPLICAS = ("port-authority", "north-energy")


class TogetherZone:
    """Four validators and two replicas whose nodes do not run.

    Attributes:
        blocks: all so far, signed by all that order.
        signers: `system` keys of the validators, as they are registered now.
        keys: of every member.
    """

    def __init__(self, folder: Path) -> None:
        """Make the homes in a new folder."""
        self.folder = folder
        network.create_network(folder, validators=4, replicas=2, organisations=[*VALIDATORS, *REPLICAS])
        self.passphrase = (folder / "passphrase").read_text().strip()
        self.keys: dict[str, OpenKeys] = {
            name: open_keys(self.home(name), self.passphrase) for name in (*VALIDATORS, *REPLICAS)
        }
        self.signers: dict[str, Signer] = {name: self.keys[name].signer("system") for name in VALIDATORS}
        self.blocks: list[SignedBlock] = []
        scratch = folder.parent / f"{folder.name}-scratch.db"
        shutil.copy(self.home(VALIDATORS[0]).ledger_path, scratch)
        self.store = LedgerStore(scratch, rulebook())
        self.state: LedgerState = self.store.load_state()
        self._results: list[BlockResult] = []

    def home(self, name: str) -> Home:
        """Return a member's home."""
        return Home(self.folder / name)

    def sign(self, name: str, *operations: Message, role: str = "service") -> bytes:
        """Return a transaction of a member."""
        signer = self.keys[name].signer(role)
        return build_transaction(
            operations or [RecordEvidence(root=secrets.token_hex(32), count=1)],
            organisation=name,
            key=signer.public_key,
            sign=signer.sign,
            external_aad=self.state.genesis_hash,
            expires=time.time_ns() // 1_000_000 + 600_000,
            nonce=secrets.token_hex(16),
            seen_size=0,
            seen_root=EMPTY_ROOT,
        )

    def make(self, *transactions: bytes) -> SignedBlock:
        """Add a block of these transactions, or of a piece of evidence, signed by all validators."""
        raws = transactions or (self.sign(VALIDATORS[0]),)
        state = self.state
        now = max(time.time_ns() // 1_000_000, state.time)
        result = execute_block(state, Block(state.height + 1, now, tuple(raws)), rulebook())
        assert all(done.refused is None for done in result.results), [done.refused for done in result.results]
        header = Header(
            app_hash=result.app_hash.hex(),
            chain=state.chain,
            height=state.height + 1,
            previous=self.store.last_header_hash().hex(),
            time=now,
            transactions_root=transactions_root(raws).hex(),
        )
        block = signed(header, raws, self.signers)
        self.store.commit_block(result, block.header, block.signatures)
        result.commit_to(state)
        self.blocks.append(block)
        self._results.append(result)
        return block

    def rotate_system_key(self, name: str) -> Signer:
        """Add a block in which a validator replaces its `system` key; return the one of before."""
        before = self.signers[name]
        fresh = SigningKey.generate()
        public = fresh.verify_key.encode().hex()
        proof = fresh.sign(possession_message(self.state.chain, name, public, recovery=False)).signature.hex()
        self.make(self.sign(name, RotateKey(old=before.public_key.hex(), new=public, proof=proof), role="security"))
        self.signers[name] = ED25519.from_private(bytes(fresh))
        return before

    def demote(self, name: str) -> Signer:
        """Add a block in which the others vote a validator out of those who order; return its `system` key."""
        gone = self.signers[name]
        voters = [each for each in self.signers if each != name]
        self.make(*(self.sign(each, DemoteValidator(organisation=name), role="registration") for each in voters))
        del self.signers[name]
        return gone

    def give(self, name: str, count: int) -> None:
        """Put the first so many blocks into a member's copy, which has none."""
        store = LedgerStore(self.home(name).ledger_path, rulebook())
        for result, block in list(zip(self._results, self.blocks, strict=True))[:count]:
            store.commit_block(result, block.header, block.signatures)
        store.close()

    def copy(self, name: str, folder: Path) -> Home:
        """Return a fresh copy of a member's home."""
        target = folder / f"{name}-{len(list(folder.iterdir()))}"
        shutil.copytree(self.folder / name, target)
        return Home(target)


def signed(header: Header, transactions: Sequence[bytes], signers: Mapping[str, Signer]) -> SignedBlock:
    """Return a block whose header these sign, each under the name it is given."""
    signatures = [sign_header(header, name, signer) for name, signer in signers.items()]
    return SignedBlock(encode_header(header), encode_signatures(signatures), list(transactions))


def with_signatures(block: SignedBlock, signatures: Sequence[HeaderSignature]) -> SignedBlock:
    """Return a block under other signatures."""
    return SignedBlock(block.header, encode_signatures(signatures), block.transactions)


def hash_of_header(header: Header) -> str:
    """Return what the next header names as the one before, hex."""
    return header_hash(header).hex()
