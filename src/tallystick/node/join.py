"""Joining a zone: the invitation, the application, and the home of a new replica.

An invitation holds nothing secret: who may join is decided by the members, who compare the fingerprint of the
applicant's card over another channel. What it must be is genuine: it says which zone, whose keys, and which nodes with
which TLS keys to ask. All that the nodes then answer is checked against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, check_hash, check_organisation_id, encode_json, sha256
from tallystick.codec.cards import SignedCard, card_fingerprint, check_address, check_pins, decode_signed_card
from tallystick.errors import IntegrityError, PeerError, UsageError
from tallystick.keys import OpenKeys
from tallystick.machine import verify_signature
from tallystick.modules import decode_genesis, rulebook
from tallystick.node.config import ApiSection, NodeSection, PeersSection, Settings
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home, NewHome, furnish, make_card, make_keys
from tallystick.node.peers.client import PeerClient
from tallystick.node.peers.directory import Directory, Peer
from tallystick.node.peers.identity import open_identity
from tallystick.proofs.failures import TrustError
from tallystick.proofs.trust import TrustFile
from tallystick.store import LedgerStore

INVITATION_FILE = "invitation.json"
CARD_FILE = "card.json"
MAX_INVITATION_BYTES = 16_384


class InvitedNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member's node that an applicant can ask."""

    organisation: str
    address: str
    pins: tuple[str, ...]


class Invitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one needs to know to join.

    Attributes:
        chain: chain id of the zone.
        genesis: SHA-256 of its genesis, hex.
        invited: id of the organisation that is to join.
        inviter: the member that invites.
        nodes: members' nodes to ask, the inviter's first if it can be connected to.
        trust: fingerprint of the trust file when this was written, hex.
        v: 1.
    """

    chain: str
    genesis: str
    invited: str
    inviter: str
    nodes: Annotated[tuple[InvitedNode, ...], msgspec.Meta(min_length=1, max_length=8)]
    trust: str
    v: int


_decoder: StrictDecoder[Invitation] = StrictDecoder(Invitation, max_bytes=MAX_INVITATION_BYTES)


def decode_invitation(data: bytes) -> Invitation:
    """Read an invitation from exactly its canonical bytes.

    Raises:
        UsageError: it is not one.
    """
    try:
        invitation = _decoder.decode(data)
        for text in (invitation.genesis, invitation.trust):
            check_hash(text)
        for organisation in (invitation.invited, invitation.inviter):
            check_organisation_id(organisation)
        for node in invitation.nodes:
            check_organisation_id(node.organisation)
            check_pins(node.pins)
            if not check_address(node.address) or not node.pins:
                raise MalformedError("a node without an address or a TLS key pin")
        if invitation.v != 1:
            raise MalformedError("unknown format")
    except MalformedError as error:
        raise UsageError(f"this is not an invitation: {error.reason}", remedy="Ask the inviter for it again.") from None
    return invitation


def invite(home: Home, organisation: str) -> bytes:
    """Return an invitation for an organisation; it may be sent by any channel that cannot be altered unnoticed.

    Args:
        home: of the inviting member's node.
        organisation: id that the new member is to have.

    Raises:
        UsageError: the id is not one, is a member already, or no node of the zone can be connected to.
    """
    try:
        check_organisation_id(organisation)
    except MalformedError as error:
        raise UsageError(
            f"{organisation!r}: {error.reason}", remedy="Use lower-case letters, digits, hyphens."
        ) from None
    store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
    try:
        directory = Directory(store)
        mine = home.settings.node.organisation
        if directory.find(organisation) is not None:
            raise UsageError(f"{organisation} is a member already", remedy="See `tally organisation list`.")
        peers = sorted(
            directory.peers(), key=lambda peer: (peer.organisation != mine, peer.organisation not in directory.orderers)
        )
        nodes = tuple(_node(peer) for peer in peers if peer.address and peer.pins)[:3]
        if not nodes:
            raise UsageError(
                "no node of this zone can be connected to",
                remedy="Set peers.listen in tally.toml and register the address, then invite again.",
            )
        trust = home.read_trust()
        invitation = Invitation(
            chain=store.chain,
            genesis=store.genesis_hash.hex(),
            invited=organisation,
            inviter=mine,
            nodes=nodes,
            trust=trust.fingerprint,
            v=1,
        )
        return encode_json(invitation)
    finally:
        store.close()


def _node(peer: Peer) -> InvitedNode:
    return InvitedNode(organisation=peer.organisation, address=peer.address, pins=tuple(sorted(peer.pins)))


async def join(
    home_path: Path,
    invitation: bytes,
    organisation_name: str,
    passphrase: str,
    address: str = "",
    api_listen: str = "127.0.0.1:7070",
    *,
    listen: str | None = None,
) -> tuple[Home, str]:
    """Make the home of a new member's node and apply; keys are made here and never leave it.

    Args:
        home_path: of the new home; must be empty or absent.
        invitation: from the inviter.
        organisation_name: of the applicant, for people.
        passphrase: for its keys.
        address: `host:port` at which other members will reach its node, or empty.
        api_listen: `host:port` of its HTTP API.
        listen: `host:port` where its node listens, if that is another than `address`.

    Returns:
        the home, and the fingerprint that people compare before they admit it.

    Raises:
        UsageError: the folder is taken, or this is no invitation.
        IntegrityError: what the invited nodes answer is not the zone of the invitation.
        PeerError: none of them can be reached, or takes the application.
        MalformedError: the name or address is not of its form.
    """
    invited = decode_invitation(invitation)
    with NewHome(home_path) as new:
        keys = make_keys(new.folder / "keys", passphrase)
        card = make_card(keys, organisation=invited.invited, name=organisation_name, address=address)
        genesis, trust = await _apply(invited, keys, card)
        settings = Settings(
            node=NodeSection(organisation=invited.invited, role="replica"),
            peers=PeersSection(listen=address if listen is None else listen),
            api=ApiSection(listen=api_listen),
        )
        furnish(new.folder, settings=settings, genesis=genesis, trust=trust)
        write_atomically(new.folder / INVITATION_FILE, invitation)
        write_atomically(new.folder / CARD_FILE, encode_json(card))
        return new.finish(), card_fingerprint(card.card)


async def _apply(invited: Invitation, keys: OpenKeys, card: SignedCard) -> tuple[bytes, TrustFile]:
    """Fetch the zone's public files from a node of the invitation, check them, and send the application there."""
    identity = open_identity(keys, invited.invited)
    troubles: list[str] = []
    for node in invited.nodes:
        pins = frozenset(node.pins)
        client = PeerClient(identity, pins.__contains__, address=node.address, name=node.organisation)
        try:
            genesis, trust = await client.zone()
            checked = check_zone(invited, genesis, trust)
            if await client.apply(card) != card_fingerprint(card.card):
                raise IntegrityError(
                    f"{node.organisation} answers the fingerprint of another card", remedy="Tell the inviter."
                )
            return genesis, checked
        except PeerError as error:
            troubles.append(error.message)
        finally:
            await client.close()
    raise PeerError(
        f"no node of the invitation took the application: {'; '.join(troubles)}",
        remedy="Check that this machine can connect to these addresses, then join again.",
    )


