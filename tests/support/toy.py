"""The smallest rulebook with which the machine, the store and the engines can be tested on their own.

One collection of notes, one operation that puts a note, one that counts; keys are registered in a record.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nacl.signing import SigningKey

from tallystick.codec import encode_json, sha256
from tallystick.machine import (
    PARAMETERS,
    Block,
    BlockResult,
    Collection,
    Context,
    Event,
    LedgerState,
    Message,
    Module,
    Operation,
    Parameters,
    Record,
    Rejection,
    Rights,
    Rulebook,
    State,
    build_transaction,
    execute_block,
)
from tallystick.merkle import Frontier, StateTree, state_key, state_leaf

NOTE_TAKEN = Rejection(9001, "note_taken", "the note {key} is there already")
NOTE_EMPTY = Rejection(9002, "note_empty", "a note needs a text")


class Note(Record):
    """A note."""

    text: str
    organisation: str
    recorded: int


class Holder(Record):
    """Who holds a key."""

    organisation: str
    roles: list[str]
    suspended: bool = False


class PutNote(Message, tag="put_note"):
    """Put a note under a key."""

    key: str
    text: str


class ReplaceNote(Message, tag="replace_note"):
    """Replace a note, whatever it was."""

    key: str
    text: str


class NotePut(Event, tag="note_put"):
    """A note was put."""

    key: str


NOTES = Collection("notes", Note, "notes of the toy rulebook")
HOLDERS = Collection("holders", Holder, "keys of the toy rulebook")


def _validate(message: PutNote | ReplaceNote) -> None:
    if not message.text:
        raise NOTE_EMPTY()


def _put(state: State, ctx: Context, message: PutNote) -> list[Event]:
    if state.has(NOTES, message.key):
        raise NOTE_TAKEN(key=message.key)
    state.put(NOTES, message.key, Note(text=message.text, organisation=ctx.organisation, recorded=ctx.time))
    return [NotePut(key=message.key)]


def _replace(state: State, ctx: Context, message: ReplaceNote) -> list[Event]:
    state.put(NOTES, message.key, Note(text=message.text, organisation=ctx.organisation, recorded=ctx.time))
    return [NotePut(key=message.key)]


class Keys:
    """Answers who holds a key from the records."""

    collections = frozenset({HOLDERS.name})

    def find_rights(self, state: State, key: str) -> Rights | None:
        """Return the rights of a key, or None."""
        holder = state.find(HOLDERS, key)
        return None if holder is None else Rights(holder.organisation, tuple(holder.roles), holder.suspended)


MODULE = Module(
    "notes",
    (NOTES, HOLDERS),
    (
        Operation(PutNote, "service", _validate, _put, "put a note"),
        Operation(ReplaceNote, "security", _validate, _replace, "replace a note"),
    ),
    (NOTE_TAKEN, NOTE_EMPTY),
    (NotePut,),
)
RULEBOOK = Rulebook((MODULE,), Keys())


class MemoryReader:
    """Records in a dictionary."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], bytes] = {}

    def read(self, collection: str, key: str) -> bytes | None:
        """Return a record's bytes, or None."""
        return self.records.get((collection, key))

    def scan(self, collection: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield records by key."""
        for (name, key), value in sorted(self.records.items(), key=lambda item: item[0][1].encode()):
            if name == collection and key.startswith(prefix):
                yield key, value


@dataclass
class Toy:
    """A zone of the toy rulebook, with everything needed to sign for its organisations."""

    parameters: Parameters = field(default_factory=Parameters)
    organisations: Sequence[str] = ("bank", "clinic")
    genesis: bytes = b'{"toy":1}'

    def __post_init__(self) -> None:
        self.keys = {name: SigningKey(sha256(name.encode())) for name in self.organisations}
        self.nonces = itertools.count(1)
        self.reader = MemoryReader()
        for collection, key, value in self.records():
            self.reader.records[(collection, key)] = value
        entries = (
            (place := state_key(collection, key), state_leaf(place, sha256(value)))
            for (collection, key), value in self.reader.records.items()
        )
        self.state = LedgerState(
            chain="toy-00000000",
            genesis_hash=sha256(self.genesis),
            height=0,
            time=0,
            reader=self.reader,
            tree=StateTree.build(entries),
            frontier=Frontier(),
        )

    def records(self) -> list[tuple[str, str, bytes]]:
        """Return the records that the genesis brings."""
        brought = [(PARAMETERS.name, "zone", encode_json(self.parameters))]
        for name in self.organisations:
            holder = Holder(organisation=name, roles=["service"])
            brought.append((HOLDERS.name, self.keys[name].verify_key.encode().hex(), encode_json(holder)))
        return brought

    def sign(
        self,
        organisation: str,
        *operations: Message | bytes,
        expires: int = 600_000,
        atomic: bool = True,
        seen: tuple[int, bytes] | None = None,
        claim: str | None = None,
        nonce: str | None = None,
    ) -> bytes:
        """Return a signed transaction."""
        key = self.keys[organisation]
        size, root = seen or (0, Frontier().root())
        return build_transaction(
            operations,
            organisation=claim or organisation,
            key=key.verify_key.encode(),
            sign=lambda message: key.sign(message).signature,
            external_aad=self.state.genesis_hash,
            expires=expires,
            nonce=nonce or f"{next(self.nonces):032x}",
            seen_size=size,
            seen_root=root,
            atomic=atomic,
        )

    def execute(self, *transactions: bytes, time: int = 1_000) -> BlockResult:
        """Execute the next block without keeping it."""
        block = Block(self.state.height + 1, max(time, self.state.time), transactions)
        return execute_block(self.state, block, RULEBOOK)

    def run(self, *transactions: bytes, time: int = 1_000) -> BlockResult:
        """Execute the next block and keep it."""
        result = self.execute(*transactions, time=time)
        for collection, key, value in result.writes:
            if value is None:
                del self.reader.records[(collection, key)]
            else:
                self.reader.records[(collection, key)] = value
        result.commit_to(self.state)
        return result


def fresh_nonce() -> str:
    """Return a nonce that was never used."""
    return secrets.token_hex(16)
