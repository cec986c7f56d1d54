"""API keys: who a request is from, and what it may do.

Rules:

- Nothing is answered without a key but `/healthz` and `/readyz`.
- Every key may read. A key does what its roles say and nothing else; no role includes another.
- A scope names datasets (`hospital/discharges-2024`, `hospital/*`, `*`). What is not about a dataset needs `*`.
- Every request is checked anew: a key that was revoked or has expired is refused from that moment.
"""

from __future__ import annotations

from collections.abc import Callable

from tallystick.errors import AccessError
from tallystick.office.refusals import ApiKeyError
from tallystick.views import Principal

MAX_HEADER_CHARACTERS = 512

ROLES = ("observer", "registration", "security", "service", "system")
ACTING_ROLES = ("registration", "security", "service", "system")
"""Roles that may hand in transactions that are signed already."""

Check = Callable[[str], Principal]


class Gate:
    """Checks API keys; the office keeps them in memory, so that a request costs one hash."""

    def __init__(self, check: Check) -> None:
        self._check = check

    def who(self, authorization: str | None) -> Principal:
        """Return who sent an `Authorization` header.

        Raises:
            ApiKeyError: there is no key, or it is not good.
        """
        if authorization is None or len(authorization) > MAX_HEADER_CHARACTERS:
            raise missing_key()
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise missing_key()
        return self._check(secret.strip())


def missing_key() -> ApiKeyError:
    """Return the refusal of a request without a key."""
    return ApiKeyError(
        "this needs an API key",
        remedy="Send `Authorization: Bearer tally_…`; the node's operator makes keys with `tally key create`.",
    )


def need_role(principal: Principal, allowed: tuple[str, ...]) -> None:
    """Refuse a key that holds none of the roles.

    Raises:
        AccessError: it does not.
    """
    if not any(role in principal.roles for role in allowed):
        raise AccessError(
            f"the API key {principal.id} does not hold the role {' or '.join(allowed)}",
            remedy="Use a key that does, or ask the node's operator for one.",
        )


def need_scope(principal: Principal, scope: str) -> None:
    """Refuse a key whose scopes do not cover something.

    Args:
        principal: whose key.
        scope: a dataset's name, or `*` for what is not about one dataset.

    Raises:
        AccessError: they do not.
    """
    if not principal.covers(scope):
        what = "things that are not about one dataset" if scope == "*" else scope
        raise AccessError(
            f"the API key {principal.id} does not cover {what}",
            remedy="Use a key with a wider scope, or ask the node's operator for one.",
        )
