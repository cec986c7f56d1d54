"""Who is who among peers, as this node's own copy of the ledger has it: pins, addresses, those who order.

Only active members count. What was looked up is kept until these records change: each block is a reason to look, and
with many members taking them apart takes longer than everything else that a node does with a block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from tallystick.machine import State
from tallystick.modules.organisations.queries import get_zone, ordering, seatings
from tallystick.modules.organisations.records import ORGANISATIONS, SEATINGS, ZONE
from tallystick.proofs.headers import quorum
from tallystick.store import LedgerStore


class Peer(NamedTuple):
    """A member's node.

    Attributes:
        organisation: its id.
        address: `host:port`, or "" where nothing can connect to it.
        pins: of its TLS keys, hex.
    """

    organisation: str
    address: str
    pins: frozenset[str]


class Directory:
    """Members by pin and by id; a `dataplane.PeerDirectory`."""

    def __init__(self, store: LedgerStore) -> None:
        """Read from a copy of the ledger."""
        self._store = store
        self._height = -1
        self._read: list[tuple[str, bytes]] = []
        self._peers: dict[str, Peer] = {}
        self._by_pin: dict[str, tuple[str, ...]] = {}
        self._orderers: tuple[str, ...] = ()
        self._seats: list[tuple[int, int]] = []

    def find_organisation(self, peer_pin: str, claimed: str = "") -> str | None:
        """Return the active member that has registered a pin, or None.

        Args:
            peer_pin: of the key that a peer proved to hold.
            claimed: who the peer says to be. Anybody can register anybody's pin for themselves; where several members
                have the same one, the peer is who it says to be, if it is one of them.
        """
        owners = self.owners(peer_pin)
        if claimed:
            return claimed if claimed in owners else None
        return owners[0] if len(owners) == 1 else None

    def owners(self, peer_pin: str) -> tuple[str, ...]:
        """Return the active members that have registered a pin, by id."""
        self._refresh()
        return self._by_pin.get(peer_pin, ())

    def find(self, organisation: str) -> Peer | None:
        """Return an active member's node, or None."""
        self._refresh()
        return self._peers.get(organisation)

    def peers(self) -> list[Peer]:
        """Return the nodes of all active members, by id."""
        self._refresh()
        return list(self._peers.values())

    def pins(self) -> frozenset[str]:
        """Return the pins of all active members."""
        self._refresh()
        return frozenset(self._by_pin)

    @property
    def orderers(self) -> tuple[str, ...]:
        """The organisations that order, sorted; one in a zone on the embedded engine."""
        self._refresh()
        return self._orderers

    def quorums(self) -> Callable[[int], int]:
        """Return what tells how many signatures the header of a height needs: by who ordered then, not who does now."""
        self._refresh()
        return partial(_quorum_at, tuple(self._seats))

    def _refresh(self) -> None:
        height = self._store.last_height()
        if height == self._height:
            return
        read = [row for collection in (ORGANISATIONS, ZONE, SEATINGS) for row in self._store.scan(collection.name)]
        if read != self._read:
            self._take_apart()
            self._read = read
        self._height = height

    def _take_apart(self) -> None:
        state = State(self._store)
        self._peers = {
            organisation: Peer(organisation, record.address, frozenset(record.tls_pins))
            for organisation, record in state.scan(ORGANISATIONS)
            if record.status == "active"
        }
        owners: dict[str, list[str]] = {}
        for peer in self._peers.values():
            for pin in peer.pins:
                owners.setdefault(pin, []).append(peer.organisation)
        self._by_pin = {pin: tuple(names) for pin, names in owners.items()}
        self._orderers = ordering(get_zone(state))
        self._seats = [(since, len(seating.seats)) for since, seating in seatings(state)]


def _quorum_at(seats: Sequence[tuple[int, int]], height: int) -> int:
    before = [count for since, count in seats if since < height]
    return quorum(before[-1]) if before else 1
