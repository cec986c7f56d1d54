"""What a request is answered with when it is refused: a status and one small JSON object, never a stack trace.

RejectedError                  409  {"code", "name", "message", "fields"}: the rules of the zone refuse it
malformed request              422  {"error": "malformed", "message", "remedy", "path"}: path of what is wrong
UsageError                     400, or 404 where something that was named is not there
AccessError                    403, or 401 where the API key itself is missing or refused
IntegrityError                 422  something that was checked is not what it claims to be
QueueFullError                 429  with Retry-After: the organisation has its share waiting; nothing of it was taken
NotYetWitnessedError           503  with Retry-After: ask again in a moment
PeerError                      503  with Retry-After: the core or another organisation's node
StorageError                   507 where the disk is full, else 503
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from starlette.responses import Response

from tallystick.codec import MalformedError
from tallystick.dataplane.refusals import DiskFullError, refusal_name
from tallystick.errors import (
    AccessError,
    ConfigurationError,
    IntegrityError,
    NodeError,
    PeerError,
    QueueFullError,
    RejectedError,
    StorageError,
    UsageError,
)
from tallystick.ledger import NotYetWitnessedError
from tallystick.office.refusals import ApiKeyError, NotFoundError
from tallystick.views import Problem, Rejection

log = structlog.get_logger("api")
RETRY_AFTER_SECONDS = 1
JSON_MEDIA = "application/json"


class HttpError(Exception):
    """A request is refused for what it is as HTTP: its length, media type, method or form."""

    def __init__(self, status: int, problem: Problem, **headers: str) -> None:
        super().__init__(problem.message)
        self.status = status
        self.problem = problem
        self.headers = headers


_STATUS: tuple[tuple[type[NodeError], int], ...] = (
    (NotFoundError, 404),
    (ApiKeyError, 401),
    (DiskFullError, 507),
    (AccessError, 403),
    (UsageError, 400),
    (IntegrityError, 422),
    (StorageError, 503),
    (ConfigurationError, 503),
    (NotYetWitnessedError, 503),
    (QueueFullError, 429),
    (PeerError, 503),
)
_encoder = msgspec.json.Encoder()


def malformed(message: str, path: str = "") -> HttpError:
    """Return the 422 for a request in bad form."""
    return HttpError(
        422,
        Problem(
            error="malformed",
            message=message,
            remedy="Correct the request; see docs/reference/openapi.json.",
            path=path,
        ),
    )


def too_large(limit: int) -> HttpError:
    """Return the 413 for a body over a limit in bytes."""
    return HttpError(
        413,
        Problem(
            error="too_large",
            message=f"the body is longer than {limit} bytes",
            remedy="Send less at a time.",
        ),
        Connection="close",
    )


def from_validation(error: Exception, where: str = "$") -> HttpError:
    """Return the 422 for what msgspec found; its text names what was expected and where, and nothing else."""
    text = str(error)
    message, _, path = text.partition(" - at `")
    return malformed(message, path.rstrip("`").replace("$", where, 1) if path else where)


def describe(error: Exception) -> tuple[int, Problem | Rejection, dict[str, str]]:
    """Return status, body and headers for an error; what nobody foresaw is logged and shown by nothing but its being."""
    if isinstance(error, HttpError):
        return error.status, error.problem, error.headers
    if isinstance(error, RejectedError):
        rejection = Rejection(code=error.code, name=error.name, message=error.message, fields=error.fields)
        return 409, rejection, {}
    if isinstance(error, NodeError):
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 503)
        name = getattr(error, "reason", None) or refusal_name(error)
        retry_s = error.retry_after_s if isinstance(error, QueueFullError) else 0
        problem = Problem(error=str(name), message=error.message, remedy=error.remedy, retry_after_s=retry_s)
        return status, problem, _headers(status, retry_s or RETRY_AFTER_SECONDS)
    if isinstance(error, MalformedError):
        return describe(malformed(error.reason))
    if isinstance(error, TimeoutError):
        problem = Problem(
            error="timeout", message="this took too long", remedy="Ask again; what was recorded stays recorded."
        )
        return 503, problem, _headers(503)
    log.error("request_failed", kind=type(error).__name__, exc_info=error)
    problem = Problem(
        error="unexpected",
        message="this node made a mistake; its log tells which",
        remedy="Look at the node's log, and report what you find there.",
    )
    return 503, problem, _headers(503)


def _headers(status: int, retry_s: int = RETRY_AFTER_SECONDS) -> dict[str, str]:
    if status in (429, 503):
        return {"Retry-After": str(retry_s)}
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="tallystick"'}
    return {}


def answer(error: Exception) -> Response:
    """Return the response for an error."""
    status, body, headers = describe(error)
    return Response(_encoder.encode(body), status, headers, JSON_MEDIA)


def meaning(status: int) -> str:
    """Return what a status means here, for the API's description."""
    known: dict[int, str] = {
        400: "What was asked for does not make sense as asked.",
        401: "The API key is missing, wrong, expired or revoked.",
        403: "The API key does not hold the role or scope that this needs, or nothing may be had now.",
        404: "There is no such thing in this node's copy.",
        405: "The path does not know this method.",
        409: "The rules of the zone refuse it: a numbered rejection.",
        413: "The body is too long.",
        415: "The body is of another media type than this takes.",
        422: "The request is malformed, or something that was checked is not what it claims to be.",
        429: "The organisation has as many transactions waiting as it may; nothing was taken. Come again after "
        "Retry-After seconds.",
        503: "The core, another node or the disk is not there now; ask again after Retry-After seconds.",
        507: "The disk is full.",
    }
    return known.get(status) or HTTPStatus(status).phrase


def error_schema(status: int) -> type[Any]:
    """Return what a refusal of a status carries."""
    return Rejection if status == 409 else Problem
