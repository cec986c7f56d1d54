"""New copies of zones that have a history already."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import closing
from pathlib import Path

from tallystick.codec import sha256
from tallystick.keys import OpenKeys
from tallystick.machine import build_transaction
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops.record_evidence import RecordEvidence
from tallystick.node.config import ApiSection, NodeSection, PeersSection, Settings
from tallystick.node.homes import Home, NewHome, furnish, open_keys
from tallystick.node.join import invite, join
from tallystick.node.snapshot_main import take_snapshot
from tallystick.ordering import InlineVerifier, Replica
from tallystick.ordering.snapshots import DESCRIPTION, decode_description
from tallystick.store import LedgerStore, TileLog
from tests.support.liars import next_block
from tests.support.nodes import PASSPHRASE, RunningNode, free_port, open_quickly
from tests.support.submitting import Author, open_door

SNAPSHOT_FROM = "TALLY_LEDGER_SNAPSHOT_FROM"
AT_ONCE = 100


def fill(node: RunningNode, operations: int, keys: OpenKeys | None = None) -> None:
    """Record so many pieces of evidence at a node, many in a transaction.

    Raises:
        AssertionError: one was not recorded.
    """
    author = Author(node.home, keys or open_keys(node.home, PASSPHRASE))
    with open_door(node) as http:
        for done in range(0, operations, AT_ONCE):
            count = min(AT_ONCE, operations - done)
            messages = [RecordEvidence(root=secrets.token_hex(32), count=1) for _ in range(count)]
            answer = http.post("/v1/transactions", content=author.sign(*messages))
            assert answer.status_code == 200, answer.text


def applied(folder: Path, inviter: RunningNode, organisation: str) -> tuple[RunningNode, str]:
    """Let an organisation apply; returns its node, not started, and the fingerprint of its card."""
    home, fingerprint = asyncio.run(
        join(
            folder / organisation,
            invite(inviter.home, organisation),
            organisation.replace("-", " ").title(),
            PASSPHRASE,
            f"127.0.0.1:{free_port()}",
            "127.0.0.1:0",
        )
    )
    return RunningNode(open_quickly(home)), fingerprint


def apply(folder: Path, inviter: RunningNode, organisation: str) -> RunningNode:
    """Let an organisation apply and be admitted; returns its node, not started."""
    node, fingerprint = applied(folder, inviter, organisation)
    with inviter.api() as api:
        api.post(f"/v1/applications/{organisation}/admit", {"fingerprint": fingerprint})
    return node


def base_of(home: Home) -> int | None:
    """Return the height that a copy began from; None where it has everything, or nothing yet."""
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        base = store.base
        return None if base is None else base.height


def height_of(home: Home) -> int:
    """Return the height of a copy."""
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        last = store.last_block()
        return 0 if last is None else last.height


def make_history(home: Home, keys: OpenKeys, blocks: int, operations: int = 3) -> None:
    """Give a home, whose node does not run, some blocks of evidence, signed by it as the one that orders."""
    time = 1_700_000_000_000
    with closing(LedgerStore(home.ledger_path, rulebook())) as store:
        last = store.last_block()
        time = time if last is None else last.time
        replica = Replica(
            store.load_state(),
            store,
            rulebook(),
            InlineVerifier(),
            validators=lambda: {home.settings.node.organisation: keys.signer("system").public_key},
            clock_ms=lambda: time,
            previous=store.last_header_hash(),
        )
        service = keys.signer("service")
        for _ in range(blocks):
            time += 1_000
            state = replica.state
            transaction = build_transaction(
                [RecordEvidence(root=secrets.token_hex(32), count=1) for _ in range(operations)],
                organisation=home.settings.node.organisation,
                key=service.public_key,
                sign=service.sign,
                external_aad=store.genesis_hash,
                expires=time + 600_000,
                nonce=secrets.token_hex(16),
                seen_size=state.frontier.size,
                seen_root=state.frontier.root(),
            )
            asyncio.run(replica.apply(*next_block(home, keys.signer("system"), [transaction], time)))
        tiles = TileLog(home.log_path)
        tiles.resume(replica.state.frontier.size, store.leaves)


def make_newcomer(path: Path, origin: Home) -> Home:
    """Make an empty copy of a zone, as joining does, without asking anybody."""
    settings = Settings(
        node=NodeSection(organisation="university", role="replica"),
        peers=PeersSection(),
        api=ApiSection(listen="127.0.0.1:0"),
    )
    genesis = (origin.path / "genesis.json").read_bytes()
    with NewHome(path) as new:
        furnish(new.folder, settings=settings, genesis=genesis, trust=origin.read_trust())
        return new.finish()


def snapshot_of(home: Home) -> tuple[bytes, list[bytes]]:
    """Take a snapshot of a home; return its description and its chunks."""
    height = take_snapshot(home)
    folder = home.snapshots_path / str(height)
    data = (folder / DESCRIPTION).read_bytes()
    return data, [(folder / str(index)).read_bytes() for index in range(len(decode_description(data).chunks))]


def hand_over(home: Home, chunks: list[bytes]) -> None:
    """Put chunks where a newcomer collects them."""
    home.incoming_path.mkdir(exist_ok=True)
    for chunk in chunks:
        (home.incoming_path / sha256(chunk).hex()).write_bytes(chunk)
