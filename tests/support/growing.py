"""Zones that change who orders: members that are promoted, engines that are announced, an order that is handed over.

What an operator does at the machine is typed, each command a process of its own; votes and records go through the client.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tallystick.modules import rulebook
from tallystick.node import network
from tallystick.node.homes import Home
from tallystick.store import LedgerStore
from tests.support.copies import on_disk
from tests.support.nodes import Api, RunningNode, free_port, wait_for

TALLY = [sys.executable, "-m", "tallystick.cli"]
_TYPED_SECONDS = 240


def typed(*arguments: str | Path, home: Home | None = None, code: int = 0) -> str:
    """Run a command, and return what it printed; on stderr, where it must fail.

    Args:
        arguments: after `tally`.
        home: where it works.
        code: with which it must end.

    Raises:
        AssertionError: it ends otherwise.
    """
    at = [] if home is None else ["--home", str(home.path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    ran = subprocess.run(
        [*TALLY, *map(str, arguments), *at], env=environment, capture_output=True, text=True, timeout=_TYPED_SECONDS
    )
    assert ran.returncode == code, f"tally {arguments}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    assert "Traceback" not in ran.stderr
    return ran.stderr if code else ran.stdout


def asked(*arguments: str | Path, home: Home | None = None) -> Any:
    """Run a command with --json, and return what it says."""
    return json.loads(typed(*arguments, "--json", home=home))


def promote(organisation: str, voters: Sequence[RunningNode]) -> None:
    """Let these vote to make a member a validator; all of their copies have it then.

    Raises:
        AssertionError: it is none after that.
    """
    _vote("promote", organisation, voters, True)


def demote(organisation: str, voters: Sequence[RunningNode]) -> None:
    """Let these vote to take a member out of the validators."""
    _vote("demote", organisation, voters, False)


def _vote(verb: str, organisation: str, voters: Sequence[RunningNode], after: bool) -> None:
    for voter in voters:
        with voter.client() as zone:
            if getattr(zone, verb)(organisation).carried:
                break
    for voter in voters:
        wait_for(partial(_is, voter, organisation, after), f"{organisation} in the copy of {voter.organisation}")


def _is(node: RunningNode, organisation: str, validator: bool) -> bool:
    return validates(node, organisation) is validator


def validates(node: RunningNode, organisation: str) -> bool:
    """Tell whether a member is a validator, as a node says."""
    with node.client() as zone:
        return any(each.validates for each in zone.organisations() if each.id == organisation)


def announce(node: RunningNode) -> None:
    """Announce a node's engine, as its operator does."""
    typed("node", "validate", "--listen", f"127.0.0.1:{free_port()}", home=node.home)


def record(node: RunningNode, folder: Path, name: str) -> tuple[str, tuple[int, int]]:
    """Record a piece of evidence at a node; return the transaction and its (height, leaf).

    Raises:
        AssertionError: it is not recorded.
    """
    file = folder / name
    file.write_text(name)
    with node.client() as zone:
        recorded = zone.record_evidence([file], folder / f"proof-{name}").recorded
    assert recorded is not None
    return recorded.transaction, (recorded.height, recorded.leaf)


def receipt_since(node: RunningNode, transaction: str, out: Path, version: int = 1) -> None:
    """Write the receipt of a transaction's first operation, for who has this version of the trust file.

    Raises:
        AssertionError: the node does not give it, or not in time.
    """
    with node.api() as api:
        answer = wait_for(lambda: _given(api, f"/v1/receipts/{transaction}?since={version}"), f"receipt {transaction}")
    out.write_bytes(answer)


def _given(api: Api, path: str) -> bytes | None:
    answer = api.send("GET", path)
    # 503: too few have signed yet.
    assert answer.status_code in (200, 503), answer.text
    return answer.content if answer.status_code == 200 else None


def signers_of(receipt: Path) -> set[str]:
    """Return who signed the header of a receipt."""
    return {each["organisation"] for each in json.loads(receipt.read_bytes())["header_signatures"]}


def heads_of(home: Home) -> list[tuple[int, bytes]]:
    """Return (height, header) of every block of a copy, in order."""
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        return [(block.height, block.header) for block in store.blocks(1)]


def wait_for_same(nodes: Mapping[str, RunningNode], least: int = 0, seconds: float = 90.0) -> int:
    """Wait until all copies end with the same block, at least of this height; return its height."""

    def same() -> int | None:
        ends = {on_disk(node) for node in nodes.values()}
        ((height, _),) = ends if len(ends) == 1 else ((0, b""),)
        return height if height and height >= least else None

    height: int = wait_for(same, "all copies to be the same", seconds)
    return height


def wait_for_part(node: RunningNode, role: str, seconds: float = 90.0) -> None:
    """Wait until a node says that it plays this part, and that nothing is wrong."""
    wait_for(lambda: _plays(node, role), f"{node.organisation} to be {role}; see {node.log_path}", seconds)


def _plays(node: RunningNode, role: str) -> bool:
    from tallystick.errors import NodeError

    try:
        with node.client() as zone:
            now = zone.status()
    except NodeError:
        return False
    return now.role == role and (now.engine is None or not now.engine.trouble)


def network_nodes(folder: Path, *, validators: int, replicas: int) -> dict[str, RunningNode]:
    """Make a network and return its nodes by organisation, validators first, none started."""
    network.create_network(folder, validators=validators, replicas=replicas)
    passphrase = (folder / "passphrase").read_text().strip()
    members = sorted(network.members(folder), key=lambda member: member.role != "validator")
    return {member.organisation: RunningNode(Home(folder / member.organisation), passphrase) for member in members}


def start_all(nodes: Mapping[str, RunningNode]) -> None:
    """Start those that do not run, all at once, and wait until each plays its part."""
    started = [node for node in nodes.values() if node.process is None]
    for node in started:
        node.launch()
    for node in started:
        wait_for(node.home.operator_path.exists, f"the node of {node.organisation}; see {node.log_path}", 120)
        wait_for_part(node, node.home.settings.node.role)
