"""The stage of the demo: its folder, the organisations in it, and the processes of their nodes.

    DIR/<organisation>/             home of its node          DIR/files/   what the organisations hold, and what they fetch
    DIR/<organisation>.passphrase   of the node's keys        DIR/logs/    what the nodes write

Where several order together, DIR is also a folder of `tally network`, with one passphrase for all: DIR/passphrase.
A passphrase in a file beside the home is for a demo only: whoever has both has the keys.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from tallystick.cli.demo.player import Player
from tallystick.errors import IntegrityError, PeerError, StorageError, UsageError
from tallystick.node.homes import Home
from tallystick.node.network import free_ports, names_for

DATA = Path(__file__).parent / "data"
HOSPITAL, UNIVERSITY, BANK, AGENCY = "city-hospital", "river-university", "harbour-bank", "city-agency"
CAST = {HOSPITAL: "City Hospital", UNIVERSITY: "River University", BANK: "Harbour Bank", AGENCY: "City Agency"}
_WAIT_SECONDS = 30.0
_PAUSE_SECONDS = 0.03
# What a copy of a home must not bring along: marks of a running node.
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_OF_A_RUNNING_NODE = ("*.db", "*.db-wal", "*.db-shm", "*.sock", "node.lock", "operator.json", ".*.new")

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


class DidNotHoldError(IntegrityError):
    """Something that the demo was to show is not so."""

    def __init__(self, what: str) -> None:
        super().__init__(what, remedy="Keep the folder and report this: it should have held.")


def expect(held: object, what: str) -> None:
    """Go on only if something holds.

    Raises:
        DidNotHoldError: it does not.
    """
    if not held:
        raise DidNotHoldError(f"this does not hold: {what}")


def refusal(kind: type[E], action: Callable[[], object], what: str) -> E:
    """Return the error with which something that must not work was refused.

    Raises:
        DidNotHoldError: it worked.
    """
    try:
        action()
    except kind as error:
        return error
    raise DidNotHoldError(f"this was to be refused: {what}")


def wait_for(probe: Callable[[], T | None], what: str, seconds: float = _WAIT_SECONDS) -> T:
    """Return what `probe` returns as soon as that is true.

    Raises:
        PeerError: it does not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise PeerError(
                f"waited {seconds:.0f} s in vain until {what}",
                remedy="Read what the nodes wrote in logs/, and try again when the machine is less busy.",
            )
        time.sleep(_PAUSE_SECONDS)
    return found


