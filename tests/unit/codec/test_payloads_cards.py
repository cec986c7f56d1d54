"""The signed payload of a transaction, and the card by which an organisation introduces itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tallystick.codec import MalformedError, encode_json
from tallystick.codec.cards import (
    Card,
    CardKey,
    SignedCard,
    check_address,
    check_card,
    check_display_name,
    check_pins,
    check_signed_card,
    decode_signed_card,
    sign_card,
)
from tallystick.codec.payloads import Payload, Seen, decode_payload
from tallystick.keys import ED25519, MemoryKeys

KEYS = MemoryKeys.from_seed(b"cards")
OTHER = MemoryKeys.from_seed(b"another")
PAYLOAD = Payload(
    atomic=True,
    expires=1_700_000_000_000,
    nonce="0f" * 16,
    operations_root="ab" * 32,
    organisation="city-hospital",
    seen=Seen(root="cd" * 32, size=5),
    v=1,
)


def card(**changes: Any) -> Card:
    """Return a good card with some fields changed."""
    fields: dict[str, Any] = {
        "organisation": "city-hospital",
        "name": "City Hospital",
        "keys": tuple(CardKey(key=KEYS.signer(role).public_key.hex(), role=role) for role in ("security", "system")),
        "recovery": KEYS.signer("recovery").public_key.hex(),
        "encryption": "ab" * 32,
        "tls_pins": ("cd" * 32,),
        "address": "node.example:8440",
    }
    return Card(**{**fields, **changes})


def test_payload_goes_both_ways() -> None:
    """A good payload decodes to itself."""
    assert PAYLOAD == decode_payload(encode_json(PAYLOAD))


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"nonce": "0F" * 16},
        {"nonce": "0f" * 15},
        {"operations_root": "ab" * 31},
        {"organisation": "City"},
        {"expires": -1},
        {"seen": Seen(root="x" * 64, size=1)},
        {"seen": Seen(root="cd" * 32, size=-1)},
    ],
    ids=repr,
)
def test_other_payloads_are_refused(changes: dict[str, Any]) -> None:
    """Another version, upper-case hex, other lengths and negative numbers are malformed."""
    with pytest.raises(MalformedError):
        decode_payload(encode_json(msgspec.structs.replace(PAYLOAD, **changes)))


def test_every_changed_byte_of_a_payload_is_another_payload_or_malformed() -> None:
    """No other bytes decode to the same payload."""
    data = encode_json(PAYLOAD)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            assert decode_payload(bytes(changed)) != PAYLOAD
        except MalformedError:
            continue


def test_card_is_signed_and_read() -> None:
    """A card signed by its own keys reads back as it was."""
    signed = sign_card(card(), KEYS.signer("security").sign, KEYS.signer("recovery").sign)

    assert signed == decode_signed_card(encode_json(signed), ED25519.verify)


@pytest.mark.parametrize("role", ["security", "recovery"])
def test_card_signed_by_another_key_is_refused(role: str) -> None:
    """Both signatures must be by the card's own keys."""
    signers = {name: (OTHER if name == role else KEYS).signer(name).sign for name in ("security", "recovery")}
    signed = sign_card(card(), signers["security"], signers["recovery"])

    with pytest.raises(MalformedError, match="signature on the card is wrong"):
        check_signed_card(signed, ED25519.verify)


def test_any_changed_byte_of_a_signed_card_is_refused() -> None:
    """A card says what its keys signed and nothing else."""
    data = encode_json(sign_card(card(), KEYS.signer("security").sign, KEYS.signer("recovery").sign))
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(MalformedError):
            decode_signed_card(bytes(changed), ED25519.verify)


@pytest.mark.parametrize(
    "changes",
    [
        {"organisation": "City"},
        {"name": ""},
        {"name": " x"},
        {"name": "a\nb"},
        {"name": "x" * 121},
        {"keys": ()},
        {"keys": (CardKey(key="ab" * 32, role="security"),)},
        {"keys": (CardKey(key="ab" * 32, role="system"), CardKey(key="ab" * 32, role="security"))},
        {"keys": (CardKey(key="ab" * 32, role="security"), CardKey(key="ab" * 32, role="owner"))},
        {"keys": (CardKey(key="AB" * 32, role="security"), CardKey(key="ab" * 32, role="system"))},
        {"recovery": card().keys[0].key},
        {"recovery": "ab"},
        {"encryption": ""},
        {"tls_pins": ("cd" * 32, "ab" * 32)},
        {"tls_pins": ("ab" * 32, "ab" * 32)},
        {"address": "node"},
    ],
    ids=repr,
)
def test_cards_of_another_form_are_refused(changes: dict[str, Any]) -> None:
    """Wrong names, keys out of order or without a role, repeated pins and other addresses are malformed."""
    with pytest.raises(MalformedError):
        check_card(card(**changes))


@pytest.mark.parametrize("text", ["", "node.example:1", "10.0.0.1:8440", "[::1]:65535", "a-b.c:80"])
def test_addresses(text: str) -> None:
    """A host, an address of either kind, or nothing, with a port."""
    assert text == check_address(text)


@pytest.mark.parametrize(
    "text",
    ["node", ":80", "node:", "node:0", "node:65536", "node:080", "Node:80", "a b:80", "::1:80", "[]:80", "-a:80"],
)
def test_other_addresses_are_refused(text: str) -> None:
    """Other ports and characters are no address."""
    with pytest.raises(MalformedError):
        check_address(text)


def test_limits_of_names_and_pins() -> None:
    """At most 120 characters, and eight pins."""
    assert "x" * 120 == check_display_name("x" * 120)
    with pytest.raises(MalformedError):
        check_pins(tuple(f"{number:064x}" for number in range(9)))


def test_signatures_on_a_card_have_one_spelling() -> None:
    """Upper-case hex is refused before it is checked."""
    signed = sign_card(card(), KEYS.signer("security").sign, KEYS.signer("recovery").sign)
    loud = SignedCard(
        card=signed.card, signature=signed.signature.upper(), recovery_signature=signed.recovery_signature
    )

    with pytest.raises(MalformedError, match="lower-case hex"):
        check_signed_card(loud, ED25519.verify)
