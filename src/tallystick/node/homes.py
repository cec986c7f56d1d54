"""A node's home: one folder with everything of one node, and nothing outside it.

    home/  tally.toml  zone.json  genesis.json  keys/  ledger.db  office.db  log/  inbox/  outbox/  core.sock

A home appears whole or not at all: it is made beside its final place and renamed. A restored home carries the mark
`RESTORED` until its node has asked the witnesses how far the history had gone.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tallystick.errors import AccessError, StorageError, UsageError
from tallystick.node.config import (
    FILE_NAME,
    ApiSection,
    NodeSection,
    PeersSection,
    Settings,
    load_settings,
    render_settings,
)
from tallystick.node.files import Scratch, write_atomically

# The supervisor only asks where things are: what makes a home, or reads its keys or trust file, is loaded there.
if TYPE_CHECKING:
    from tallystick.codec.cards import SignedCard
    from tallystick.keys import KeyStore, OpenKeys, Signer
    from tallystick.machine import Parameters
    from tallystick.proofs.trust import TrustFile

Part = Literal["orderer", "validator", "replica"]
LEDGER_ROLES = ("observer", "registration", "security", "service", "system")
# A unix socket's path is limited to 107 bytes; a longer home gets its socket in the system's temporary folder.
_SOCKET_PATH_BYTES = 100
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


class Home:
    """Where things are, and the few small files that several processes read."""

    def __init__(self, path: Path) -> None:
        """Open an existing home.

        Raises:
            ConfigurationError: there is none, or its configuration is wrong.
        """
        self.path = path.resolve()
        self.settings = load_settings(self.path)

    @property
    def ledger_path(self) -> Path:
        """The shared record."""
        return self.path / "ledger.db"

    @property
    def office_path(self) -> Path:
        """This organisation's own: users, sources, drafts, transfers."""
        return self.path / "office.db"

    @property
    def log_path(self) -> Path:
        """Tiles."""
        return self.path / "log"

    @property
    def keys_path(self) -> Path:
        """Encrypted keys."""
        return self.path / "keys"

    @property
    def trust_path(self) -> Path:
        """The zone's public trust file."""
        return self.path / "zone.json"

    @property
    def engine_genesis_path(self) -> Path:
        """What the validators' engines begin with, once validators order together."""
        return self.path / "engine-genesis.json"

    @property
    def engine_keys_path(self) -> Path:
        """The engine's two keys, and what it signed last."""
        return self.keys_path / "engine"

    @property
    def engine_path(self) -> Path:
        """The engine's own folder: its blocks, and what is written for it at each start."""
        return self.path / "engine"

    @property
    def rebuilding_path(self) -> Path:
        """There while a validator's lost ledger is fetched from others; says up to which block."""
        return self.path / "REBUILDING"

    @property
    def part(self) -> Part:
        """What this node does now.

        Its role, which is read anew, says what it is there for. It orders alone until the order was handed over; it
        validates once validators order together, and its own ledger is there; in all other cases it follows.
        """
        role = load_settings(self.path).node.role
        if role == "replica" or self.rebuilding_path.exists():
            return "replica"
        if self.engine_genesis_path.exists():
            return "validator"
        return "orderer" if role == "orderer" else "replica"

    @property
    def snapshots_path(self) -> Path:
        """Snapshots for other members' nodes, while they are asked for."""
        return self.path / "snapshots"

    @property
    def incoming_path(self) -> Path:
        """Where a snapshot from another member's node is collected."""
        return self.path / "incoming"

    @property
    def beginning_path(self) -> Path:
        """The snapshot that this copy began from, as long as older blocks are missing."""
        return self.path / "beginning"

    @property
    def older_path(self) -> Path:
        """Where older blocks are executed before they are put into the ledger."""
        return self.path / "older"

    @property
    def inbox_path(self) -> Path:
        """Where deliveries arrive."""
        return self.path / "inbox"

    @property
    def outbox_path(self) -> Path:
        """Fingerprints of what is offered (the owner's secret)."""
        return self.path / "outbox"

    @property
    def operator_path(self) -> Path:
        """Where a running node keeps the key for `tally` on this machine."""
        return self.path / "operator.json"

    @property
    def socket_path(self) -> Path:
        """The core's socket."""
        return self._socket("core")

    @property
    def abci_path(self) -> Path:
        """Where a validator's engine finds the core."""
        return self._socket("abci")

    @property
    def engine_rpc_path(self) -> Path:
        """Where a validator's core finds the engine."""
        return self._socket("engine")

    def light_path(self, number: int) -> Path:
        """Where a validator's engine that begins in the middle asks this node of the others' headers.

        The engine takes it for part of a web address, so it has nothing in it that is written otherwise there.
        """
        name = f"light-{number}"
        plain = _PLAIN_PATH.fullmatch(str(self.path)) is not None
        return self._socket(name) if plain else self._short_socket(name)

    def _socket(self, name: str) -> Path:
        direct = self.path / f"{name}.sock"
        return direct if len(os.fsencode(direct)) <= _SOCKET_PATH_BYTES else self._short_socket(name)

    def _short_socket(self, name: str) -> Path:
        place = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:24]
        return Path(tempfile.gettempdir()) / f"tally-{os.getuid()}-{place}-{name}.sock"

    @property
    def key_store(self) -> KeyStore:
        """The node's keys, locked."""
        from tallystick.keys import KeyStore

        return KeyStore(self.keys_path)

    @property
    def _restored_path(self) -> Path:
        return self.path / "RESTORED"

    @property
    def is_restored(self) -> bool:
        """Whether this home came from a backup and has not yet asked the witnesses."""
        return self._restored_path.exists()

    def mark_restored(self) -> None:
        """Mark the home as restored."""
        write_atomically(self._restored_path, b"restored from a backup; removed once the witnesses were asked\n")

    def clear_restored(self) -> None:
        """Take the mark away."""
        self._restored_path.unlink(missing_ok=True)

    def read_trust(self) -> TrustFile:
        """Return the trust file that this node goes by.

        Raises:
            StorageError: it is missing.
            IntegrityError: it is not a good one.
        """
        from tallystick.proofs.trust import TrustFile

        try:
            return TrustFile.parse(self.trust_path.read_bytes())
        except FileNotFoundError:
            raise StorageError(
                f"{self.trust_path} is missing", remedy="Copy zone.json from another member; compare its fingerprint."
            ) from None