class Stage:
    """The folder and the nodes of one demo.

    Attributes:
        directory: everything is in here.
        validators: how many order together; 0 where the hospital does alone.
        players: the organisations' nodes by id.
    """

    def __init__(self, directory: Path, validators: int = 0) -> None:
        """Make the folder.

        Args:
            directory: must be empty or absent.
            validators: how many order together, the four included; 0 for the embedded engine.

        Raises:
            UsageError: something is in it already.
            StorageError: it cannot be made.
        """
        self.directory = directory.resolve()
        if self.directory.exists() and (not self.directory.is_dir() or any(self.directory.iterdir())):
            raise UsageError(
                f"{directory} is there already and is not empty", remedy="Name another folder: tally demo --dir DIR"
            )
        self.validators = validators
        # A network is made in an empty folder; the others follow when it is (`enter`).
        self._make_folders((self.directory,))
        if not validators:
            self._make_folders((self.logs, self.invitations, self.files, self.receipts, self.frauds))
        self.players = self._cast_network() if validators else self._cast_four()
        self._understudies: list[Player] = []

    @property
    def logs(self) -> Path:
        """What the nodes write."""
        return self.directory / "logs"

    @property
    def invitations(self) -> Path:
        """What the others joined by."""
        return self.directory / "invitations"

    @property
    def receipts(self) -> Path:
        """Receipts of everything that was recorded."""
        return self.directory / "receipts"

    @property
    def files(self) -> Path:
        """What the organisations hold and fetch; a folder each."""
        return self.directory / "files"

    @property
    def trust_path(self) -> Path:
        """The zone's public trust file."""
        return self.directory / "zone.json"

    @property
    def fork_proof_path(self) -> Path:
        """The proof that two histories were told."""
        return self.directory / "fork-proof.json"

    @property
    def frauds(self) -> Path:
        """Copies in which frauds are tried."""
        return self.directory / "frauds"

    @property
    def hospital(self) -> Player:
        """Orders, and owns the table of diagnoses."""
        return self.players[HOSPITAL]

    @property
    def university(self) -> Player:
        """Asks for tables."""
        return self.players[UNIVERSITY]

    @property
    def bank(self) -> Player:
        """Is refused."""
        return self.players[BANK]

    @property
    def agency(self) -> Player:
        """Owns the table of the weather."""
        return self.players[AGENCY]

    def understudy(self, of: Player, home: Path) -> Player:
        """Return a node that runs from a copy of a home, in place of the real one: same keys, same addresses."""
        made = of.in_another_home(home, self.logs / f"{home.name}.log")
        self._understudies.append(made)
        return made

    def stop(self) -> None:
        """Stop every node, all at once."""
        everyone = [*self._understudies, *self.players.values()]
        for player in everyone:
            player.begin_stop()
        for player in everyone:
            player.finish_stop()

    def enter(self, homes: Sequence[Home]) -> None:
        """Take up the homes of a network that was made in the folder."""
        self._make_folders((self.logs, self.directory / "run", self.files, self.receipts, self.frauds))
        for home in homes:
            player = self.players[home.settings.node.organisation]
            player.address, player.api = home.settings.peers.listen, home.settings.api.listen

    def start(self) -> None:
        """Start every node that does not run, all at once, and wait until they answer."""
        starting = [player for player in self.players.values() if not player.running]
        for player in starting:
            player.begin_start()
        for player in starting:
            player.finish_start()

    def _make_folders(self, folders: Sequence[Path]) -> None:
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot make {error.filename}: {error.strerror}", remedy="Name another folder: tally demo --dir DIR"
            ) from None

    def _cast_four(self) -> dict[str, Player]:
        """Return the four, with addresses and passphrases; their homes are made one by one."""
        addresses = [f"127.0.0.1:{port}" for port in free_ports(2 * len(CAST))]
        return {
            organisation: Player(
                organisation=organisation,
                name=name,
                home=self.directory / organisation,
                passphrase_file=self._new_passphrase(organisation),
                log=self.logs / f"{organisation}.log",
                address=addresses[2 * position],
                api=addresses[2 * position + 1],
            )
            for position, (organisation, name) in enumerate(CAST.items())
        }

    def _cast_network(self) -> dict[str, Player]:
        """Return the four and as many more as are to order; addresses come with their homes."""
        others = [each for each in names_for(self.validators) if each not in CAST]
        names = CAST | {each: each.replace("-", " ").title() for each in others}
        return {
            organisation: Player(
                organisation=organisation,
                name=name,
                home=self.directory / organisation,
                passphrase_file=self.directory / "passphrase",
                log=self.logs / f"{organisation}.log",
                address="",
                api="",
                pid_file=self.directory / "run" / f"{organisation}.pid",
            )
            for organisation, name in names.items()
        }

    def _new_passphrase(self, organisation: str) -> Path:
        path = self.directory / f"{organisation}.passphrase"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(16) + "\n")
        return path


def number_word(number: int) -> str:
    """Return a small number as people say it."""
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


@contextmanager
def own_settings() -> Iterator[None]:
    """Leave the user's own `TALLY_…` settings out of the demo: they are about other nodes."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("TALLY_")}
    try:
        yield
    finally:
        os.environ.update(kept)


def copy_home(source: Path, target: Path) -> None:
    """Copy a home whose node may be running; each database as it is at one moment."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_OF_A_RUNNING_NODE))
    for path in source.glob("*.db"):
        copy_database(path, target / path.name)


def copy_database(source: Path, target: Path) -> None:
    """Copy a database that may be in use into one file."""
    with closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as opened:
        with closing(sqlite3.connect(target)) as copy:
            opened.backup(copy)
    shutil.copymode(source, target)
