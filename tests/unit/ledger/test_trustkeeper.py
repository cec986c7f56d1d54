"""The trust file of a zone that is handed over: one version for it, however often its block is looked at."""

from __future__ import annotations

from pathlib import Path

from tallystick.keys import ED25519
from tallystick.ledger.trustkeeper import TrustKeeper
from tallystick.machine import State
from tallystick.node.homes import first_trust
from tests.support.seated import SeatedZone
from tests.support.zones import HOSPITAL, UNIVERSITY, signing_key

PAIR = (HOSPITAL, UNIVERSITY)


def test_handover_is_one_version(tmp_path: Path) -> None:
    """A core that starts looks at its last block again: the version of the handover is not made a second time."""
    zone = SeatedZone(tmp_path / "home", PAIR, validators=PAIR)
    signer = ED25519.from_private(bytes(signing_key(HOSPITAL, "system")))
    known = first_trust(zone.genesis, {HOSPITAL: signer})
    keeper = TrustKeeper(known, zone.store, organisation=HOSPITAL, signer=signer, on_change=lambda _: None)
    zone.hand_over(*PAIR)
    last = zone.store.last_block()
    assert last is not None

    keeper.follow(State(zone.store), height=last.height, size=last.size)
    (first, handed_over) = keeper.derived.entries
    again = TrustKeeper(known, zone.store, organisation=HOSPITAL, signer=signer, on_change=lambda _: None)

    assert [] == again.follow(State(zone.store), height=last.height, size=last.size)
    assert [1, 2] == [entry.version for entry in again.derived.entries]
    assert (first.version, handed_over.root) == (1, last.history_root.hex())
    zone.store.close()
