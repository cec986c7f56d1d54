"""The pure state machine: what a block of signed transactions does to the state, the same on every machine.

Rules of this room:

- `execute_block` is a function of the state before and the block; it reads no clock, file, socket or random source.
- It never raises on what a stranger may have put in a block: every transaction yields exactly one result.
- No floats; mappings are walked in key order; nothing iterates over a set.
- A change of what it computes is a new rules version in the state, never an edit of an old one.
"""

from tallystick.machine.beginning import Beginning, Head
from tallystick.machine.blocks import Block, BlockResult, EmittedEvent, LedgerState, Outcome, TransactionResult
from tallystick.machine.context import Context
from tallystick.machine.execution import execute_block, history_leaf
from tallystick.machine.parameters import PARAMETERS, Parameters
from tallystick.machine.registry import Authority, KnownRights, Module, Operation, Rights, Rulebook
from tallystick.machine.rejections import MACHINE_REJECTIONS, Rejection
from tallystick.machine.schema import Collection, Event, Message, Record
from tallystick.machine.signatures import verify_signature
from tallystick.machine.state import Reader, State
from tallystick.machine.transactions import Transaction, build_transaction, decode_transaction

__all__ = [
    "MACHINE_REJECTIONS",
    "PARAMETERS",
    "Authority",
    "Beginning",
    "Block",
    "BlockResult",
    "Collection",
    "Context",
    "EmittedEvent",
    "Event",
    "Head",
    "KnownRights",
    "LedgerState",
    "Message",
    "Module",
    "Operation",
    "Outcome",
    "Parameters",
    "Reader",
    "Record",
    "Rejection",
    "Rights",
    "Rulebook",
    "State",
    "Transaction",
    "TransactionResult",
    "build_transaction",
    "decode_transaction",
    "execute_block",
    "history_leaf",
    "verify_signature",
]
