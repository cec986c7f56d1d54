"""What this node answers to others, address by address.

Open to anybody: the zone's public files, sending an application, asking how it stands. All else is for active members.
Whatever is given here goes to the core or the office, which check it; nothing is kept because of who brought it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from tallystick.codec import MalformedError, check_hash, decode_json, encode_json
from tallystick.codec.cards import MAX_CARD_BYTES, card_fingerprint, decode_signed_card
from tallystick.dataplane.ports import Grant
from tallystick.dataplane.refusals import AccessRefusedError
from tallystick.errors import AccessError, PeerError
from tallystick.machine import verify_signature
from tallystick.node.homes import Home
from tallystick.node.peers.bells import Bell
from tallystick.node.peers.client import MSGPACK_TYPE
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.failures import NotOrdererError
from tallystick.node.peers.gossip import Gossip
from tallystick.node.peers.heads import BlockReader, latest_checkpoint_size, read_head, recent_forks
from tallystick.node.peers.limits import Allowance, PeerLimits
from tallystick.node.peers.messages import (
    MAX_FORKS,
    MAX_FORKS_BYTES,
    MAX_HEAD_BYTES,
    MAX_NOTE_BYTES,
    MAX_NOTES_BYTES,
    MAX_ONE_BLOCK_BYTES,
    MAX_TRANSACTIONS,
    MAX_TRANSACTIONS_BYTES,
    MAX_WAIT_SECONDS,
    HeaderSigneds,
    OpenAnswer,
    decode_blocks,
    decode_list,
    encode_list,
    head_decoder,
    open_decoder,
    signed_decoder,
    trust_decoder,
)
from tallystick.node.peers.ports import CoreLink, OfficeDesk
from tallystick.node.peers.rejoin import Rejoin
from tallystick.node.peers.seals import SealExchange
from tallystick.node.peers.server import Answer, Call, Endpoint
from tallystick.proofs.headers import decode_signatures
from tallystick.store import LedgerStore

_MAX_BLOCKS = 1_000
_GIVEN_HEIGHT = 2**53 - 1


class HistoryEndpoints:
    """The zone's files, the history, and who signed it."""

    def __init__(
        self,
        home: Home,
        store: LedgerStore,
        core: CoreLink,
        gossip: Gossip,
        directory: Directory,
        rejoin: Rejoin | None,
        seals: SealExchange | None,
    ) -> None:
        """Prepare.

        Args:
            home: the node's.
            store: its copy, for reading.
            core: takes what others give.
            gossip: hears what they say.
            directory: who orders.
            rejoin: where this node orders, its part of catching up after a restore.
            seals: where this node orders together with others, its part of signing headers.
        """
        self._home = home
        self._store = store
        self._core = core
        self._gossip = gossip
        self._directory = directory
        self._rejoin = rejoin
        self._seals = seals
        self._reader = BlockReader(home.ledger_path)
        self._part = home.part
        # Height of the last block that was found to be signed by enough to go out.
        self._sealed = 0
        self.block_bell = Bell()
        self.checkpoint_bell = Bell()

    def grown(self) -> None:
        """Hear that there are blocks that may go out."""
        self._reader.grown()
        self.block_bell.ring()

    def close(self) -> None:
        """Close files."""
        self._reader.close()

    def endpoints(self) -> list[Endpoint]:
        """Return the addresses."""
        return [
            Endpoint("GET", "/zone", self._zone, open=True),
            Endpoint("GET", "/head", self._head, waits=True),
            Endpoint("GET", "/blocks", self._blocks, waits=True),
            Endpoint("POST", "/blocks", self._give_blocks, most=MAX_ONE_BLOCK_BYTES),
            Endpoint("POST", "/transactions", self._transactions, most=MAX_TRANSACTIONS_BYTES),
            Endpoint("POST", "/cosignatures", self._cosignatures, most=MAX_HEAD_BYTES),
            Endpoint("POST", "/trust-signatures", self._trust_signatures, most=MAX_HEAD_BYTES),
            Endpoint("GET", "/header-signatures", self._known_header_signatures),
            Endpoint("POST", "/header-signatures", self._header_signatures, most=MAX_HEAD_BYTES),
            Endpoint("GET", "/forks", self._forks),
            Endpoint("POST", "/forks", self._give_forks, most=MAX_FORKS_BYTES),
        ]

    async def _zone(self, _: Call) -> Answer:
        trust = decode_json(self._home.read_trust().encode())
        return Answer(encode_json({"genesis": self._store.genesis.hex(), "trust": trust}))

    async def _head(self, call: Call) -> Answer:
        after = call.number("after", -1, _GIVEN_HEIGHT)
        wait_s = call.number("wait", 0, MAX_WAIT_SECONDS)
        if after >= 0 and wait_s:
            await self.checkpoint_bell.wait_until(lambda: latest_checkpoint_size(self._store) > after, wait_s)
        return Answer(encode_json(read_head(self._store, self._home)))

    async def _blocks(self, call: Call) -> Answer:
        start = call.number("from", 0, _GIVEN_HEIGHT)
        limit = call.number("limit", 100, _MAX_BLOCKS)
        if start < 1 or limit < 1:
            raise MalformedError("blocks are counted from 1")
        await self.block_bell.wait_until(lambda: self._sealed_from(start), call.number("wait", 0, MAX_WAIT_SECONDS))
        blocks = await self._reader.read(start, limit, self._directory.quorums())
        return Answer(blocks, "application/octet-stream")

    def _sealed_from(self, height: int) -> bool:
        """Tell whether there is a block of a height that may go out: enough of those who order have signed it."""
        if height == self._sealed:
            return True
        if self._store.last_height() < height:
            return False
        found = next(self._store.signed_headers_down_from(height), None)
        if found is None or len(decode_signatures(found[2])) < self._directory.quorums()(height):
            return False
        self._sealed = height
        return True

    async def _give_blocks(self, call: Call) -> Answer:
        if self._rejoin is None or not self._home.is_restored:
            raise PeerError("this node was not restored and takes no blocks", remedy="Let it follow by itself.")
        for block in decode_blocks(call.body):
            await self._rejoin.recover(block)
        return Answer(encode_json({"height": self._store.last_height()}))

    async def _transactions(self, call: Call) -> Answer:
        transactions = decode_list(call.body, MAX_TRANSACTIONS)
        if self._part == "replica":
            known = [self._directory.find(name) for name in self._directory.orderers]
            where = ", ".join(f"{peer.organisation} at {peer.address or 'no address'}" for peer in known if peer)
            raise NotOrdererError(
                "this node does not order", remedy=f"Send them to the node of one that orders: {where}."
            )
        return Answer(
            msgspec.msgpack.encode(await self._core.ask("relay", [call.organisation, transactions])), MSGPACK_TYPE
        )

    async def _cosignatures(self, call: Call) -> Answer:
        head = head_decoder.decode(call.body)
        await self._gossip.take(call.organisation, head)
        if self._rejoin is not None:
            self._rejoin.heard(call.organisation, head)
        return Answer(encode_json(read_head(self._store, self._home)))

    async def _trust_signatures(self, call: Call) -> Answer:
        given = trust_decoder.decode(call.body)
        return Answer(encode_json({"taken": await self._gossip.take_trust(given.trust_signatures)}))

    async def _known_header_signatures(self, call: Call) -> Answer:
        known = () if self._seals is None else await self._seals.known(call.number("from", 1, _GIVEN_HEIGHT))
        return Answer(encode_json(HeaderSigneds(signatures=known)))

    async def _header_signatures(self, call: Call) -> Answer:
        given = signed_decoder.decode(call.body).signatures
        taken = 0 if self._seals is None else await self._seals.take(given, call.organisation)
        return Answer(encode_json({"taken": taken}))

    async def _forks(self, _: Call) -> Answer:
        return Answer(encode_list(recent_forks(self._store)), MSGPACK_TYPE)

    async def _give_forks(self, call: Call) -> Answer:
        taken = await self._gossip.take_forks(decode_list(call.body, MAX_FORKS))
        return Answer(encode_json({"taken": taken}))


