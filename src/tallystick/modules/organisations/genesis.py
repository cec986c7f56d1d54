"""The genesis document: what a zone begins with. Its SHA-256 is bound into every transaction's signature.

Canonical JSON of `Genesis`. Rules: cards are in good form, signed by their own keys, sorted by organisation, without a
repeated id or key; the orderer is among the validators and those among the cards; where there is no orderer, each
validator has an engine; `chain` follows from all the rest, so that two different zones have different chain ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json, tagged_hash
from tallystick.codec.cards import SignedCard, check_address, check_display_name, check_signed_card
from tallystick.errors import RejectedError
from tallystick.machine import PARAMETERS, Parameters, State, verify_signature
from tallystick.modules.organisations.engines import check_engine_form, check_engine_free, put_engine, put_seating
from tallystick.modules.organisations.membership import check_free, put_member, roles_by_key
from tallystick.modules.organisations.possession import check_key
from tallystick.modules.organisations.records import ZONE, ZONE_KEY, Time, Zone

MAX_GENESIS_BYTES = 1 << 20
MAX_MEMBERS = 100
VERSION = 1
MAX_TRANSACTION_BYTES = 1 << 20
MAX_OPERATIONS = 1_000
MAX_EXPIRES_AHEAD_MS = 3_600_000

_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_SLUG_LENGTH = 40


class FirstEngine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The distributed engine of a first validator; fields as in `records.Engine`."""

    address: str
    consensus: str
    node: str
    organisation: str


