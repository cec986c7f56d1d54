r"""Cards: how an organisation introduces itself, signed by the keys it introduces.

A card names an organisation, its first keys and their roles, and where its node listens. Two signatures over
`b"tallystick/card-v1\0"` and the card's canonical bytes, by its `security` key and by its recovery key, show that
whoever made the card holds both. People compare `card_fingerprint` before they admit it: the signatures show that
a card belongs to its keys, only people can say that the keys belong to the organisation.

This room may not check signatures itself: who calls passes the function that does.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec

from tallystick.codec.canonical import MalformedError, StrictDecoder, encode_json
from tallystick.codec.hashes import tagged_hash
from tallystick.codec.identifiers import check_hash, check_organisation_id

CARD_TAG = b"tallystick/card-v1\x00"
MAX_CARD_BYTES = 8_192
MAX_KEYS = 16
MAX_PINS = 8
NAME_LENGTH = 120
ROLES = ("observer", "registration", "security", "service", "system")

_HEX = frozenset("0123456789abcdef")
_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")
_IPV6 = frozenset("0123456789abcdef:")
_DIGITS = frozenset("0123456789")


class CardKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key in one role; a key with two roles is listed twice.

    Attributes:
        key: Ed25519 public key, hex.
        role: one of `ROLES`.
    """

    key: str
    role: str


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An organisation as it introduces itself.

    Attributes:
        organisation: its id.
        name: how people call it, 1 to 120 characters.
        keys: sorted by role, then key; exactly one `security` and one `system` key.
        recovery: Ed25519 public key that is kept offline, hex; in no role.
        encryption: X25519 public key, hex.
        tls_pins: SHA-256 of the SubjectPublicKeyInfo of its TLS keys, hex, sorted.
        address: `host:port` of its node, or empty where nothing can connect to it.
    """

    organisation: str
    name: str
    keys: tuple[CardKey, ...]
    recovery: str
    encryption: str
    tls_pins: tuple[str, ...] = ()
    address: str = ""

    def key_of(self, role: str) -> str:
        """Return the first key of a role, hex.

        Raises:
            MalformedError: the card has none.
        """
        for entry in self.keys:
            if entry.role == role:
                return entry.key
        raise MalformedError("the card has no key of that role")


class SignedCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A card with its two signatures.

    Attributes:
        card: what is signed.
        signature: by its `security` key, 64 bytes in hex.
        recovery_signature: by its recovery key, 64 bytes in hex.
    """

    card: Card
    signature: str
    recovery_signature: str


_decoder: StrictDecoder[SignedCard] = StrictDecoder(SignedCard, max_bytes=MAX_CARD_BYTES)


def check_card(card: Card) -> Card:
    """Return the card if every field is of its form.

    Raises:
        MalformedError: one is not.
    """
    check_organisation_id(card.organisation)
    check_display_name(card.name)
    if not 2 <= len(card.keys) <= MAX_KEYS:
        raise MalformedError("a card has 2 to 16 keys")
    order = [(entry.role, entry.key) for entry in card.keys]
    if any(earlier >= later for earlier, later in pairwise(order)):
        raise MalformedError("keys are not sorted by role and key, or one is repeated")
    roles = [entry.role for entry in card.keys]
    for entry in card.keys:
        check_hash(entry.key)
        if entry.role not in ROLES:
            raise MalformedError("unknown role")
        if entry.key == card.recovery:
            raise MalformedError("the recovery key has no role")
    if roles.count("security") != 1 or roles.count("system") != 1:
        raise MalformedError("a card has exactly one security key and one system key")
    check_hash(card.recovery)
    check_hash(card.encryption)
    check_pins(card.tls_pins)
    check_address(card.address)
    return card


def check_display_name(text: str) -> str:
    """Return `text` if it is a name for people: 1 to 120 characters, no control characters, no space at its ends.

    Raises:
        MalformedError: it is not.
    """
    if not 1 <= len(text) <= NAME_LENGTH or text != text.strip():
        raise MalformedError("not a name of 1 to 120 characters")
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text):
        raise MalformedError("a control character in a name")
    return text


def check_pins(pins: tuple[str, ...]) -> tuple[str, ...]:
    """Return TLS pins if they are at most eight hashes, sorted, none repeated.

    Raises:
        MalformedError: they are not.
    """
    if len(pins) > MAX_PINS:
        raise MalformedError("more than 8 TLS pins")
    for pin in pins:
        check_hash(pin)
    if any(earlier >= later for earlier, later in pairwise(pins)):
        raise MalformedError("TLS pins are not sorted, or one is repeated")
    return pins


def check_address(text: str) -> str:
    """Return `text` if it is empty, `host:port`, or `[IPv6]:port`.

    Raises:
        MalformedError: it is not.
    """
    if not text:
        return text
    host, _, port = text.rpartition(":")
    if not port or not _DIGITS.issuperset(port) or port[0] == "0" or len(port) > 5 or int(port) > 65_535:
        raise MalformedError("not an address of the form host:port")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else None
    known = _IPV6.issuperset(bare) if bare else _HOST.issuperset(host)
    if not host or bare == "" or len(host) > 253 or not known or host[0] in "-." or host[-1] in "-.":
        raise MalformedError("not an address of the form host:port")
    return text


def card_bytes(card: Card) -> bytes:
    """Return the canonical bytes of a card."""
    return encode_json(card)


def card_message(card: Card) -> bytes:
    """Return what both of a card's signatures are over."""
    return CARD_TAG + encode_json(card)


def card_fingerprint(card: Card) -> str:
    """Return what people compare over another channel: 32 bytes, hex."""
    return tagged_hash(b"tallystick/card-fingerprint", encode_json(card)).hex()


def sign_card(card: Card, security: Callable[[bytes], bytes], recovery: Callable[[bytes], bytes]) -> SignedCard:
    """Sign a card with its own keys.

    Args:
        card: in good form.
        security: signs a message with the card's `security` key.
        recovery: signs a message with its recovery key.

    Raises:
        MalformedError: the card is not in good form.
    """
    message = card_message(check_card(card))
    return SignedCard(card=card, signature=security(message).hex(), recovery_signature=recovery(message).hex())


def check_signed_card(signed: SignedCard, verify: Callable[[bytes, bytes, bytes], bool]) -> SignedCard:
    """Return a signed card if its form and both signatures are good.

    Args:
        signed: the card.
        verify: (public key, message, signature) -> whether the signature is good.

    Raises:
        MalformedError: the form or a signature is not good.
    """
    card = check_card(signed.card)
    message = card_message(card)
    for key, signature in (
        (card.key_of("security"), signed.signature),
        (card.recovery, signed.recovery_signature),
    ):
        if len(signature) != 128 or not _HEX.issuperset(signature):
            raise MalformedError("not a signature of 64 bytes in lower-case hex")
        if not verify(bytes.fromhex(key), message, bytes.fromhex(signature)):
            raise MalformedError("a signature on the card is wrong")
    return signed


def decode_signed_card(data: bytes, verify: Callable[[bytes, bytes, bytes], bool]) -> SignedCard:
    """Read a signed card from exactly its canonical bytes, and check it.

    Raises:
        MalformedError: not canonical, not in good form, or not signed by its own keys.
    """
    return check_signed_card(_decoder.decode(data), verify)
