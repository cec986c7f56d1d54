"""Requests for datasets, and the negotiation of their terms."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from tallystick.api.routes.forms import Name, Said, Terms, Text
from tallystick.api.routing import Call, Form, Routes
from tallystick.api.settling import settle
from tallystick.views import RequestView

routes = Routes("requests")
SERVICE = ("service",)
Version = Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class RequestsQuery(Form):
    """Which requests; `waiting`: only those that wait for this organisation."""

    direction: Literal["", "received", "sent"] = ""
    state: Annotated[str, msgspec.Meta(max_length=20)] = ""
    waiting: bool = False


class NewRequest(Form):
    """A request for a dataset.

    Attributes:
        dataset: its name.
        purpose: what the data is for; only its owner reads it, and you sign it.
        version: a fixed version, or null for the latest at each delivery.
        proposal: other terms than those offered, an ODRL policy.
        comment: for the owner alone.
    """

    dataset: Name
    purpose: Said
    version: Version | None = None
    proposal: Terms | None = None
    comment: Text = ""


class Counter(Form):
    """Other terms, put to the other side."""

    policy: Terms
    comment: Text = ""


class Refusal(Form):
    """Why; only the other side reads it."""

    why: Said


@routes.add("GET", "/v1/requests", returns=tuple[RequestView, ...], query=RequestsQuery)
async def list_requests(call: Call) -> object:
    """Requests that this organisation sent or received."""
    query: RequestsQuery = call.query
    return await settle(call.office.requests.list(query.direction, query.state, waiting=query.waiting))


@routes.add(
    "POST",
    "/v1/requests",
    returns=RequestView,
    roles=SERVICE,
    body=NewRequest,
    status=201,
    example={"dataset": "city-hospital/discharges-2024", "purpose": "Study of readmissions"},
)
async def send_request(call: Call) -> object:
    """Ask for a dataset on its terms, or on others."""
    form: NewRequest = call.body
    call.need_scope(form.dataset)
    return await settle(
        call.office.requests.send(
            form.dataset, form.purpose, version=form.version, proposal=form.proposal, comment=form.comment
        )
    )


@routes.add("GET", "/v1/requests/{request}", returns=RequestView)
async def get_request(call: Call) -> object:
    """One request, with what was said under it as far as this organisation is a party."""
    return await settle(call.office.requests.show(call.path["request"]))


async def _covered(call: Call) -> Any:
    shown = await settle(call.office.requests.show(call.path["request"]))
    call.need_scope(shown.dataset)
    return call.office.requests


@routes.add("POST", "/v1/requests/{request}/approve", returns=RequestView, roles=SERVICE)
async def approve_request(call: Call) -> object:
    """Approve the terms on the table: an agreement comes of it."""
    return await settle((await _covered(call)).approve(call.path["request"]))


@routes.add(
    "POST",
    "/v1/requests/{request}/counter",
    returns=RequestView,
    roles=SERVICE,
    body=Counter,
    example={"policy": "research-90d", "comment": "Ninety days will do"},
)
async def counter_request(call: Call) -> object:
    """Put other terms to the other side."""
    form: Counter = call.body
    return await settle((await _covered(call)).counter(call.path["request"], form.policy, form.comment))


@routes.add(
    "POST",
    "/v1/requests/{request}/reject",
    returns=RequestView,
    roles=SERVICE,
    body=Refusal,
    example={"why": "The purpose is too wide"},
)
async def reject_request(call: Call) -> object:
    """Reject a request; the reason goes to the other side alone."""
    return await settle((await _covered(call)).reject(call.path["request"], call.body.why))


@routes.add("POST", "/v1/requests/{request}/cancel", returns=RequestView, roles=SERVICE)
async def cancel_request(call: Call) -> object:
    """Take back an own request."""
    return await settle((await _covered(call)).cancel(call.path["request"]))
