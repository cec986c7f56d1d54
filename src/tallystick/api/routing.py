"""How a route is written down: once, as a typed function; the server and the API's description are made of that.

A handler takes a `Call` and returns what `returns` says. Path, query and body are read into structs before it runs:
what does not fit is refused with the path of the first thing wrong, unknown fields included.
"""

from __future__ import annotations

import asyncio
import types
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, dataclass_transform

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tallystick.api.access import Gate, need_role, need_scope
from tallystick.api.jobs import Jobs
from tallystick.api.problems import JSON_MEDIA, HttpError, answer, from_validation, malformed, too_large
from tallystick.api.services import ApiServices
from tallystick.errors import UsageError
from tallystick.office import Office
from tallystick.views import Principal, Problem

MAX_BODY_BYTES = 1 << 20
REQUEST_SECONDS = 90.0
BODY_SECONDS = 30.0

Method = Literal["GET", "POST", "PATCH", "DELETE"]


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request carries, in its body or its query."""


@dataclass(frozen=True)
class Call:
    """One request, read and allowed."""

    services: ApiServices
    jobs: Jobs
    gate: Gate
    principal: Principal
    request: Request
    path: dict[str, str]
    query: Any = None
    body: Any = None

    @property
    def office(self) -> Office:
        """The use cases."""
        return self.services.office

    def need_scope(self, scope: str) -> None:
        """Refuse a key that does not cover a dataset, or `*`.

        Raises:
            AccessError: it does not.
        """
        need_scope(self.principal, scope)


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One route; see the arguments of `Routes.add`."""

    method: Method
    path: str
    handler: Handler
    tag: str
    roles: tuple[str, ...]
    returns: Any
    media: str
    query: type[Form] | None
    body: type[Form] | None
    status: int
    missing: bool
    example: Any
    acts: bool

    @property
    def name(self) -> str:
        """Operation id."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """First line of the handler's docstring."""
        return (self.handler.__doc__ or self.name).strip().splitlines()[0].rstrip(".")

    @property
    def statuses(self) -> tuple[int, ...]:
        """Statuses of refusals that it may answer with."""
        found = {400, 401, 403, 405, 422, 503}
        if "{" in self.path or self.missing:
            found.add(404)
        if self.body is not None:
            found |= {413, 415}
        if self.acts:
            found |= {404, 409, 429, 507}
        return tuple(sorted(found))


@dataclass
class Routes:
    """The routes of one tag."""

    tag: str
    found: list[Route] = field(default_factory=list)

    def add(
        self,
        method: Method,
        path: str,
        *,
        returns: Any,
        roles: tuple[str, ...] = (),
        media: str = JSON_MEDIA,
        query: type[Form] | None = None,
        body: type[Form] | None = None,
        status: int = 200,
        missing: bool = False,
        example: Any = None,
    ) -> Callable[[Handler], Handler]:
        """Register a handler.

        Args:
            method: of HTTP.
            path: with `{names}`; `{name:path}` takes slashes too.
            returns: type of what it returns.
            roles: one of them is needed; none: any good key.
            media: media type of the answer.
            query: form of the query.
            body: form of the body, JSON.
            status: of success.
            missing: whether a `UsageError` means that something named is not there.
            example: of the body.
        """

        def register(handler: Handler) -> Handler:
            self.found.append(
                Route(
                    method=method,
                    path=path,
                    handler=handler,
                    tag=self.tag,
                    roles=roles,
                    returns=returns,
                    media=media,
                    query=query,
                    body=body,
                    status=status,
                    missing=missing,
                    example=example,
                    acts=method != "GET",
                )
            )
            return handler

        return register


_encoder = msgspec.json.Encoder()


def endpoint(route: Route, services: ApiServices, gate: Gate, jobs: Jobs) -> Callable[[Request], Awaitable[Response]]:
    """Return what the server calls for a route."""
    decoder = None if route.body is None else msgspec.json.Decoder(route.body)

    async def serve(request: Request) -> Response:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                principal = gate.who(request.headers.get("authorization"))
                if route.roles:
                    need_role(principal, route.roles)
                query = None if route.query is None else read_query(request, route.query)
                body = None if decoder is None else await _read_json(request, decoder)
                path = {name: str(value) for name, value in request.path_params.items()}
                if any("\0" in value for value in path.values()):
                    raise malformed("a path holds no NUL characters")
                call = Call(services, jobs, gate, principal, request, path, query, body)
                result = await route.handler(call)
        except UsageError as error:
            response = answer(error)
            if route.missing and response.status_code == 400:
                response.status_code = 404
            return response
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            return answer(error)
        if isinstance(result, Response):
            return result
        if isinstance(result, bytes):
            return Response(result, route.status, media_type=route.media)
        return Response(_encoder.encode(result), route.status, media_type=route.media)

    serve.__name__ = route.name
    return serve


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Read a body, in a bounded time and length.

    Raises:
        HttpError: it is too long.
    """
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdecimal() or len(length) > 15 or int(length) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async with asyncio.timeout(BODY_SECONDS):
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
    return b"".join(chunks)


async def _read_json(request: Request, decoder: msgspec.json.Decoder[Any]) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON_MEDIA:
        raise HttpError(
            415,
            Problem(
                error="media_type", message=f"this takes {JSON_MEDIA}", remedy=f"Send `Content-Type: {JSON_MEDIA}`."
            ),
        )
    data = await read_body(request)
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        if isinstance(error, msgspec.ValidationError):
            raise from_validation(error) from None
        raise malformed("the body is not JSON that this node can read", "$") from None


def read_query(request: Request, form: type[Form]) -> Any:
    """Read a query into its form; lists are given by repeating the name.

    Raises:
        HttpError: it does not fit.
    """
    kinds = typing.get_type_hints(form)
    lists = {name for name, kind in kinds.items() if _is_list(kind)}
    values: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in lists:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise malformed("it is given more than once", f"query.{name}")
        elif value.lower() == "null" and types.NoneType in typing.get_args(kinds.get(name)):
            # It would be read as nothing, and so as if it had not been given.
            raise malformed("it is given and has no value", f"query.{name}")
        else:
            values[name] = value
    try:
        return msgspec.convert(values, form, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise from_validation(error, "query") from None


def _is_list(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is_list(part) for part in typing.get_args(kind))
    if origin is typing.Annotated:
        return _is_list(typing.get_args(kind)[0])
    return origin in (tuple, list)
