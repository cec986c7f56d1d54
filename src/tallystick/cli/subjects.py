"""What a person means by an id: the operations of the ledger that made a thing what it is, newest first.

An id is that of a request, an agreement, a delivery, evidence, a dataset or an organisation; a transaction, as `TX` or
`TX/INDEX`; or the number of an entry of the history.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tallystick.cli.options import is_remote
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.sdk import Zone
    from tallystick.views import OperationView

_HASH_DIGITS = 64
_LEAF_DIGITS = 15
# Kinds of things: how their ids begin, the field of an event that names them, and how the events about them begin.
_KINDS = (
    ("req-", "request", ("request_",)),
    ("agr-", "agreement", ("agreement_",)),
    ("dlv-", "delivery", ("delivery_", "dispute_")),
    ("ev-", "evidence", ("evidence_",)),
)
_MEMBER_EVENTS = (
    *("organisation_", "admission_", "suspension_", "reinstatement_", "validator_", "promotion_", "demotion_"),
    *("address_", "tls_pins_", "key_", "encryption_", "recovery_", "engine_"),
)


class Subject(NamedTuple):
    """What an id is of.

    Attributes:
        identifier: of it.
        field: of the events that names it.
        events: how the names of the events about it begin.
    """

    identifier: str
    field: str
    events: tuple[str, ...]


def subject_of(identifier: str) -> Subject:
    """Return what an id is of."""
    for prefix, field, events in _KINDS:
        if identifier.startswith(prefix):
            return Subject(identifier, field, events)
    if "/" in identifier:
        return Subject(identifier, "dataset", ("dataset_",))
    return Subject(identifier, "organisation", _MEMBER_EVENTS)


def find_operations(zone: Zone, home: Path, identifier: str) -> Sequence[OperationView]:
    """Return the operations that an id means, newest first; at least one.

    Raises:
        UsageError: there are none.
    """
    place = place_of(zone, identifier)
    if place is not None:
        return (place,)
    subject = subject_of(identifier)
    if is_remote(home):
        found = _asked(zone, subject)
    else:
        from tallystick.node.inspection import operations_about

        found = operations_about(home, subject.field, subject.identifier, subject.events)
    if not found:
        raise UsageError(
            f"nothing on the ledger is about {identifier}",
            remedy="Give the id of a request, agreement, delivery, dataset or evidence, or a transaction: tally ledger log",
        )
    return found


def place_of(zone: Zone, identifier: str) -> OperationView | None:
    """Return the operation that a transaction's id or an entry's number means; None where it is neither.

    Raises:
        UsageError: the history has no such entry.
    """
    if identifier.isascii() and identifier.isdecimal() and len(identifier) <= _LEAF_DIGITS:
        leaf = int(identifier)
        entry = next(iter(zone.operations(before=leaf + 1, limit=1)), None)
        if entry is None or entry.leaf != leaf:
            raise UsageError(f"the history has no entry {identifier}", remedy="See its newest: tally ledger log")
        return zone.operation(entry.transaction, entry.index)
    transaction, slash, index = identifier.lower().partition("/")
    if len(transaction) != _HASH_DIGITS or not set(transaction) <= set("0123456789abcdef"):
        return None
    if slash and not (index.isascii() and index.isdecimal()):
        raise UsageError(f"{identifier} names no operation", remedy="Give TRANSACTION/INDEX; an index counts from 0.")
    return zone.operation(transaction, int(index or 0))


def _asked(zone: Zone, subject: Subject) -> Sequence[OperationView]:
    """Return the operations about a subject, found in the events of a node elsewhere."""
    leaves = {
        each.leaf
        for each in zone.events(0)
        if each.event.get(subject.field) == subject.identifier and str(each.event["type"]).startswith(subject.events)
    }
    return [next(iter(zone.operations(before=leaf + 1, limit=1))) for leaf in sorted(leaves, reverse=True)]
