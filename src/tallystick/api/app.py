"""The server: routes, the hot path in front of them, health, metrics, and refusals in one form."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallystick.api import routes
from tallystick.api.access import Gate
from tallystick.api.description import describe_api
from tallystick.api.health import CORE_IS_SILENT, Health
from tallystick.api.jobs import Jobs
from tallystick.api.metrics import METRICS_MEDIA, Metrics
from tallystick.api.problems import HttpError, answer
from tallystick.api.routing import endpoint
from tallystick.api.services import ApiServices
from tallystick.api.transactions import PATH, TransactionsDoor
from tallystick.views import Problem

SECURITY_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


def create_app(services: ApiServices) -> FastAPI:
    """Return the application of a node's HTTP API.

    Args:
        services: what the routes call.
    """
    gate = Gate(services.office.users.check)
    jobs = Jobs()
    metrics = Metrics(services)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await jobs.stop()

    app = FastAPI(
        title="Tallystick node",
        version=services.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    for route in routes.ALL:
        app.router.add_route(route.path, endpoint(route, services, gate, jobs), methods=[route.method], name=route.name)

    _add_what_watchers_ask(app, Health(services), gate, metrics)
    app.openapi = describe_api  # type: ignore[method-assign]
    app.add_exception_handler(HTTPException, _refuse_http)
    # The last is the outermost: what goes through the door is counted too.
    app.add_middleware(TransactionsDoor, gate=gate, submit=services.submit)
    app.add_middleware(Observed, metrics=metrics, patterns=_patterns(app))
    app.state.jobs = jobs
    return app


def _add_what_watchers_ask(app: FastAPI, health: Health, gate: Gate, metrics: Metrics) -> None:
    """Add what stands beside the routes: health for anybody, numbers and description for who has a key."""

    async def livez(_: Request) -> Response:
        if await health.core_answers():
            return JSONResponse({"status": "alive"})
        return JSONResponse({"status": CORE_IS_SILENT}, 503, {"Retry-After": "1"})

    async def readyz(_: Request) -> Response:
        report = await health.report()
        return JSONResponse(
            report.to_json(), 200 if report.ready else 503, {} if report.ready else {"Retry-After": "1"}
        )

    async def show_metrics(request: Request) -> Response:
        try:
            gate.who(request.headers.get("authorization"))
            return Response(await metrics.render(), media_type=METRICS_MEDIA)
        except Exception as error:
            return answer(error)

    async def show_description(request: Request) -> Response:
        try:
            gate.who(request.headers.get("authorization"))
        except Exception as error:
            return answer(error)
        return JSONResponse(describe_api())

    app.router.add_route("/healthz", livez, methods=["GET"])
    app.router.add_route("/readyz", readyz, methods=["GET"])
    app.router.add_route("/metrics", show_metrics, methods=["GET"])
    app.router.add_route("/v1/openapi.json", show_description, methods=["GET"])


def _patterns(app: FastAPI) -> dict[Any, str]:
    """Return the pattern of each route by what serves it."""
    return {route.endpoint: route.path for route in app.router.routes if isinstance(route, Route)}


async def _refuse_http(request: Request, error: Exception) -> Response:
    """Answer what the router refuses in the same form as everything else."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = dict(getattr(error, "headers", None) or {})
    if status == 405:
        problem = Problem(
            error="method", message=f"{request.method} is not known here", remedy="See docs/reference/openapi.json."
        )
        return answer(HttpError(405, problem, **headers))
    problem = Problem(
        error="no_route", message="there is nothing at this address", remedy="See docs/reference/openapi.json."
    )
    return answer(HttpError(404, problem))


_STOPPING = Problem(
    error="stopping", message="this node is stopping", remedy="Ask again when it is back; a transaction, as it was."
)


class Observed:
    """Counts requests, sets the headers that every answer has, and answers what nothing else did."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, patterns: Mapping[Any, str]) -> None:
        self._app = app
        self._metrics = metrics
        self._patterns = patterns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *SECURITY_HEADERS]}
            await send(message)

        try:
            await self._app(scope, receive, observe)
        except asyncio.CancelledError:
            # The server ends what it cannot wait for when the node stops; who asked is told so.
            if status:
                raise
            await answer(HttpError(503, _STOPPING))(scope, receive, observe)
        except Exception as error:
            if status:
                raise
            await answer(error)(scope, receive, observe)
        finally:
            self._metrics.count(self._pattern(scope), scope["method"], status, time.perf_counter() - began)

    def _pattern(self, scope: Scope) -> str:
        return PATH if scope["path"] == PATH else self._patterns.get(scope.get("endpoint"), "other")
