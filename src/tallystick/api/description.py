"""The API's description in OpenAPI 3.1, made of the routes themselves."""

from __future__ import annotations

import functools
import re
import typing
from typing import Any

import msgspec

from tallystick.api import routes
from tallystick.api.problems import JSON_MEDIA, error_schema, meaning
from tallystick.api.routes.events import SSE_MEDIA
from tallystick.api.routing import Route
from tallystick.api.transactions import BULK_MEDIA, MAX_BULK, MAX_BULK_BYTES, MAX_TRANSACTION_BYTES, SINGLE_MEDIA
from tallystick.views import Problem, RefusedView, Rejection, SubmittedView

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
_SECURITY: list[dict[str, list[str]]] = [{"apiKey": []}]
INTRODUCTION = """\
The HTTP API of one organisation's node, for its own people and programs. It listens on loopback only; put a proxy with
TLS in front for anything else. Times are milliseconds since 1970 (UTC), hashes lower-case hex.

What a node says can be checked: records and receipts come with proofs, which the Python client verifies.
"""
_PROBLEM_EXAMPLE = {
    "error": "not_found",
    "message": "there is no dataset city-hospital/discharges-2023",
    "remedy": "List them with `tally dataset list`.",
}
_REJECTION_EXAMPLE = {
    "code": 11,
    "name": "role_missing",
    "message": "this needs a key with the role service",
    "fields": {"role": "service"},
}


def describe_api() -> dict[str, Any]:
    """Return the description, as plain JSON values."""
    return typing.cast(dict[str, Any], msgspec.json.decode(_described()))


@functools.lru_cache(maxsize=1)
def _described() -> bytes:
    kinds = _kinds()
    found, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schemas = dict(zip(map(str, kinds), found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes.ALL:
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas, components)
    paths["/v1/transactions"] = {"post": _transactions(schemas)}
    paths["/healthz"] = {
        "get": _plain(
            "get_health", "Whether the node is alive: this process and its core answer; needs no key", open_to_all=True
        )
    }
    paths["/readyz"] = {
        "get": _plain("get_readiness", "Whether this node can do its work, or why not; needs no key", open_to_all=True)
    }
    paths["/metrics"] = {"get": _plain("get_metrics", "Numbers in the text format of Prometheus", media="text/plain")}
    paths["/v1/openapi.json"] = {"get": _plain("get_description", "This description")}
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallystick node",
            "version": "1",
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:7070", "description": "this machine"}],
        "security": _SECURITY,
        "tags": [{"name": name, "description": text} for name, text in routes.TAGS.items()]
        + [{"name": "node", "description": "The process itself."}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key of this node, `tally_<id>_<secret>`: `tally key create` makes one.",
                }
            },
        },
    }
    return msgspec.json.encode(document)


def _kinds() -> list[Any]:
    kinds: dict[str, Any] = {}
    kind: Any
    for kind in (Problem, Rejection, SubmittedView, RefusedView):
        kinds[str(kind)] = kind
    for route in routes.ALL:
        for kind in (route.returns, route.body, route.query):
            if kind is not None and kind is not bytes:
                kinds[str(kind)] = kind
    return list(kinds.values())


def _operation(route: Route, schemas: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    text = (route.handler.__doc__ or "").strip()
    body = " ".join(line.strip() for line in text.splitlines()[1:]).strip()
    if route.roles:
        body = f"{body} Needs an API key with the role {' or '.join(route.roles)}.".strip()
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "responses": {str(route.status): _success(route, schemas), **_refusals(route.statuses)},
    }
    if body:
        operation["description"] = body
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        form = components[route.query.__name__]
        required = form.get("required", [])
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": _without_null(schema)}
            for name, schema in form["properties"].items()
        ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content: dict[str, Any] = {"schema": schemas[str(route.body)]}
        if route.example is not None:
            content["example"] = route.example
        operation["requestBody"] = {"required": True, "content": {JSON_MEDIA: content}}
    return operation


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a query parameter: it can be left out, and nobody can write null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        return {**kinds[0], **{name: value for name, value in schema.items() if name not in ("anyOf", "default")}}
    if "enum" in schema:
        schema = {**schema, "enum": [value for value in schema["enum"] if value is not None]}
    return {name: value for name, value in schema.items() if (name, value) != ("default", None)}


def _success(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary"} if route.returns is bytes else schemas[str(route.returns)]
    content: dict[str, Any] = {route.media: {"schema": schema}}
    if route.name == "list_events":
        content[SSE_MEDIA] = {"schema": {"type": "string"}}
    words = {200: "Done.", 201: "Made.", 202: "Begun: ask about the job."}
    return {"description": words.get(route.status, "Done."), "content": content}


def _refusals(statuses: tuple[int, ...]) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status in statuses:
        rejected = status == 409
        answers[str(status)] = {
            "description": meaning(status),
            "content": {
                JSON_MEDIA: {
                    "schema": {"$ref": _REF.format(name=error_schema(status).__name__)},
                    "example": _REJECTION_EXAMPLE if rejected else _PROBLEM_EXAMPLE,
                }
            },
        }
        if status in (429, 503):
            answers[str(status)]["headers"] = {
                "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}
            }
    return answers


def _transactions(schemas: dict[str, Any]) -> dict[str, Any]:
    submitted, refused = schemas[str(SubmittedView)], schemas[str(RefusedView)]
    return {
        "operationId": "submit_transactions",
        "summary": "Hand in transactions that are signed already",
        "description": (
            f"One transaction as {SINGLE_MEDIA} (at most {MAX_TRANSACTION_BYTES} bytes), or a MessagePack list of 1 to "
            f"{MAX_BULK} as {BULK_MEDIA} (at most {MAX_BULK_BYTES} bytes). Answered when all are on disk or refused; in "
            "a list each is answered on its own. Needs an API key with any role but observer alone. If the answer is "
            "lost, send the same bytes again: a transaction is accepted once."
        ),
        "tags": ["ledger"],
        "requestBody": {
            "required": True,
            "content": {
                SINGLE_MEDIA: {"schema": {"type": "string", "format": "binary"}},
                BULK_MEDIA: {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": {
                "description": "On disk, each operation with its outcome; in a list, or refused.",
                "content": {
                    JSON_MEDIA: {
                        "schema": {"anyOf": [submitted, {"type": "array", "items": {"anyOf": [submitted, refused]}}]}
                    }
                },
            },
            **_refusals((400, 401, 403, 405, 409, 413, 415, 422, 429, 503, 507)),
        },
    }


def _plain(name: str, summary: str, *, media: str = JSON_MEDIA, open_to_all: bool = False) -> dict[str, Any]:
    schema = {"type": "string"} if media != JSON_MEDIA else {"type": "object"}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "tags": ["node"],
        "responses": {"200": {"description": "Done.", "content": {media: {"schema": schema}}}},
    }
    if open_to_all:
        operation["security"] = []
        operation["responses"] |= _refusals((405,))
        if name == "get_readiness":
            operation["responses"]["503"] = {
                "description": "It cannot, and why.",
                "content": {JSON_MEDIA: {"schema": {"type": "object"}}},
            }
    else:
        operation["responses"] |= _refusals((401, 405, 503))
    return operation
