"""API keys: who of this organisation may ask this node for what."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tallystick.api.routes.forms import Count, Identifier, KeyName
from tallystick.api.routing import Call, Form, Routes
from tallystick.api.settling import settle
from tallystick.views import ApiKeyView, NewApiKey

routes = Routes("keys")
SECURITY = ("security",)
Role = Literal["observer", "registration", "security", "service", "system"]


class NewKey(Form):
    """A new API key.

    Attributes:
        name: what or whom it is for.
        roles: what it may do; every key may read.
        scopes: datasets it is good for: names, prefixes ending in `*`, or `*` for everything.
        expires: when it ends, ms; by default in 90 days.
    """

    name: KeyName
    roles: Annotated[tuple[Role, ...], msgspec.Meta(min_length=1, max_length=5)]
    scopes: Annotated[tuple[Identifier, ...], msgspec.Meta(min_length=1, max_length=50)] = ("*",)
    expires: Count | None = None


@routes.add("GET", "/v1/keys", returns=tuple[ApiKeyView, ...], roles=SECURITY)
async def list_keys(call: Call) -> object:
    """All API keys of this node, without their secrets."""
    return await settle(call.office.users.list())


@routes.add(
    "POST",
    "/v1/keys",
    returns=NewApiKey,
    roles=SECURITY,
    body=NewKey,
    status=201,
    example={"name": "notebook of the research group", "roles": ["service"], "scopes": ["city-hospital/*"]},
)
async def create_key(call: Call) -> object:
    """Make an API key; its secret is in the answer and nowhere else."""
    call.need_scope("*")
    form: NewKey = call.body
    return await settle(call.office.users.create(form.name, form.roles, form.scopes, expires=form.expires))


@routes.add("DELETE", "/v1/keys/{key}", returns=ApiKeyView, roles=SECURITY)
async def revoke_key(call: Call) -> object:
    """Revoke an API key: it is refused from this moment."""
    call.need_scope("*")
    return await settle(call.office.users.revoke(call.path["key"]))
