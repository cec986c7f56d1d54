"""An in-memory zone for tests of modules: organisations that hold real keys, and operations applied to real state.

`Simulator.run` does with one operation what `execute_block` does with it (decode its canonical bytes, check the role,
validate, apply, undo on a rejection), without frames and signatures of transactions. `SignedSimulator` sends the same
operations through signed transactions and `execute_block`. Everything is derived from names, so every run is alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nacl.signing import SigningKey

from tallystick import modules
from tallystick.codec import decode_json, encode_json, sha256, tagged_hash
from tallystick.codec.cards import Card, CardKey, SignedCard, sign_card
from tallystick.errors import RejectedError
from tallystick.machine import (
    MACHINE_REJECTIONS,
    PARAMETERS,
    Block,
    Collection,
    Context,
    Event,
    LedgerState,
    Message,
    Module,
    Parameters,
    Record,
    Rulebook,
    State,
    TransactionResult,
    build_transaction,
    execute_block,
)
from tallystick.merkle import Frontier, StateTree, state_key, state_leaf
from tallystick.modules import decode_genesis, genesis_writes, rulebook
from tallystick.modules.organisations.genesis import FirstEngine
from tallystick.modules.organisations.ops import SetEngine
from tallystick.modules.organisations.possession import consensus_possession_message, possession_message

START = 1_714_521_600_000
"""2024-05-01T00:00:00Z, when every simulated zone is created."""
DAY = 86_400_000
HOSPITAL, UNIVERSITY, BANK, CITY = "city-hospital", "state-university", "harbour-bank", "city-agency"
ORGANISATIONS = (HOSPITAL, UNIVERSITY, BANK, CITY)
NAMES = {
    HOSPITAL: "City Hospital",
    UNIVERSITY: "State University",
    BANK: "Harbour Bank",
    CITY: "City Agency",
}
KEY_ROLES = ("registration", "security", "service", "system")


class MemoryReader:
    """Committed records in a dictionary: the `Reader` of tests."""

    def __init__(self, records: Mapping[tuple[str, str], bytes] | None = None) -> None:
        self.records: dict[tuple[str, str], bytes] = dict(records or {})

    def read(self, collection: str, key: str) -> bytes | None:
        """Return the bytes of a record, or None."""
        return self.records.get((collection, key))

    def scan(self, collection: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield (key, bytes) of a collection in order of the keys' bytes."""
        keys = [key for name, key in self.records if name == collection and key.startswith(prefix)]
        for key in sorted(keys, key=str.encode):
            yield key, self.records[(collection, key)]

    def write(self, writes: Sequence[tuple[str, str, bytes | None]]) -> None:
        """Take over the writes of a block."""
        for collection, key, value in writes:
            if value is None:
                self.records.pop((collection, key), None)
            else:
                self.records[(collection, key)] = value


def signing_key(organisation: str, purpose: str) -> SigningKey:
    """Return the key that an organisation always has for a role (or `recovery`, or any other word)."""
    return SigningKey(tagged_hash(b"tests/key", organisation.encode(), purpose.encode()))


def public_hex(key: SigningKey) -> str:
    """Return the public half of a key, lower-case hex."""
    return key.verify_key.encode().hex()


def make_card(organisation: str, **changes: Any) -> SignedCard:
    """Return the signed card of an organisation with one key for each role.

    Args:
        organisation: its id.
        changes: other values for fields of the card.
    """
    entries = [CardKey(key=public_hex(signing_key(organisation, role)), role=role) for role in KEY_ROLES]
    fields: dict[str, Any] = {
        "organisation": organisation,
        "name": NAMES.get(organisation, organisation),
        "keys": tuple(sorted(entries, key=lambda entry: (entry.role, entry.key))),
        "recovery": public_hex(signing_key(organisation, "recovery")),
        "encryption": tagged_hash(b"tests/encryption", organisation.encode()).hex(),
        "tls_pins": (tagged_hash(b"tests/tls", organisation.encode()).hex(),),
        "address": f"{organisation}.example:8443",
    } | changes
    return sign_card(
        Card(**fields),
        lambda message: signing_key(organisation, "security").sign(message).signature,
        lambda message: signing_key(organisation, "recovery").sign(message).signature,
    )


