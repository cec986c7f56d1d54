"""What the office answers: frozen structs, plain JSON by `msgspec.to_builtins`.

Times are ms since the epoch, hashes are lower-case hex, sizes are bytes; a field that is empty here was empty there.
"""

from __future__ import annotations

from typing import Any, Literal, dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class View(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""


class Recorded(View, kw_only=True):
    """Where on the ledger an operation is: what a receipt is exported by."""

    transaction: str
    index: int
    height: int
    leaf: int


class PrivateValues(View, kw_only=True):
    """Party-only values behind a commitment, as far as this node has them.

    Attributes:
        about: what they were said with: `sent`, `countered`, `rejected`, `terminated`, `disputed`, `answered`, `failed`.
        author: who committed to them.
        commitment: root on the ledger.
        status: `own`; `verified` (received, and they are what was committed to); `waiting` (not received yet);
            `refused` (what was received is not what was committed to); `other` (this node is not a party); `lost`.
        fields: the values, where `own` or `verified`.
        reason: why, where refused.
    """

    about: str
    author: str
    commitment: str
    status: Literal["lost", "other", "own", "refused", "verified", "waiting"]
    fields: dict[str, str] = {}
    reason: str = ""


class VersionView(View, kw_only=True):
    """A version of a dataset."""

    version: int
    fingerprint: str
    size: int
    files: int
    media_type: str
    rows: int | None
    columns: tuple[tuple[str, str], ...]
    published_at: int


class DatasetView(View, kw_only=True):
    """A dataset; `policy` and `terms_summary` are the terms that it is offered on now, `mine` whether it is one's own."""

    name: str
    owner: str
    title: str
    description: str
    field: str
    keywords: tuple[str, ...]
    licence: str
    source: str
    status: str
    approval: str
    terms: str
    terms_summary: tuple[str, ...]
    policy: dict[str, Any]
    latest: VersionView
    versions: tuple[VersionView, ...] = ()
    offered_at: int
    changed_at: int
    withdrawn_at: int | None = None
    mine: bool
    recorded: Recorded | None = None


class Found(View, kw_only=True):
    """An answer to a search; facets count all that was found, by value."""

    datasets: tuple[DatasetView, ...]
    total: int
    facets: dict[str, dict[str, int]]


class Preview(View, kw_only=True):
    """The first rows of a table, values as text."""

    dataset: str
    version: int
    origin: Literal["own", "received"]
    file: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    total_rows: int | None


class RequestView(View, kw_only=True):
    """A request; `state` is as of now, `turn` whom it waits for while it is open."""

    id: str
    direction: Literal["other", "received", "sent"]
    dataset: str
    version: int | None
    provider: str
    consumer: str
    state: str
    decision: str
    decided_by: str
    turn: str
    terms: str
    terms_summary: tuple[str, ...]
    policy: dict[str, Any]
    requested_at: int
    changed_at: int
    expires: int
    agreement: str
    private: tuple[PrivateValues, ...] = ()
    recorded: Recorded | None = None


class AgreementView(View, kw_only=True):
    """An agreement; `state` is as of now: `in_force`, `pending`, `ended` or `terminated`."""

    id: str
    request: str
    dataset: str
    version: int | None
    provider: str
    consumer: str
    state: str
    terms: str
    terms_summary: tuple[str, ...]
    policy: dict[str, Any]
    agreed_at: int
    begins: int
    ends: int | None
    terminated_at: int | None
    terminated_by: str
    private: tuple[PrivateValues, ...] = ()
    recorded: Recorded | None = None


class DeliveryView(View, kw_only=True):
    """A delivery as it is on the ledger, and what this node has of it (`path`, `transfer`, `bytes_done`)."""

    id: str
    direction: Literal["other", "received", "sent"]
    agreement: str
    dataset: str
    version: int
    provider: str
    consumer: str
    state: str
    fingerprint: str
    root: str
    bytes: int
    sent_at: int
    received_at: int | None
    failed_at: int | None
    dispute: str
    path: str = ""
    transfer: str = ""
    bytes_done: int = 0
    error: str = ""
    private: tuple[PrivateValues, ...] = ()
    recorded: Recorded | None = None


class FetchedDelivery(View, kw_only=True):
    """Data that was fetched, verified and recorded as received; `path` is the file or folder."""

    delivery: str
    agreement: str
    dataset: str
    version: int
    path: str
    files: int
    bytes: int
    root: str
    recorded: Recorded | None = None


class EvidenceView(View, kw_only=True):
    """Evidence; `names` and `proofs` (where the proof files are) only where this node recorded it."""

    id: str
    organisation: str
    root: str
    count: int
    recorded_at: int
    superseded_by: str = ""
    names: tuple[str, ...] = ()
    proofs: tuple[str, ...] = ()
    witnessed: bool = False
    recorded: Recorded | None = None


class MemberKey(View, kw_only=True):
    """A registered public key."""

    key: str
    roles: tuple[str, ...]
    added_at: int
    held_here: bool


class EngineView(View, kw_only=True):
    """The distributed engine that a member has announced: the key it votes with, its node id, where it listens."""

    consensus: str
    node: str
    address: str
    announced_at: int


class MemberView(View, kw_only=True):
    """A member of the zone."""

    id: str
    name: str
    status: str
    address: str
    orders: bool
    validates: bool
    encryption: str
    tls_pins: tuple[str, ...]
    admitted_at: int
    suspended_at: int | None
    keys: tuple[MemberKey, ...]
    mine: bool
    engine: EngineView | None = None


class ApplicationView(View, kw_only=True):
    """A card that somebody sent in, or that others vote on; people compare `fingerprint` before they admit it."""

    fingerprint: str
    organisation: str
    name: str
    address: str
    received_at: int
    status: Literal["admitted", "refused", "waiting"]
    votes: tuple[str, ...] = ()


class Vote(View, kw_only=True):
    """What became of a vote: `carried`, or so many votes of so many so far."""

    organisation: str
    votes: int
    validators: int
    carried: bool
    recorded: Recorded


class OwnKeyChange(View, kw_only=True):
    """A key of one's own that was added, rotated or revoked."""

    role: str
    key: str
    replaces: str = ""
    recorded: Recorded


class ApiKeyView(View, kw_only=True):
    """An API key without its secret."""

    id: str
    name: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int
    status: Literal["active", "expired", "revoked"]


class NewApiKey(View, kw_only=True):
    """A new API key; `secret` is shown this once and kept nowhere."""

    key: ApiKeyView
    secret: str


class Principal(View, kw_only=True):
    """Who a request over the API is from, by its key."""

    id: str
    name: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]

    def has(self, role: str) -> bool:
        """Tell whether the key holds a role."""
        return role in self.roles

    def covers(self, scope: str) -> bool:
        """Tell whether the key's scopes cover something: by name, by a prefix before `*`, or by `*` alone."""
        return any(
            scope == allowed or (allowed.endswith("*") and scope.startswith(allowed[:-1])) for allowed in self.scopes
        )