def make_keys(folder: Path, passphrase: str) -> OpenKeys:
    """Make a store with one key for each role, a recovery, an encryption and a TLS key."""
    from tallystick.keys import KeyStore

    keys = KeyStore.create(folder, passphrase)
    for role in (*LEDGER_ROLES, "recovery", "encryption", "tls"):
        keys.create(role)
    return keys


def make_card(keys: OpenKeys, *, organisation: str, name: str, address: str = "") -> SignedCard:
    """Return the card with which an organisation introduces itself, signed by its security and recovery keys.

    Raises:
        MalformedError: the id, name or address is not of its form.
    """
    from tallystick.codec import sha256
    from tallystick.codec.cards import Card, CardKey, SignedCard, card_message

    entries = [CardKey(key=keys.find(role).public, role=role) for role in LEDGER_ROLES]
    pin = sha256(bytes.fromhex(keys.find("tls").public)).hex()
    card = Card(
        organisation=organisation,
        name=name,
        keys=tuple(sorted(entries, key=lambda entry: (entry.role, entry.key))),
        recovery=keys.find("recovery").public,
        encryption=keys.find("encryption").public,
        tls_pins=(pin,),
        address=address,
    )
    message = card_message(card)
    return SignedCard(
        card=card,
        signature=keys.signer("security").sign(message).hex(),
        recovery_signature=keys.signer("recovery").sign(message).hex(),
    )


