"""The zone and how this node stands in it."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from tallystick.api.problems import JSON_MEDIA
from tallystick.api.routes.forms import Count
from tallystick.api.routing import Call, Form, Routes
from tallystick.views import ConsistencyProof, Standing, Status

routes = Routes("zone")


class ConsistencyQuery(Form):
    """Two sizes of the history."""

    first: Count
    second: Count


@routes.add("GET", "/v1/status", returns=Status)
async def get_status(call: Call) -> Status:
    """How this node does.

    The core is asked; where it does not answer, this is refused with 503.
    """
    services = call.services
    status = await services.status()
    return Status(
        **msgspec.structs.asdict(status),
        chain=services.ledger.store.chain,
        copy_height=services.ledger.head()[0],
        lag=services.lag(),
        version=services.version,
        disk=None if services.disk is None else await services.disk(),
        processes=dict(services.processes()),
        key=call.principal.id,
        roles=call.principal.roles,
    )


@routes.add("GET", "/v1/standing", returns=Standing)
async def get_standing(call: Call) -> Standing:
    """How this node stands among the others: whom it follows, who answers, who witnesses up to where."""
    return call.services.standing()


@routes.add("GET", "/v1/zone", returns=dict)
async def get_zone(call: Call) -> Response:
    """The zone's public trust file, `zone.json`, exactly its bytes.

    It is signed by its own members: check it with what you trust already, or compare its fingerprint with a member.
    """
    return Response(call.services.ledger.trust.encode(), media_type=JSON_MEDIA)


@routes.add("GET", "/v1/consistency", returns=ConsistencyProof, query=ConsistencyQuery)
async def get_consistency(call: Call) -> ConsistencyProof:
    """Proof that the history of one size begins with that of a smaller one (RFC 9162, section 2.1.4)."""
    return await call.services.consistency(call.query.first, call.query.second)
