"""execute_block: state before + ordered transactions -> outcomes, events, writes and app hash. Pure.

The order of checks on a transaction is part of the rules: form, signature, time, repetition, key, organisation, cap.
Only a transaction that passes all of them reaches the history; from there every operation leaves one leaf, accepted or
rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tallystick.codec import MalformedError, sha256, tagged_hash
from tallystick.errors import RejectedError
from tallystick.machine.blocks import OK, Block, BlockResult, EmittedEvent, LedgerState, Outcome, TransactionResult
from tallystick.machine.context import Context
from tallystick.machine.parameters import ACCEPTED, PARAMETERS, PARAMETERS_KEY, USAGE, Accepted, Parameters, Usage
from tallystick.machine.registry import KnownRights, Rights, Rulebook
from tallystick.machine.rejections import (
    ABORTED,
    BAD_SIGNATURE,
    BLOCK_CAP,
    EXPIRED,
    EXPIRES_TOO_LATE,
    MALFORMED,
    MALFORMED_OPERATION,
    ORGANISATION_SUSPENDED,
    QUOTA_EXCEEDED,
    REPEATED,
    ROLE_MISSING,
    UNKNOWN_KEY,
)
from tallystick.machine.schema import Event, Message
from tallystick.machine.signatures import verify_signature
from tallystick.machine.state import State
from tallystick.machine.transactions import Transaction, decode_transaction
from tallystick.merkle import StateUpdate, leaf_hash, state_key, state_leaf


def app_hash_of(state_root: bytes, history_root: bytes, size: int) -> bytes:
    """Return the app hash: what a header commits to."""
    return tagged_hash(b"tallystick/app-hash", state_root, history_root, size.to_bytes(8, "big"))


def history_leaf(height: int, time: int, transaction_id: str, index: int, operation: bytes, outcome: int) -> bytes:
    """Return the data of one history leaf: canonical JSON, written directly because its form is fixed.

    Args:
        height: of the block.
        time: of the block, ms.
        transaction_id: lower-case hex.
        index: of the operation in its transaction.
        operation: its canonical bytes.
        outcome: 0 or the number of the rejection.
    """
    return (
        f'{{"height":{height},"index":{index},"operation":"{sha256(operation).hex()}","outcome":{outcome},'
        f'"time":{time},"transaction":"{transaction_id}"}}'
    ).encode()


def execute_block(
    state: LedgerState,
    block: Block,
    rulebook: Rulebook,
    *,
    decoded: Sequence[Transaction | MalformedError | None] | None = None,
    verified: Callable[[Transaction], bool] | None = None,
) -> BlockResult:
    """Execute a block against a state, without changing it.

    Args:
        state: after the block before.
        block: height one above the state's and time not before it.
        rulebook: the operations.
        decoded: what `decode_transaction` gave for each transaction, where that was done already.
        verified: answers whether a transaction's signature is good; by default it is checked here.

    Returns:
        The result; `commit_to` applies it to the state.

    Raises:
        ValueError: the block does not follow the state (a fault of the caller, never of a transaction).
    """
    if block.height != state.height + 1 or block.time < state.time:
        raise ValueError("the block does not follow this state")
    run = _Run(state, block, rulebook, verified or _verify)
    results: list[TransactionResult] = []
    for position, raw in enumerate(block.transactions):
        known = decoded[position] if decoded is not None else None
        results.append(run.transaction(raw, known))
    return run.result(results)


def _verify(transaction: Transaction) -> bool:
    return verify_signature(transaction.key, transaction.signed, transaction.signature)


class _Run:
    """One block in execution: the layered state and what has come of it so far."""

    def __init__(
        self, before: LedgerState, block: Block, rulebook: Rulebook, verified: Callable[[Transaction], bool]
    ) -> None:
        self.before = before
        self.block = block
        self.rulebook = rulebook
        self.verified = verified
        self.state = State(before.reader, before.tree)
        self.parameters = self.state.find(PARAMETERS, PARAMETERS_KEY) or Parameters()
        self.leaves: list[bytes] = []
        self.events: list[EmittedEvent] = []
        self.size = before.frontier.size
        self.accepted: dict[bytes, int] = {}
        self.used: dict[str, int] = {}
        self.created: dict[str, int] = {}
        self.quotas: dict[str, int] = {}
        self.rights = KnownRights(rulebook.authority, self.state)

    def transaction(self, raw: bytes, known: Transaction | MalformedError | None) -> TransactionResult:
        """Execute one transaction; never raises on what is in it."""
        if known is None:
            try:
                known = decode_transaction(raw, self.before.genesis_hash)
            except MalformedError as error:
                known = error
        if isinstance(known, MalformedError):
            return TransactionResult(None, MALFORMED(reason=known.reason))
        try:
            rights = self._admit(known)
        except RejectedError as error:
            return TransactionResult(known, error)
        first_leaf = self.size
        outcomes = self._operations(known, rights)
        transaction_id = known.id.hex()
        height, time = self.block.height, self.block.time
        for index, outcome in enumerate(outcomes):
            self.leaves.append(history_leaf(height, time, transaction_id, index, known.operations[index], outcome.code))
        self.size += len(outcomes)
        self.accepted[known.id] = known.payload.expires
        return TransactionResult(known, None, outcomes, first_leaf)

    def _admit(self, transaction: Transaction) -> Rights:
        """Check what a transaction needs to reach the history.

        Raises:
            RejectedError: it leaves nothing there.
        """
        payload = transaction.payload
        parameters = self.parameters
        if len(transaction.raw) > parameters.max_transaction_bytes:
            raise MALFORMED(reason="longer than the zone allows")
        if len(transaction.operations) > parameters.max_operations:
            raise MALFORMED(reason="more operations than the zone allows")
        if not self.verified(transaction):
            raise BAD_SIGNATURE()
        if payload.expires < self.block.time:
            raise EXPIRED()
        if payload.expires > self.block.time + parameters.max_expires_ahead_ms:
            raise EXPIRES_TOO_LATE(limit_ms=parameters.max_expires_ahead_ms)
        if transaction.id in self.before.accepted or transaction.id in self.accepted:
            raise REPEATED()
        rights = self.rights.of(transaction.key)
        if rights is None or rights.organisation != payload.organisation:
            raise UNKNOWN_KEY(organisation=payload.organisation)
        if rights.suspended:
            raise ORGANISATION_SUSPENDED(organisation=rights.organisation)
        used = self.used.get(rights.organisation, 0) + len(transaction.operations)
        if used > parameters.block_operations_per_organisation:
            raise BLOCK_CAP(organisation=rights.organisation, limit=parameters.block_operations_per_organisation)
        self.used[rights.organisation] = used
        return rights

    def _operations(self, transaction: Transaction, rights: Rights) -> tuple[Outcome, ...]:
        """Execute the operations: all or none where the transaction is atomic, else each on its own."""
        state = self.state
        organisation = rights.organisation
        atomic = transaction.payload.atomic
        before_created = self.created.get(organisation, 0)
        outcomes: list[Outcome] = []
        events: list[EmittedEvent] = []
        whole = state.begin()
        for index, raw in enumerate(transaction.operations):
            mark, created = state.begin(), state.created
            try:
                emitted = self._operation(transaction, rights, index, raw)
                self._check_quota(organisation, before_created + state.created)
            except RejectedError as error:
                state.rollback(mark, created)
                outcomes.append(Outcome(error.code, error))
                if atomic:
                    break
                continue
            outcomes.append(OK)
            leaf = self.size + index
            events.extend([EmittedEvent(leaf, event) for event in emitted])
        failed = outcomes[-1]
        if atomic and failed.error is not None:
            state.rollback(whole, 0)
            events = []
            aborted = ABORTED(index=len(outcomes) - 1)
            outcomes = [
                failed if index == len(outcomes) - 1 else Outcome(ABORTED.code, aborted)
                for index in range(len(transaction.operations))
            ]
        if state.created:
            self.created[organisation] = before_created + state.created
        state.finish()
        self.events += events
        return tuple(outcomes)

    def _operation(self, transaction: Transaction, rights: Rights, index: int, raw: bytes) -> list[Event]:
        """Decode, check and apply one operation.

        Raises:
            RejectedError: it is refused; what it may have written is undone by the caller.
        """
        try:
            message: Message = self.rulebook.decoder.decode(raw)
        except MalformedError as error:
            raise MALFORMED_OPERATION(reason=error.reason) from None
        operation = self.rulebook.operations[type(message)]
        if operation.role and operation.role not in rights.roles:
            raise ROLE_MISSING(role=operation.role)
        operation.validate(message)
        context = Context(
            chain=self.before.chain,
            height=self.block.height,
            time=self.block.time,
            organisation=rights.organisation,
            key=transaction.key.hex(),
            roles=rights.roles,
            transaction=transaction.id,
            index=index,
            parameters=self.parameters,
        )
        return operation.apply(self.state, context, message)

    def _check_quota(self, organisation: str, created: int) -> None:
        """Refuse new records above the organisation's quota.

        Raises:
            RejectedError: `quota_exceeded`.
        """
        if not created:
            return
        stored = self.quotas.get(organisation)
        if stored is None:
            usage = self.state.find(USAGE, organisation)
            stored = self.quotas[organisation] = usage.records if usage is not None else 0
        if stored + created > self.parameters.records_per_organisation:
            raise QUOTA_EXCEEDED(organisation=organisation, limit=self.parameters.records_per_organisation)

    def result(self, results: list[TransactionResult]) -> BlockResult:
        """Do the machine's own bookkeeping and compute the roots."""
        before = self.before
        forgotten = self._bookkeeping() if self.accepted else 0
        writes = self.state.writes() if self.accepted else []
        update: StateUpdate | None = None
        state_root = before.tree.root
        if writes:
            changes: dict[bytes, bytes | None] = {}
            known = self.state.known_places
            for collection, key, value in writes:
                hashed = known.get((collection, key)) or state_key(collection, key)
                changes[hashed] = None if value is None else state_leaf(hashed, sha256(value))
            update = before.tree.preview(changes)
            state_root = update.root
        frontier = before.frontier
        if self.leaves:
            frontier = frontier.copy()
            frontier.extend([leaf_hash(leaf) for leaf in self.leaves])
        history_root = frontier.root()
        accepted = None
        if self.accepted:
            accepted = (self.block.height, max(self.accepted.values()), tuple(self.accepted))
        return BlockResult(
            block=self.block,
            results=results,
            leaves=self.leaves,
            events=self.events,
            writes=writes,
            state_root=state_root,
            history_root=history_root,
            size=self.size,
            app_hash=app_hash_of(state_root, history_root, self.size),
            frontier=frontier,
            update=update,
            forgotten=forgotten,
            accepted=accepted,
            written=frozenset([collection for collection, _, _ in writes]),
        )

    def _bookkeeping(self) -> int:
        """Record what this block accepted and created; forget what can no longer be repeated.

        Only a block that reaches the history does this, so that an empty block leaves the app hash alone.

        Returns:
            how many of the oldest `accepted` records were removed.
        """
        state = self.state
        for organisation in sorted(self.created):
            usage = state.find(USAGE, organisation)
            records = (usage.records if usage is not None else 0) + self.created[organisation]
            state.put(USAGE, organisation, Usage(organisation=organisation, records=records))
        forgotten = 0
        for height, expires, _ in self.before.accepted_blocks:
            if expires >= self.block.time:
                break
            state.remove(ACCEPTED, accepted_key(height))
            forgotten += 1
        record = Accepted(
            expires=max(self.accepted.values()), ids=[transaction_id.hex() for transaction_id in self.accepted]
        )
        state.put(ACCEPTED, accepted_key(self.block.height), record)
        return forgotten


def accepted_key(height: int) -> str:
    """Return the key of a block's `accepted` record: its height as 12 digits, so that keys sort as heights do."""
    return f"{height:012d}"
