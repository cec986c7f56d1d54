"""A zone of the house's operations in a node's home, block by block, for what a node reads of engines and seats.

Blocks are executed and stored as a node does; the header of each has the first member's signature alone, which nobody
asks for here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tallystick.keys import ED25519
from tallystick.machine import Block, BlockResult, Event, Message, execute_block
from tallystick.modules.organisations.ops import HandOver, SetEngine
from tallystick.modules.organisations.possession import consensus_possession_message
from tallystick.node.config import NodeSection, Settings, render_settings
from tallystick.node.engine_home import EngineIdentity, make_engine_keys, sign_with_consensus_key
from tallystick.node.homes import Home
from tallystick.proofs import Header, encode_header, encode_signatures, sign_header, transactions_root
from tallystick.proofs.headers import header_hash
from tallystick.store import LedgerStore
from tests.support.zones import SignedSimulator, signing_key


class SeatedZone(SignedSimulator):
    """A zone whose blocks are kept in the home of its first member.

    Attributes:
        home: the home.
        store: its ledger, open for writing.
        blocks: the transactions of each block, refused ones included; the first is of block 1.
        results: of each block.
    """

    def __init__(
        self, folder: Path, organisations: Sequence[str], *, validators: Sequence[str] = (), together: bool = False
    ) -> None:
        """Begin a zone.

        Args:
            folder: the home; made here.
            organisations: members from the start.
            validators: who votes; by default the first member alone.
            together: the validators order together; otherwise the first member does.
        """
        super().__init__(organisations, orderer="" if together else None, validators=validators)
        self.organisation = organisations[0]
        self.home = make_home(folder, self.organisation, "validator" if together else "orderer")
        records = [(collection, key, value) for (collection, key), value in self.reader.records.items()]
        LedgerStore.create(
            self.home.ledger_path, self.rulebook, chain=self.chain, genesis=self.genesis, records=records
        )
        self.store = LedgerStore(self.home.ledger_path, self.rulebook)
        self.blocks: list[tuple[bytes, ...]] = []
        self.results: list[BlockResult] = []

    def execute(self, transactions: Sequence[bytes], at_ms: int | None = None) -> list[Event]:
        """Execute a block and keep it; `last_results` holds the outcomes."""
        self._advance(at_ms)
        result = execute_block(self.ledger, Block(self.height, self.time, tuple(transactions)), self.rulebook)
        header = Header(
            app_hash=result.app_hash.hex(),
            chain=self.chain,
            height=self.height,
            previous=self.store.last_header_hash().hex(),
            time=self.time,
            transactions_root=transactions_root(result.block.transactions).hex(),
        )
        signer = ED25519.from_private(bytes(signing_key(self.organisation, "system")))
        signatures = encode_signatures([sign_header(header, self.organisation, signer)])
        self.store.commit_block(result, encode_header(header), signatures)
        assert header_hash(header) == self.store.last_header_hash()
        self.blocks.append(tuple(transactions))
        self.results.append(result)
        self.last_results, self.last_writes = result.results, result.writes
        self.reader.write(result.writes)
        result.commit_to(self.ledger)
        return [emitted.event for emitted in result.events]

    def hand_over(self, *organisations: str) -> None:
        """Let all validators announce their engines and agree to order together."""
        for organisation in organisations:
            self.run(organisation, self.engine(organisation))
        for organisation in organisations:
            self.run(organisation, HandOver())

    def announce(self, home: Home, address: str = "engine.example:26656") -> EngineIdentity:
        """Make the keys of a home's engine and let its organisation announce it."""
        identity = make_engine_keys(home.keys_path)
        self.run(home.settings.node.organisation, self.announcement(home, identity, address))
        return identity

    def announcement(self, home: Home, identity: EngineIdentity, address: str) -> Message:
        """Return the operation by which a home's organisation announces its engine."""
        key = identity.consensus.hex()
        message = consensus_possession_message(self.chain, home.settings.node.organisation, key)
        proof = sign_with_consensus_key(home.keys_path, message).hex()
        return SetEngine(consensus=key, node=identity.node, address=address, proof=proof)


def make_home(folder: Path, organisation: str, role: Literal["orderer", "replica", "validator"]) -> Home:
    """Return a new home with a configuration and nothing else."""
    folder.mkdir(parents=True)
    settings = Settings(node=NodeSection(organisation=organisation, role=role))
    (folder / "tally.toml").write_text(render_settings(settings))
    return Home(folder)
