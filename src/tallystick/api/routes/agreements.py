"""Agreements: what an owner and a requester both signed."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.api.routes.requests import Refusal
from tallystick.api.routing import Call, Form, Routes
from tallystick.api.settling import settle
from tallystick.views import AgreementView

routes = Routes("agreements")


class AgreementsQuery(Form):
    """Which agreements: in a state now, such as `in_force`; on a dataset."""

    state: Annotated[str, msgspec.Meta(max_length=20)] = ""
    dataset: Annotated[str, msgspec.Meta(max_length=120)] = ""


@routes.add("GET", "/v1/agreements", returns=tuple[AgreementView, ...], query=AgreementsQuery)
async def list_agreements(call: Call) -> object:
    """Agreements that this organisation is a party to."""
    return await settle(call.office.agreements.list(call.query.state, dataset=call.query.dataset))


@routes.add("GET", "/v1/agreements/{agreement}", returns=AgreementView)
async def get_agreement(call: Call) -> object:
    """One agreement."""
    return await settle(call.office.agreements.show(call.path["agreement"]))


@routes.add(
    "POST",
    "/v1/agreements/{agreement}/terminate",
    returns=AgreementView,
    roles=("service",),
    body=Refusal,
    example={"why": "The study has ended"},
)
async def terminate_agreement(call: Call) -> object:
    """End an agreement: no more is delivered under it. Copies that were made remain."""
    shown = await settle(call.office.agreements.show(call.path["agreement"]))
    call.need_scope(shown.dataset)
    return await settle(call.office.agreements.terminate(call.path["agreement"], call.body.why))