class OfficeEndpoints:
    """Applications, notes and deliveries: what the office answers."""

    def __init__(self, office: OfficeDesk, limits: PeerLimits, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            office: this organisation's.
            limits: how many applications are taken.
            clock_s: seconds that never go back.
        """
        self._office = office
        self._applications = Allowance(limits.applications, limits.application_seconds, clock_s)

    def endpoints(self) -> list[Endpoint]:
        """Return the addresses."""
        return [
            Endpoint("POST", "/applications", self._apply, most=MAX_CARD_BYTES, open=True),
            Endpoint("GET", "/applications/{fingerprint}", self._application, open=True),
            Endpoint("POST", "/notes", self._note, most=MAX_NOTE_BYTES),
            Endpoint("GET", "/notes", self._notes),
            Endpoint("DELETE", "/notes/{note}", self._handed_over),
            Endpoint("POST", "/deliveries", self._open, most=4_096),
        ]

    async def _apply(self, call: Call) -> Answer:
        signed = decode_signed_card(call.body, verify_signature)
        self._applications.take(call.remote)
        fingerprint = self._office.members.receive_application(signed)
        if fingerprint != card_fingerprint(signed.card):
            raise PeerError("the application was kept under another name", remedy="Apply again.")
        return Answer(encode_json({"fingerprint": fingerprint}))

    async def _application(self, call: Call) -> Answer:
        fingerprint = check_hash(call.names["fingerprint"])
        status = self._office.members.application_status(fingerprint)
        return Answer(encode_json({"status": status}))

    async def _note(self, call: Call) -> Answer:
        if not call.body:
            raise MalformedError("an empty note")
        self._office.notes.receive(call.organisation, call.body)
        return Answer()

    async def _notes(self, call: Call) -> Answer:
        notes: list[bytes] = []
        total = 0
        for note in self._office.notes.waiting_for(call.organisation):
            total += len(note)
            if notes and total > MAX_NOTES_BYTES:
                break
            notes.append(note)
        return Answer(encode_list(notes), MSGPACK_TYPE)

    async def _handed_over(self, call: Call) -> Answer:
        self._office.notes.acknowledge(call.organisation, check_hash(call.names["note"]))
        return Answer()

    async def _open(self, call: Call) -> Answer:
        wanted = open_decoder.decode(call.body)
        opened = await self._office.deliveries.open_for(call.organisation, wanted.agreement)
        return Answer(encode_json(OpenAnswer(delivery=opened.delivery, package=opened.package.hex())))


class OfficePolicy:
    """Says for the data plane who may fetch what (`dataplane.AccessPolicy`): the office says it by organisation."""

    def __init__(self, office: OfficeDesk, directory: Directory) -> None:
        self._office = office
        self._directory = directory

    async def authorise(self, peer_pin: str, delivery_id: str) -> Grant:
        """Return the grant of a delivery, if it may leave now.

        Raises:
            AccessError: the key is nobody's, or the delivery is not for its organisation, or not any more.
        """
        refusal: AccessError = AccessRefusedError(
            "this connection's TLS key is registered by no active member",
            remedy="Register the node's TLS key pin, then connect again.",
        )
        for organisation in self._directory.owners(peer_pin):
            try:
                return await self._office.deliveries.authorise(organisation, delivery_id)
            except AccessError as error:
                refusal = error
        raise refusal
