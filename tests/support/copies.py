"""The copies of a zone's ledger held against each other and against what their nodes acknowledged."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from tallystick.modules import rulebook
from tallystick.node.homes import Home
from tallystick.node.inspection import check
from tallystick.proofs.headers import Header, decode_header, decode_signatures, quorum
from tallystick.store import LedgerStore, StoredBlock

_REST_SECONDS = 3.0
_TAIL = 20


class Owner(Protocol):
    """Whoever has a copy."""

    home: Home


class Compared(NamedTuple):
    """What the copies of stopped nodes say together.

    Attributes:
        lost: acknowledged operations that a copy lacks, or has elsewhere than was told.
        forked: heights at which two copies have different headers.
    """

    lost: int
    forked: int


def on_disk(node: Owner) -> tuple[int, bytes]:
    """Return (height, header) of a copy's last block."""
    store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
    last = store.last_block()
    store.close()
    return (0, b"") if last is None else (last.height, last.header)


def is_still(node: Owner) -> bool:
    """Tell whether a copy has got no block for some rounds of the engine."""
    before = on_disk(node)
    time.sleep(_REST_SECONDS)
    return before == on_disk(node)


def is_sealed(node: Owner, validators: int) -> bool:
    """Tell whether a quorum has signed the last block of a copy."""
    store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
    last = store.last_block()
    store.close()
    return last is not None and len(decode_signatures(last.signatures)) >= quorum(validators)


def compare(nodes: Sequence[Owner], acknowledged: Mapping[str, tuple[int, int]]) -> Compared:
    """Count what was lost and what differs between the copies of stopped nodes.

    Args:
        nodes: whose copies; each must have all that was acknowledged.
        acknowledged: (height, leaf) by transaction id.
    """
    lost = 0
    headers: dict[int, set[Header]] = {}
    for node in nodes:
        store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
        for name, place in acknowledged.items():
            found = store.find_transaction(bytes.fromhex(name))
            lost += found is None or found[:2] != place
        for block in _heads(store):
            headers.setdefault(block.height, set()).add(decode_header(block.header))
        store.close()
    return Compared(lost, sum(len(each) > 1 for each in headers.values()))


def _heads(store: LedgerStore) -> list[StoredBlock]:
    last = store.last_block()
    found = [store.head_at(height) for height in range(1, 1 + (0 if last is None else last.height))]
    return [block for block in found if block is not None]


def assert_same_everywhere(nodes: Sequence[Owner], acknowledged: Mapping[str, tuple[int, int]]) -> None:
    """Stopped copies check out, agree at every height, have all that was acknowledged, and a quorum's signatures.

    Raises:
        AssertionError: one of these does not hold.
    """
    assert compare(nodes, acknowledged) == Compared(0, 0)
    for node in nodes:
        report = check(node.home.path)
        assert report.ok, (node.home.path.name, report.first)
        store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
        tail = _heads(store)[-_TAIL:]
        # The tail of a copy that was stopped may wait for signatures; any one under a later block speaks for those before.
        assert any(len(decode_signatures(block.signatures)) >= quorum(len(nodes)) for block in tail)
        store.close()
