"""API keys: who of this organisation's people and programs may ask this node for what.

Rules:

- A key is `tally_<id>_<secret>`; the secret has 256 random bits, is shown once, and only its SHA-256 is kept.
- There is no default key, no key without roles or scopes, and none without an end: nothing means everyone.
- Whether a key is unknown, wrong, expired or revoked takes the same comparison, and an unknown id is compared as well.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256

import msgspec

from tallystick.codec.cards import ROLES
from tallystick.codec.identifiers import SHORT_ALPHABET
from tallystick.errors import UsageError
from tallystick.office.database import ApiKeyRow, OfficeDatabase
from tallystick.office.refusals import ApiKeyError, not_found
from tallystick.views import ApiKeyView, NewApiKey, Principal

DAY_MS = 86_400_000
DEFAULT_LIFE_MS = 90 * DAY_MS
MAX_LIFE_MS = 3 * 366 * DAY_MS
NAME_CHARACTERS = 80
PREFIX = "tally"
_ID_CHARACTERS = 8
_SECRET_CHARACTERS = 52
_NOBODY = sha256(b"tallystick/no-such-api-key").digest()


class Users:
    """The API keys of a node."""

    def __init__(self, database: OfficeDatabase, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms
        # Rows by id, so that a request costs no query; this process is the only one that writes them.
        self._known: dict[str, ApiKeyRow] = {row.id: row for row in database.rows(ApiKeyRow)}

    def create(
        self, name: str, roles: Sequence[str], scopes: Sequence[str], *, expires: int | None = None
    ) -> NewApiKey:
        """Make an API key; its secret is in the answer and nowhere else.

        Args:
            name: what or whom it is for, for people.
            roles: at least one of the ledger's roles.
            scopes: at least one: names it is good for, prefixes ending in `*`, or `*` for all.
            expires: when it ends, ms; by default 90 days from now, at most three years.

        Raises:
            UsageError: one of them is not as it must be.
        """
        now = self._clock_ms()
        ends = now + DEFAULT_LIFE_MS if expires is None else expires
        wanted = tuple(sorted(set(roles)))
        covered = tuple(sorted(set(scopes)))
        if not name.strip() or len(name) > NAME_CHARACTERS or not name.isprintable():
            raise UsageError("an API key has a name of 1 to 80 characters", remedy="Name what it is for.")
        if not wanted or not set(wanted) <= set(ROLES):
            raise UsageError("an API key has one role or more", remedy=f"Choose from: {', '.join(ROLES)}.")
        if not covered or not all(0 < len(scope) <= 120 and scope.isprintable() for scope in covered):
            raise UsageError("an API key has one scope or more", remedy="Name them, or give * for everything.")
        if not now < ends <= now + MAX_LIFE_MS:
            raise UsageError("an API key ends in the future and within three years", remedy="Choose another end.")
        identifier = _characters(_ID_CHARACTERS)
        secret = _characters(_SECRET_CHARACTERS)
        row = ApiKeyRow(
            id=identifier,
            name=name.strip(),
            hash=sha256(secret.encode()).digest(),
            roles=wanted,
            scopes=covered,
            created=now,
            expires=ends,
        )
        self._put(row)
        return NewApiKey(key=self._view(row), secret=f"{PREFIX}_{identifier}_{secret}")

    def list(self) -> tuple[ApiKeyView, ...]:
        """Return all API keys, revoked and expired ones too, oldest first."""
        return tuple(self._view(row) for row in self._known.values())

    def revoke(self, identifier: str) -> ApiKeyView:
        """Make a key useless from now on.

        Raises:
            NotFoundError: there is none of that id.
        """
        row = self._known.get(identifier)
        if row is None:
            raise not_found("API key", identifier, "tally key list")
        if not row.revoked:
            row = msgspec.structs.replace(row, revoked=self._clock_ms())
            self._put(row)
        return self._view(row)

    def check(self, presented: str) -> Principal:
        """Return whom a key stands for.

        Args:
            presented: `tally_<id>_<secret>`, as it came.

        Raises:
            ApiKeyError: it is no good key; the message does not say in which way a wrong one is wrong.
        """
        parts = presented.split("_") if len(presented) <= 200 else []
        prefix, identifier, secret = parts if len(parts) == 3 else ("", "", "")
        row = self._known.get(identifier)
        given = sha256(secret.encode("utf-8", "surrogatepass")).digest()
        same = hmac.compare_digest(given, _NOBODY if row is None else row.hash)
        if row is None or not same or prefix != PREFIX:
            raise ApiKeyError("this is not an API key of this node", remedy="Make one with `tally key create`.")
        if row.revoked:
            raise ApiKeyError(f"the API key {row.id} was revoked", remedy="Ask for a new one.")
        if self._clock_ms() >= row.expires:
            raise ApiKeyError(f"the API key {row.id} has expired", remedy="Ask for a new one.")
        return Principal(id=row.id, name=row.name, roles=row.roles, scopes=row.scopes)

    def _put(self, row: ApiKeyRow) -> None:
        self._database.put(row)
        self._known[row.id] = row

    def _view(self, row: ApiKeyRow) -> ApiKeyView:
        expired = self._clock_ms() >= row.expires
        return ApiKeyView(
            id=row.id,
            name=row.name,
            roles=row.roles,
            scopes=row.scopes,
            created_at=row.created,
            expires_at=row.expires,
            status="revoked" if row.revoked else "expired" if expired else "active",
        )


def _characters(count: int) -> str:
    """Return random characters of five bits each."""
    return "".join(secrets.choice(SHORT_ALPHABET) for _ in range(count))