def make_engine(organisation: str) -> FirstEngine:
    """Return the engine that an organisation always has."""
    return FirstEngine(
        organisation=organisation,
        consensus=public_hex(signing_key(organisation, "consensus")),
        node=tagged_hash(b"tests/engine", organisation.encode())[:20].hex(),
        address=f"{organisation}.example:26656",
    )


def make_genesis(
    organisations: Sequence[str] = ORGANISATIONS,
    *,
    orderer: str | None = None,
    validators: Sequence[str] = (),
    name: str = "Test Zone",
    created: int = START,
    parameters: Parameters | None = None,
) -> bytes:
    """Return the bytes of a genesis document whose first organisation orders, unless said otherwise.

    Args:
        organisations: members.
        orderer: who orders; empty where the validators order together.
        validators: who votes; by default the orderer alone.
        name: of the zone.
        created: when, ms.
        parameters: limits, where the defaults will not do.
    """
    return modules.make_genesis(
        name=name,
        created=created,
        orderer=organisations[0] if orderer is None else orderer,
        cards=[make_card(organisation) for organisation in organisations],
        validators=validators,
        engines=[make_engine(validator) for validator in validators] if orderer == "" else [],
        parameters=parameters,
    )


class Simulator:
    """A zone in memory, one operation (or one atomic transaction) a block."""

    def __init__(
        self,
        organisations: Sequence[str] = ORGANISATIONS,
        *,
        orderer: str | None = None,
        validators: Sequence[str] = (),
        parameters: Parameters | None = None,
        modules: Sequence[Module] | None = None,
    ) -> None:
        """Begin a zone.

        Args:
            organisations: members from the start.
            orderer: who orders: by default the first; empty where the validators order together.
            validators: who votes; by default the orderer alone.
            parameters: limits, where the defaults will not do.
            modules: what operations there are; by default all of the house.
        """
        self.rulebook = rulebook() if modules is None else Rulebook(tuple(modules), rulebook().authority)
        self.genesis = make_genesis(organisations, orderer=orderer, validators=validators, parameters=parameters)
        self.genesis_hash = sha256(self.genesis)
        writes = genesis_writes(self.genesis)
        self.reader = MemoryReader({(collection, key): value for collection, key, value in writes})
        self.chain = decode_genesis(self.genesis).chain
        self.height = 0
        self.time = START
        self.last_writes: list[tuple[str, str, bytes | None]] = []
        self.last_context: Context | None = None
        self._extra: dict[tuple[str, str], SigningKey] = {}

    @property
    def state(self) -> State:
        """A fresh view of what is committed, for queries and invariants."""
        return State(self.reader)

    def find(self, collection: Collection[Any], key: str) -> Any:
        """Return a committed record, or None."""
        return self.state.find(collection, key)

    def get(self, collection: Collection[Any], key: str) -> Any:
        """Return a committed record; fail where there is none."""
        return self.state.get(collection, key)

    def key(self, organisation: str, role: str) -> SigningKey:
        """Return the key that an organisation signs with for a role: the one of `use_key`, else its first."""
        return self._extra.get((organisation, role)) or signing_key(organisation, role)

    def use_key(self, organisation: str, role: str, key: SigningKey) -> None:
        """Let an organisation sign with another key from now on."""
        self._extra[(organisation, role)] = key

    def proof(self, organisation: str, key: SigningKey, *, recovery: bool = False) -> str:
        """Return the proof that an organisation holds a new key, as `add_key` or `start_recovery` asks for it."""
        message = possession_message(self.chain, organisation, public_hex(key), recovery=recovery)
        return key.sign(message).signature.hex()

    def engine(self, organisation: str, purpose: str = "consensus", **changes: str) -> SetEngine:
        """Return the operation by which an organisation announces its engine.

        Args:
            organisation: whose it is.
            purpose: of the consensus key; another word makes another key.
            changes: other values for fields.
        """
        key = signing_key(organisation, purpose)
        message = consensus_possession_message(self.chain, organisation, public_hex(key))
        first = make_engine(organisation)
        fields = {
            "consensus": public_hex(key),
            "node": first.node,
            "address": first.address,
            "proof": key.sign(message).signature.hex(),
        }
        return SetEngine(**(fields | changes))

    def run(
        self,
        organisation: str,
        message: Message,
        *,
        role: str | None = None,
        at_ms: int | None = None,
        key: SigningKey | None = None,
    ) -> list[Event]:
        """Apply one operation in a block of its own.

        Args:
            organisation: who signs.
            message: the operation.
            role: sign with the organisation's key of this role; by default of the role that the operation needs.
            at_ms: block time; by default a second after the last.
            key: sign with this key instead.

        Returns:
            its events.

        Raises:
            RejectedError: it is refused, and nothing has changed.
        """
        return self.run_atomic(organisation, [message], role=role, at_ms=at_ms, key=key)

    def run_atomic(
        self,
        organisation: str,
        messages: Sequence[Message],
        *,
        role: str | None = None,
        at_ms: int | None = None,
        key: SigningKey | None = None,
    ) -> list[Event]:
        """Apply several operations as one atomic transaction; as `run` otherwise."""
        self._advance(at_ms)
        signer = key or self.key(organisation, role or self.rulebook.operations[type(messages[0])].role or "service")
        state = State(self.reader)
        transaction = tagged_hash(b"tests/transaction", self.height.to_bytes(8, "big"))
        events: list[Event] = []
        for index, message in enumerate(messages):
            context = self._context(state, organisation, public_hex(signer), transaction, index)
            self.last_context = context
            events += run_operation(self.rulebook, state, context, encode_json(message))
        self.last_writes = state.writes()
        self.reader.write(self.last_writes)
        return events

    def reject(self, organisation: str, message: Message, **options: Any) -> RejectedError:
        """Return the rejection of an operation that must be refused; options are those of `run`."""
        before = dict(self.reader.records)
        try:
            self.run(organisation, message, **options)
        except RejectedError as error:
            assert before == self.reader.records
            return error
        raise AssertionError(f"{type(message).__name__} was accepted")

    def broken(self) -> list[str]:
        """Return the broken invariants of all modules; none is as it should be."""
        state = self.state
        return [fault for module in self.rulebook.modules for check in module.invariants for fault in check(state)]

    def _advance(self, at_ms: int | None) -> None:
        self.height += 1
        self.time = self.time + 1_000 if at_ms is None else max(at_ms, self.time)

    def _context(self, state: State, organisation: str, key: str, transaction: bytes, index: int) -> Context:
        rejections = {rejection.name: rejection for rejection in MACHINE_REJECTIONS}
        rights = self.rulebook.authority.find_rights(state, key)
        if rights is None or rights.organisation != organisation:
            raise rejections["unknown_key"](organisation=organisation)
        if rights.suspended:
            raise rejections["organisation_suspended"](organisation=organisation)
        return Context(
            chain=self.chain,
            height=self.height,
            time=self.time,
            organisation=organisation,
            key=key,
            roles=rights.roles,
            transaction=transaction,
            index=index,
            parameters=state.get(PARAMETERS, "zone"),
        )


