"""The HTTP API of a node, for the people and programs of its own organisation.

    problems   what a refusal looks like          access     API keys, roles, scopes
    routing    how a route is written down        routes/    the routes, a file for each group of nouns
    transactions  the hot path                    jobs       work that takes longer than a request
    health, metrics                               description  OpenAPI, made of the routes

Rules of this room:

- Nothing is answered without an API key but `/healthz` and `/readyz`.
- Whatever comes in is read into a typed form with bounds, or refused with the path of what is wrong.
- A refusal has a stable name and a remedy, or is a numbered rejection; there is no stack trace and no 500.
- Routes hold no rules of business: they call one use case of the office, or the ledger's door.
"""

from tallystick.api.app import create_app
from tallystick.api.description import describe_api as openapi
from tallystick.api.services import ApiServices
from tallystick.views import ConsistencyProof, CoreStatus

__all__ = ["ApiServices", "ConsistencyProof", "CoreStatus", "create_app", "openapi"]