class NewHome:
    """A home being made: a hidden folder beside the final place, renamed when it is complete."""

    def __init__(self, path: Path) -> None:
        """Choose the place.

        Raises:
            UsageError: something is there already.
        """
        self.final = path.resolve()
        if self.final.exists() and (not self.final.is_dir() or any(self.final.iterdir())):
            raise UsageError(f"{path} is there already", remedy="Choose another folder; a home is never overwritten.")
        self.final.parent.mkdir(parents=True, exist_ok=True)
        self._scratch = Scratch(self.final.parent, f".{self.final.name}.new-")
        self.folder = self._scratch.path

    def __enter__(self) -> NewHome:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    def finish(self) -> Home:
        """Put the home in its place."""
        for name in ("inbox", "outbox", "log"):
            (self.folder / name).mkdir(exist_ok=True)
        try:
            if self.final.exists():
                self.final.rmdir()
            self.folder.rename(self.final)
        except OSError as error:
            raise StorageError(f"cannot make {self.final}: {error.strerror}", remedy="Choose another folder.") from None
        return Home(self.final)


def create_zone(
    path: Path,
    *,
    name: str,
    organisation: str,
    organisation_name: str,
    passphrase: str,
    created_ms: int,
    address: str = "",
    api_listen: str = "127.0.0.1:7070",
    parameters: Parameters | None = None,
) -> Home:
    """Make a zone of one: its genesis, and the home of the organisation that orders for it.

    Args:
        path: of the new home; must be empty or absent.
        name: of the zone, for people.
        organisation: id of the founder.
        organisation_name: its name, for people.
        passphrase: for its keys.
        created_ms: now.
        address: `host:port` at which other members will reach this node, or empty.
        api_listen: `host:port` of the HTTP API.
        parameters: limits of the zone, where the defaults will not do.

    Raises:
        UsageError: the folder is taken.
        MalformedError: a name is not of its form.
    """
    from tallystick.modules import make_genesis

    with NewHome(path) as new:
        keys = make_keys(new.folder / "keys", passphrase)
        card = make_card(keys, organisation=organisation, name=organisation_name, address=address)
        genesis = make_genesis(
            name=name, created=created_ms, orderer=organisation, cards=(card,), parameters=parameters
        )
        settings = Settings(
            node=NodeSection(organisation=organisation, role="orderer"),
            peers=PeersSection(listen=address),
            api=ApiSection(listen=api_listen),
        )
        trust = first_trust(genesis, {organisation: keys.signer("system")})
        furnish(new.folder, settings=settings, genesis=genesis, trust=trust)
        return new.finish()


def first_trust(genesis: bytes, signers: Mapping[str, Signer]) -> TrustFile:
    """Return version 1 of a zone's trust file: its founders, signed by those who order first.

    Args:
        genesis: bytes of the genesis document.
        signers: organisation -> `system` key of those who order.
    """
    from tallystick.codec import sha256
    from tallystick.modules import decode_genesis
    from tallystick.proofs.trust import TrustFile

    document = decode_genesis(genesis)
    members = {signed.card.organisation: bytes.fromhex(signed.card.key_of("system")) for signed in document.cards}
    return TrustFile.first(document.chain, sha256(genesis), members, signers)


def furnish(folder: Path, *, settings: Settings, genesis: bytes, trust: TrustFile) -> None:
    """Put configuration, genesis, trust file and an empty copy of the ledger into a home being made."""
    from tallystick.modules import decode_genesis, genesis_writes, rulebook
    from tallystick.store import LedgerStore

    if not decode_genesis(genesis).orderer:
        from tallystick.node.engine_genesis import first_engine_genesis

        write_atomically(folder / "engine-genesis.json", first_engine_genesis(genesis))
    write_atomically(folder / FILE_NAME, render_settings(settings).encode())
    write_atomically(folder / "genesis.json", genesis)
    write_atomically(folder / "zone.json", trust.encode())
    LedgerStore.create(
        folder / "ledger.db",
        rulebook(),
        chain=trust.chain,
        genesis=genesis,
        records=genesis_writes(genesis),
    )


def open_keys(home: Home, passphrase: str) -> OpenKeys:
    """Unlock a home's keys.

    Raises:
        AccessError: wrong passphrase, or there are no keys.
    """
    if not home.key_store.exists():
        raise AccessError(f"there are no keys in {home.keys_path}", remedy="Restore them from a backup.")
    return home.key_store.unlock(passphrase)
