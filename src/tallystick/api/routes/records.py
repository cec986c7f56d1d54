"""What is on the ledger, and proofs of it."""

from __future__ import annotations

from tallystick.api.problems import malformed
from tallystick.api.routes.forms import Count, Limit, Line
from tallystick.api.routing import Call, Form, Routes
from tallystick.office.refusals import NotFoundError
from tallystick.views import OperationView

routes = Routes("ledger")


class OperationsQuery(Form):
    """Which operations, newest first: those before a place, of a type, by an organisation."""

    before: Count | None = None
    limit: Limit = 100
    type: Line = ""
    organisation: Line = ""


class ReceiptQuery(Form):
    """Which operation of the transaction, and the trust version that the reader has."""

    index: Count = 0
    since: Count | None = None


_SELECT = (
    "SELECT o.leaf, t.height, b.time_ms, t.organisation, o.type, o.outcome, lower(hex(t.id)), o.leaf - t.first_leaf "
    "FROM operations o JOIN transactions t ON t.seq = o.tx JOIN blocks b ON b.height = t.height WHERE "
)
_FIELDS = OperationView.__struct_fields__[:-1]


@routes.add("GET", "/v1/operations", returns=tuple[OperationView, ...], query=OperationsQuery)
async def list_operations(call: Call) -> list[OperationView]:
    """The history, newest first."""
    query: OperationsQuery = call.query
    conditions, values = ["1"], []
    if query.before is not None:
        conditions.append("o.leaf < ?")
        values.append(query.before)
    for column, value in (("o.type", query.type), ("t.organisation", query.organisation)):
        if value:
            conditions.append(f"{column} = ?")
            values.append(value)  # type: ignore[arg-type]
    statement = _SELECT + " AND ".join(conditions) + " ORDER BY o.leaf DESC LIMIT ?"
    rows = call.services.ledger.store.query(statement, [*values, query.limit])
    return [OperationView(**dict(zip(_FIELDS, row, strict=True))) for row in rows]


@routes.add("GET", "/v1/operations/{transaction}/{index}", returns=OperationView, missing=True)
async def get_operation(call: Call) -> OperationView:
    """One operation, with what was asked for."""
    store = call.services.ledger.store
    leaf = call.services.ledger.leaf_of(call.path["transaction"], _index(call.path["index"]))
    (row,) = store.query(_SELECT + "o.leaf = ?", [leaf])
    operation = call.services.ledger.asked_at(leaf)
    return OperationView(
        **dict(zip(_FIELDS, row, strict=True)), operation=operation if isinstance(operation, dict) else None
    )


def _index(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 6:
        raise malformed("an index counts from 0", "path.index")
    return int(text)


@routes.add("GET", "/v1/receipts/{transaction}", returns=dict, query=ReceiptQuery, missing=True)
async def get_receipt(call: Call) -> bytes:
    """The receipt of an operation, exactly the bytes to verify; see docs/reference/receipt.md.

    503 while too few members have witnessed it: ask again in a moment.
    """
    ledger = call.services.ledger
    return ledger.receipt(ledger.leaf_of(call.path["transaction"], call.query.index), since=call.query.since)


@routes.add("GET", "/v1/records/{collection}/{key:path}", returns=dict)
async def get_record(call: Call) -> bytes:
    """A record, or that there is none, with its proof under the newest header; exactly the bytes to verify."""
    collection, key = call.path["collection"], call.path["key"]
    if not 1 <= len(collection) <= 60 or not 1 <= len(key) <= 400:
        raise NotFoundError("there is no such record", remedy="See docs/reference/ledger-tables.md for what there is.")
    return await call.services.prove(collection, key)