def check_zone(invited: Invitation, genesis: bytes, trust: bytes) -> TrustFile:
    """Return the trust file that a node gave, if it and the genesis are those of the invitation, or follow from it.

    Raises:
        IntegrityError: they are not.
    """
    try:
        zone = decode_genesis(genesis)
        parsed = TrustFile.parse(trust)
    except (MalformedError, TrustError) as error:
        raise _other_zone(str(error)) from None
    if sha256(genesis).hex() != invited.genesis or zone.chain != invited.chain:
        raise _other_zone("its genesis is another")
    if parsed.genesis != sha256(genesis) or parsed.chain != invited.chain:
        raise _other_zone("its trust file is of another zone")
    if invited.trust not in {version.hash.hex() for version in parsed.versions}:
        raise _other_zone("its trust file does not follow from the one in the invitation")
    return parsed


def _other_zone(why: str) -> IntegrityError:
    return IntegrityError(
        f"the node that was asked does not show the zone of the invitation: {why}",
        remedy="Compare the invitation with the inviter over another channel; join nothing until it agrees.",
    )


def introductions(home: Home) -> Sequence[InvitedNode]:
    """Return the nodes that the home's invitation named; none where it was not made by joining."""
    path = home.path / INVITATION_FILE
    if not path.exists():
        return ()
    return decode_invitation(path.read_bytes()).nodes


def read_card(home: Home) -> SignedCard | None:
    """Return the card that this home applied with; None where it was not made by joining."""
    path = home.path / CARD_FILE
    if not path.exists():
        return None
    try:
        return decode_signed_card(path.read_bytes(), verify_signature)
    except MalformedError as error:
        raise IntegrityError(f"{path} is damaged: {error.reason}", remedy="Restore it from a backup.") from None