class Genesis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a zone begins with.

    Attributes:
        cards: of its first members, sorted by organisation.
        chain: chain id: a slug of the name and 8 hex characters of a hash over the rest.
        created: when it was made, ms.
        engines: of the validators, sorted by organisation; left out where one organisation orders.
        name: how people call the zone.
        orderer: the organisation that orders alone; empty where the validators order together.
        parameters: limits; those left out are the defaults.
        validators: who votes on members, sorted.
        v: version of this format, 1.
    """

    cards: tuple[SignedCard, ...]
    chain: str
    created: Time
    engines: tuple[FirstEngine, ...] = ()
    name: str
    orderer: str
    parameters: Parameters
    validators: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    v: int


_decoder: StrictDecoder[Genesis] = StrictDecoder(Genesis, max_bytes=MAX_GENESIS_BYTES)


class _Absent:
    """Committed records before the genesis: none."""

    def read(self, collection: str, key: str) -> bytes | None:
        return None

    def scan(self, collection: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        return iter(())


def make_genesis(
    *,
    name: str,
    created: int,
    orderer: str,
    cards: Sequence[SignedCard],
    validators: Sequence[str] = (),
    engines: Sequence[FirstEngine] = (),
    parameters: Parameters | None = None,
) -> bytes:
    """Return the bytes of a genesis document, checked.

    Args:
        name: of the zone.
        created: now, ms.
        orderer: id of the organisation that orders; empty where the validators order together.
        cards: of the first members, in any order.
        validators: who votes on members; by default the orderer alone.
        engines: of the validators, in any order, where they order together.
        parameters: limits, where the defaults will not do.

    Raises:
        MalformedError: it would not be a good one.
    """
    genesis = Genesis(
        cards=tuple(sorted(cards, key=lambda signed: signed.card.organisation)),
        chain="",
        created=created,
        engines=tuple(sorted(engines, key=lambda engine: engine.organisation)),
        name=name,
        orderer=orderer,
        parameters=parameters or Parameters(),
        validators=tuple(sorted(validators)) or ((orderer,) if orderer else ()),
        v=VERSION,
    )
    genesis = msgspec.structs.replace(genesis, chain=chain_of(genesis))
    data = encode_json(genesis)
    decode_genesis(data)
    return data


def chain_of(genesis: Genesis) -> str:
    """Return the chain id that follows from a genesis (whatever its own `chain` says)."""
    rest = encode_json(msgspec.structs.replace(genesis, chain=""))
    return f"{_slug(genesis.name)}-{tagged_hash(b'tallystick/chain', rest)[:4].hex()}"


def decode_genesis(data: bytes) -> Genesis:
    """Read a genesis document from exactly its canonical bytes, and check it.

    Raises:
        MalformedError: a rule of this module's docstring is broken.
    """
    genesis = _decoder.decode(data)
    if genesis.v != VERSION:
        raise MalformedError("unknown genesis version")
    check_display_name(genesis.name)
    _check_parameters(genesis.parameters)
    organisations = [signed.card.organisation for signed in genesis.cards]
    if not 1 <= len(organisations) <= MAX_MEMBERS:
        raise MalformedError("a genesis has 1 to 100 members")
    if any(earlier >= later for earlier, later in pairwise(organisations)):
        raise MalformedError("members are not sorted, or one is repeated")
    if any(earlier >= later for earlier, later in pairwise(genesis.validators)):
        raise MalformedError("validators are not sorted, or one is repeated")
    if genesis.orderer and genesis.orderer not in genesis.validators:
        raise MalformedError("the orderer is not a validator")
    if not genesis.validators:
        raise MalformedError("nobody votes")
    if not all(validator in organisations for validator in genesis.validators):
        raise MalformedError("a validator is not a member")
    for signed in genesis.cards:
        check_signed_card(signed, verify_signature)
    _check_engines(genesis)
    if genesis.chain != chain_of(genesis):
        raise MalformedError("the chain id does not follow from the genesis")
    return genesis


def genesis_writes(data: bytes) -> list[tuple[str, str, bytes]]:
    """Return the records that a genesis document brings: (collection, key, canonical bytes), sorted.

    Raises:
        MalformedError: it is not a good one.
    """
    genesis = decode_genesis(data)
    state = State(_Absent())
    state.put(PARAMETERS, ZONE_KEY, genesis.parameters)
    zone = Zone(
        name=genesis.name,
        chain=genesis.chain,
        created_at=genesis.created,
        orderer=genesis.orderer,
        validators=genesis.validators,
    )
    state.put(ZONE, ZONE_KEY, zone)
    for signed in genesis.cards:
        try:
            check_free(state, (*roles_by_key(signed.card), signed.card.recovery))
        except RejectedError:
            raise MalformedError("two members have the same key") from None
        put_member(state, signed.card, genesis.created, 0)
    for engine in genesis.engines:
        try:
            check_engine_free(state, engine.organisation, engine.consensus, engine.node)
        except RejectedError as error:
            raise MalformedError(f"two members have the same engine: {error.message}") from None
        put_engine(state, engine.organisation, engine.consensus, engine.node, engine.address, genesis.created)
    put_seating(state, 0, genesis.created)
    return [(collection, key, value) for collection, key, value in state.writes() if value is not None]


def _check_engines(genesis: Genesis) -> None:
    """Check that those who order together have engines, and nobody else.

    Raises:
        MalformedError: it is otherwise.
    """
    expected = () if genesis.orderer else genesis.validators
    if tuple(engine.organisation for engine in genesis.engines) != expected:
        raise MalformedError("the engines are not those of the validators that order together")
    for engine in genesis.engines:
        try:
            check_key(engine.consensus, "consensus")
            check_engine_form(engine.node)
        except RejectedError as error:
            raise MalformedError(f"an engine is not of its form: {error.message}") from None
        if not engine.address:
            raise MalformedError("an engine has no address")
        check_address(engine.address)


def _check_parameters(parameters: Parameters) -> None:
    """Check that the limits are within those of the formats, and leave room to work in.

    Raises:
        MalformedError: one is not.
    """
    if parameters.rules != 1:
        raise MalformedError("unknown version of the rules")
    if not 1_024 <= parameters.max_transaction_bytes <= MAX_TRANSACTION_BYTES:
        raise MalformedError("max_transaction_bytes out of range")
    if not 1 <= parameters.max_operations <= MAX_OPERATIONS:
        raise MalformedError("max_operations out of range")
    if not 1_000 <= parameters.max_expires_ahead_ms <= MAX_EXPIRES_AHEAD_MS:
        raise MalformedError("max_expires_ahead_ms out of range")
    if not 1 <= parameters.block_operations_per_organisation or not 1 <= parameters.block_operations:
        raise MalformedError("a block without operations")
    if not 1 <= parameters.records_per_organisation:
        raise MalformedError("a quota without records")


def _slug(name: str) -> str:
    """Return a name as lower-case ASCII letters, digits and single hyphens; `zone` where nothing is left of it."""
    slug = ""
    for character in name:
        if character in _CAPITALS:
            slug += _LETTERS[_CAPITALS.index(character)]
        elif character in _LETTERS or character in _DIGITS:
            slug += character
        elif slug and slug[-1] != "-":
            slug += "-"
    return slug[:_SLUG_LENGTH].strip("-") or "zone"
