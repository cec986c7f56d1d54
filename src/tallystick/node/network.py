"""A whole zone on this machine: validators and replicas, each with a home, keys and ports of its own.

    DIR/  zone.json  passphrase  <organisation>/ (a home each)  logs/<organisation>.log  run/<organisation>.pid

It is for trying, testing and measuring: real processes that talk over the interfaces that real ones use, but the keys
of all in one place, under one passphrase. For real, each organisation makes its own home (`tally node join`).
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tallystick.errors import NodeError, StorageError, UsageError
from tallystick.machine import Parameters
from tallystick.modules.organisations.genesis import FirstEngine, make_genesis
from tallystick.node.config import ApiSection, EngineSection, LogSection, NodeSection, PeersSection, Settings
from tallystick.node.engine_home import make_engine_keys
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home, NewHome, first_trust, furnish, make_card, make_keys
from tallystick.proofs.trust import TrustFile

_STOP_SECONDS = 20.0
_COMMAND_TRIES = 100
# Below the range that systems take ports of outgoing connections from, so that none of those is in the way later.
_PORTS = range(20_000, 32_000)
NAMES = (
    "city-hospital", "river-university", "harbour-bank", "city-agency", "port-authority", "north-energy",
    "metro-insurance", "grain-exchange", "steel-works", "coast-guard", "data-bureau", "water-board",
)  # fmt: skip


class Member(NamedTuple):
    """One organisation of a local network."""

    organisation: str
    home: Path
    role: str
    pid: int | None


class _Plan(NamedTuple):
    organisation: str
    validates: bool
    peers: str
    api: str
    engine: str


def names_for(count: int) -> list[str]:
    """Return ids for so many organisations."""
    return [NAMES[at] if at < len(NAMES) else f"member-{at + 1}" for at in range(count)]


def create_network(
    directory: Path,
    *,
    validators: int,
    replicas: int = 0,
    name: str = "Local Network",
    organisations: Sequence[str] = (),
    parameters: Parameters | None = None,
    hosts: Sequence[str] = (),
) -> list[Home]:
    """Make a zone of validators that order together, and of replicas, in one folder.

    Args:
        directory: must be empty or absent.
        validators: how many; four bear the loss of one.
        replicas: how many more members with full copies.
        name: of the zone, for people.
        organisations: ids to use, validators first; made up where there are fewer.
        parameters: limits of the zone, where the defaults will not do.
        hosts: addresses at which the nodes reach each other, one for each; loopback by default. The API stays there.

    Raises:
        UsageError: the folder is taken, or the numbers make no zone.
    """
    if not 1 <= validators <= 100 or not 0 <= replicas <= 100:
        raise UsageError("a network has 1 to 100 validators and up to 100 replicas", remedy="Choose other numbers.")
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty", remedy="Choose another folder.")
    count = validators + replicas
    ids = [*organisations[:count], *[each for each in names_for(count) if each not in organisations]][:count]
    directory.mkdir(parents=True, exist_ok=True)
    passphrase = secrets.token_urlsafe(18)
    write_atomically(directory / "passphrase", passphrase.encode() + b"\n", mode=0o600)
    ports = free_ports(3 * count)
    plans = [
        _Plan(
            organisation,
            at < validators,
            peers=f"{host}:{ports[3 * at]}",
            api=f"127.0.0.1:{ports[3 * at + 1]}",
            engine=f"{host}:{ports[3 * at + 2]}",
        )
        for at, (organisation, host) in enumerate(zip(ids, hosts or ["127.0.0.1"] * count, strict=True))
    ]
    return _furnish_all(directory, plans, name, passphrase, parameters)


def _furnish_all(
    directory: Path, plans: Sequence[_Plan], name: str, passphrase: str, parameters: Parameters | None
) -> list[Home]:
    now = time.time_ns() // 1_000_000
    new = {plan.organisation: NewHome(directory / plan.organisation) for plan in plans}
    keys = {plan.organisation: make_keys(new[plan.organisation].folder / "keys", passphrase) for plan in plans}
    cards = [
        make_card(
            keys[plan.organisation],
            organisation=plan.organisation,
            name=plan.organisation.replace("-", " ").title(),
            address=plan.peers,
        )
        for plan in plans
    ]
    validating = [plan for plan in plans if plan.validates]
    engines = {plan.organisation: make_engine_keys(new[plan.organisation].folder / "keys") for plan in validating}
    genesis = make_genesis(
        name=name,
        created=now,
        orderer="",
        cards=cards,
        validators=list(engines),
        engines=[
            FirstEngine(
                organisation=plan.organisation,
                consensus=engines[plan.organisation].consensus.hex(),
                node=engines[plan.organisation].node,
                address=plan.engine,
            )
            for plan in validating
        ],
        parameters=parameters,
    )
    trust = first_trust(genesis, {each: keys[each].signer("system") for each in engines})
    write_atomically(directory / "zone.json", trust.encode())
    homes = []
    for plan in plans:
        folder = new[plan.organisation]
        furnish(folder.folder, settings=_settings(plan), genesis=genesis, trust=trust)
        homes.append(folder.finish())
    return homes


def _settings(plan: _Plan) -> Settings:
    return Settings(
        node=NodeSection(organisation=plan.organisation, role="validator" if plan.validates else "replica"),
        peers=PeersSection(listen=plan.peers),
        api=ApiSection(listen=plan.api),
        engine=EngineSection(listen=plan.engine) if plan.validates else EngineSection(),
        log=LogSection(),
    )


def members(directory: Path) -> list[Member]:
    """Return the organisations of a local network, and which of their nodes run.

    Raises:
        UsageError: there is no network.
    """
    if not (directory / "passphrase").is_file():
        raise UsageError(f"there is no network in {directory}", remedy="Make one: `tally network create DIR`.")
    return list(_members(directory))


def _members(directory: Path) -> Iterator[Member]:
    for path in sorted(directory.iterdir()):
        if (path / "tally.toml").is_file():
            home = Home(path)
            yield Member(home.settings.node.organisation, path, home.settings.node.role, _running(directory, path.name))


def up(directory: Path, only: Collection[str] = ()) -> list[Member]:
    """Start every node that does not run; return all of them.

    Args:
        directory: of the network.
        only: organisations whose nodes are to be started; by default all.

    Raises:
        UsageError: there is no network.
        StorageError: a log or pid file cannot be written.
    """
    for name in ("logs", "run"):
        (directory / name).mkdir(exist_ok=True)
    for member in members(directory):
        if member.pid is None and (not only or member.organisation in only):
            _start(directory, member)
    return members(directory)


def _start(directory: Path, member: Member) -> None:
    command = [sys.executable, "-m", "tallystick.cli", "node", "run", "--home", str(member.home.resolve())]
    command += ["--passphrase-file", str((directory / "passphrase").resolve())]
    (member.home / "operator.json").unlink(missing_ok=True)
    try:
        with (directory / "logs" / f"{member.home.name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
    except OSError as error:
        raise StorageError(f"cannot start {member.organisation}: {error.strerror}", remedy="Check the disk.") from None
    write_atomically(directory / "run" / f"{member.home.name}.pid", f"{process.pid}\n".encode())


def wait_until_up(directory: Path, seconds: float = 60.0) -> None:
    """Wait until every node's API answers.

    Raises:
        NodeError: one does not start in time; names it and its log.
    """
    deadline = time.monotonic() + seconds
    for member in members(directory):
        while not (member.home / "operator.json").exists():
            if _running(directory, member.home.name) is None or time.monotonic() > deadline:
                raise NodeError(
                    f"the node of {member.organisation} does not start",
                    remedy=f"Look at {directory / 'logs' / member.home.name}.log.",
                )
            time.sleep(0.05)


def down(directory: Path) -> int:
    """Stop every node; return how many ran.

    Raises:
        UsageError: there is no network.
    """
    running = [member for member in members(directory) if member.pid is not None]
    for member in running:
        os.kill(member.pid or 0, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    for member in running:
        while _running(directory, member.home.name) is not None:
            if time.monotonic() > deadline:
                os.kill(member.pid or 0, signal.SIGKILL)
            time.sleep(0.05)
        (directory / "run" / f"{member.home.name}.pid").unlink(missing_ok=True)
    return len(running)


def trust_of(directory: Path) -> TrustFile:
    """Return the zone's trust file as the first node of the network knows it now."""
    return Home(members(directory)[0].home).read_trust()


def _running(directory: Path, name: str) -> int | None:
    """Return the pid of a node that runs; one that another program got since is told by its command."""
    try:
        pid = int((directory / "run" / f"{name}.pid").read_text())
        command = _command(pid)
    except (OSError, ValueError):
        return None
    return pid if f"{directory.resolve() / name}".encode() in command else None


def _command(pid: int) -> bytes:
    """Return the command of a process, nothing where it has ended.

    Raises:
        OSError: there is no such process.
    """
    # One that becomes another program has no command for a moment: a node, when it becomes its supervisor.
    for _ in range(_COMMAND_TRIES):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            return b""
        if command:
            return command
        time.sleep(0.01)
    return b""


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens at now."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found