def run_operation(rules: Rulebook, state: State, context: Context, operation: bytes) -> list[Event]:
    """Apply one operation to a state as the machine does.

    Args:
        rules: the operations.
        state: changed on success only.
        context: where it stands, and who signed.
        operation: its bytes.

    Returns:
        its events.

    Raises:
        RejectedError: it is refused; the state is as before.
        MalformedError: the bytes are no operation.
    """
    message = rules.decoder.decode(operation)
    chosen = rules.operations[type(message)]
    mark, created = state.begin(), state.created
    try:
        if chosen.role and chosen.role not in context.roles:
            raise next(r for r in MACHINE_REJECTIONS if r.name == "role_missing")(role=chosen.role)
        chosen.validate(message)
        events = chosen.apply(state, context, message)
    except RejectedError:
        state.rollback(mark, created)
        raise
    state.finish()
    return events


class SignedSimulator(Simulator):
    """The same zone, with every operation in a signed transaction that `execute_block` executes."""

    def __init__(
        self,
        organisations: Sequence[str] = ORGANISATIONS,
        *,
        orderer: str | None = None,
        validators: Sequence[str] = (),
        parameters: Parameters | None = None,
        modules: Sequence[Module] | None = None,
    ) -> None:
        super().__init__(organisations, orderer=orderer, validators=validators, parameters=parameters, modules=modules)
        tree = StateTree()
        changes: dict[bytes, bytes | None] = {}
        for (collection, key), value in self.reader.records.items():
            hashed = state_key(collection, key)
            changes[hashed] = state_leaf(hashed, sha256(value))
        tree.apply(tree.preview(changes))
        self.ledger = LedgerState(
            chain=self.chain,
            genesis_hash=self.genesis_hash,
            height=0,
            time=self.time,
            reader=self.reader,
            tree=tree,
            frontier=Frontier(),
        )
        self.last_results: list[TransactionResult] = []

    def transaction(
        self, organisation: str, messages: Sequence[Message], key: SigningKey, *, atomic: bool = True
    ) -> bytes:
        """Return a signed transaction that could be in the next block."""
        nonce = tagged_hash(b"tests/nonce", self.height.to_bytes(8, "big"), encode_json(list(messages))).hex()[:32]
        return build_transaction(
            messages,
            organisation=organisation,
            key=key.verify_key.encode(),
            sign=lambda data: key.sign(data).signature,
            external_aad=self.genesis_hash,
            expires=self.time + 600_000,
            nonce=nonce,
            seen_size=self.ledger.frontier.size,
            seen_root=self.ledger.frontier.root(),
            atomic=atomic,
        )

    def execute(self, transactions: Sequence[bytes], at_ms: int | None = None) -> list[Event]:
        """Execute a block of transactions and make it the last; `last_results` holds the outcomes."""
        self._advance(at_ms)
        result = execute_block(self.ledger, Block(self.height, self.time, tuple(transactions)), self.rulebook)
        self.last_results, self.last_writes = result.results, result.writes
        self.reader.write(result.writes)
        result.commit_to(self.ledger)
        return [emitted.event for emitted in result.events]

    def run_atomic(
        self,
        organisation: str,
        messages: Sequence[Message],
        *,
        role: str | None = None,
        at_ms: int | None = None,
        key: SigningKey | None = None,
    ) -> list[Event]:
        """Send operations as one atomic transaction in a block of its own.

        Raises:
            RejectedError: of the transaction, or of the first operation that is refused.
        """
        signer = key or self.key(organisation, role or self.rulebook.operations[type(messages[0])].role or "service")
        if at_ms is not None:
            self.time = max(self.time, at_ms)
        events = self.execute([self.transaction(organisation, messages, signer)], at_ms)
        result = self.last_results[0]
        if result.refused is not None:
            raise result.refused
        aborted = next(r for r in MACHINE_REJECTIONS if r.name == "aborted").code
        for outcome in result.outcomes:
            if outcome.error is not None and outcome.code != aborted:
                raise outcome.error
        return events

    def reject(self, organisation: str, message: Message, **options: Any) -> RejectedError:
        """Return the rejection of an operation that must be refused; options are those of `run`."""
        try:
            self.run(organisation, message, **options)
        except RejectedError as error:
            return error
        raise AssertionError(f"{type(message).__name__} was accepted")


def plain(value: Record | Event | Message) -> dict[str, Any]:
    """Return a struct as plain JSON values, to compare with what a test writes down."""
    decoded: dict[str, Any] = decode_json(encode_json(value))
    return decoded
