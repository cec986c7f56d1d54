"""The genesis: the first page of a zone, fixed for ever.

Its SHA-256 is bound into every transaction's signature and into the first version of the trust file, so that nothing of
one zone passes in another, even one of the same name.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, check_organisation_id, check_slug, encode_json, sha256
from tallystick.codec.canonical import MAX_SAFE_INTEGER
from tallystick.codec.cards import Card, check_card, check_display_name

VERSION = 1
RULES = 1
MAX_GENESIS_BYTES = 4 << 20
MAX_ORGANISATIONS = 1_000
CHAIN_SUFFIX = 8
SLUG_LENGTH = 40

_HEX = frozenset("0123456789abcdef")
_PARAMETER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
Natural = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_SAFE_INTEGER)]


class GenesisOrderer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who orders first; one of the genesis's organisations."""

    organisation: str


class Genesis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a zone begins with.

    Attributes:
        v: version of this format, 1.
        chain: chain id, `<slug>-<8 hex>`.
        name: of the zone, for people, 1 to 120 characters.
        created: ms since 1970; no block is older.
        orderer: who orders first.
        organisations: cards of the founders, sorted by organisation.
        parameters: of the zone, by name; those that are left out have the machine's defaults.
        rules: version of the machine's rules.
    """

    v: int
    chain: str
    name: str
    created: Natural
    orderer: GenesisOrderer
    organisations: tuple[Card, ...]
    parameters: dict[str, Natural]
    rules: int

    def card(self, organisation: str) -> Card:
        """Return the card of a founder.

        Raises:
            KeyError: it is none.
        """
        for card in self.organisations:
            if card.organisation == organisation:
                return card
        raise KeyError(organisation)


_decoder: StrictDecoder[Genesis] = StrictDecoder(Genesis, max_bytes=MAX_GENESIS_BYTES)


def check_chain_id(text: str) -> str:
    """Return `text` if it is a chain id: a slug of at most 40 characters, a hyphen, 8 lower-case hex characters.

    Raises:
        MalformedError: it is not.
    """
    slug, _, suffix = text.rpartition("-")
    if len(suffix) != CHAIN_SUFFIX or not _HEX.issuperset(suffix) or len(slug) > SLUG_LENGTH:
        raise MalformedError("not a chain id")
    check_slug(slug)
    return text


def check_genesis(genesis: Genesis) -> Genesis:
    """Return a genesis if every field is of its form and the parts fit together.

    Raises:
        MalformedError: they do not.
    """
    if genesis.v != VERSION or genesis.rules < RULES:
        raise MalformedError("unknown genesis version")
    check_chain_id(genesis.chain)
    check_display_name(genesis.name)
    check_organisation_id(genesis.orderer.organisation)
    if not 1 <= len(genesis.organisations) <= MAX_ORGANISATIONS:
        raise MalformedError("a zone begins with 1 to 1,000 organisations")
    for card in genesis.organisations:
        check_card(card)
    names = [card.organisation for card in genesis.organisations]
    if any(earlier >= later for earlier, later in pairwise(names)):
        raise MalformedError("organisations are not sorted, or one is repeated")
    if genesis.orderer.organisation not in names:
        raise MalformedError("the orderer is not one of the organisations")
    keys = [key for card in genesis.organisations for key in sorted({entry.key for entry in card.keys})]
    keys += [card.recovery for card in genesis.organisations]
    if len(set(keys)) != len(keys):
        raise MalformedError("two organisations share a key")
    for name in genesis.parameters:
        if not name or not _PARAMETER.issuperset(name):
            raise MalformedError("not a parameter name")
    return genesis


def encode_genesis(genesis: Genesis) -> bytes:
    """Return the canonical bytes of a genesis in good form.

    Raises:
        MalformedError: it is not in good form.
    """
    return encode_json(check_genesis(genesis))


def decode_genesis(data: bytes) -> Genesis:
    """Read a genesis from exactly its canonical bytes.

    Raises:
        MalformedError: anything else.
    """
    return check_genesis(_decoder.decode(data))


def genesis_hash(data: bytes) -> bytes:
    """Return what identifies a zone: SHA-256 of its genesis's bytes."""
    return sha256(data)
