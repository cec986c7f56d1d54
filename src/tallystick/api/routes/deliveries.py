"""Deliveries: data on its way, what arrived, and jobs that are under way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from tallystick.api.jobs import Progress
from tallystick.api.routes.forms import Name, Said, Seconds
from tallystick.api.routes.forms import Path as PathText
from tallystick.api.routes.requests import Refusal
from tallystick.api.routing import Call, Form, Routes
from tallystick.api.settling import settle
from tallystick.office.refusals import NotFoundError
from tallystick.views import Contents, DeliveredFile, DeliveryView, Job

routes = Routes("deliveries")
SERVICE = ("service",)


class DeliveriesQuery(Form):
    """Which deliveries."""

    direction: Literal["", "received", "sent"] = ""
    agreement: Annotated[str, msgspec.Meta(max_length=60)] = ""


class Fetch(Form):
    """What to fetch: the id of an agreement, or a dataset that there is an agreement on."""

    what: Name


class Reply(Form):
    """What is said; only the other side reads it."""

    what: Said


class ContentQuery(Form):
    """A file of the delivery, as `files` names it."""

    file: PathText


class JobQuery(Form):
    """How long to wait for its end."""

    wait: Seconds = 0


@routes.add("GET", "/v1/deliveries", returns=tuple[DeliveryView, ...], query=DeliveriesQuery)
async def list_deliveries(call: Call) -> object:
    """What this organisation sent and received."""
    return await settle(call.office.deliveries.list(call.query.direction, agreement=call.query.agreement))


@routes.add(
    "POST",
    "/v1/deliveries",
    returns=Job,
    roles=SERVICE,
    body=Fetch,
    status=202,
    example={"what": "city-hospital/discharges-2024"},
)
async def fetch_delivery(call: Call) -> Job:
    """Fetch data under an agreement in force, into this node's inbox.

    Answers with a job, whose result says where it is. Every chunk is verified as it arrives.
    """
    what: str = call.body.what
    if "/" in what:
        call.need_scope(what)
    else:
        call.need_scope((await settle(call.office.agreements.show(what))).dataset)

    async def run(progress: Progress) -> Any:
        return await settle(call.office.deliveries.fetch(what, None, progress))

    return call.jobs.start(f"fetch {what}", call.principal.id, run)


@routes.add("GET", "/v1/deliveries/{delivery}", returns=DeliveryView)
async def get_delivery(call: Call) -> object:
    """One delivery."""
    return await settle(call.office.deliveries.show(call.path["delivery"]))


@routes.add("GET", "/v1/deliveries/{delivery}/files", returns=Contents, roles=SERVICE)
async def list_delivered_files(call: Call) -> Contents:
    """The files of a delivery that arrived here, and what is needed to check them."""
    return await _contents(call)


@routes.add(
    "GET",
    "/v1/deliveries/{delivery}/content",
    returns=bytes,
    media="application/octet-stream",
    roles=SERVICE,
    query=ContentQuery,
)
async def get_delivered_file(call: Call) -> FileResponse:
    """A file of a delivery that arrived here; takes ranges."""
    contents = await _contents(call)
    root = Path(contents.path)
    if not any(file.path == call.query.file for file in contents.files):
        raise NotFoundError(
            f"the delivery {contents.delivery} has no file of that name", remedy="List them: GET …/files."
        )
    path = root if contents.kind == "file" else root / call.query.file
    return FileResponse(path, media_type="application/octet-stream")


@routes.add(
    "POST",
    "/v1/deliveries/{delivery}/dispute",
    returns=DeliveryView,
    roles=SERVICE,
    body=Refusal,
    example={"why": "The columns are not those that were offered"},
)
async def dispute_delivery(call: Call) -> object:
    """Say that a delivery is not what was agreed; what is wrong goes to the other side alone."""
    shown = await settle(call.office.deliveries.show(call.path["delivery"]))
    call.need_scope(shown.dataset)
    return await settle(call.office.deliveries.dispute(shown.id, call.body.why))


@routes.add(
    "POST",
    "/v1/deliveries/{delivery}/answer",
    returns=DeliveryView,
    roles=SERVICE,
    body=Reply,
    example={"what": "Version 2 has them"},
)
async def answer_dispute(call: Call) -> object:
    """Answer a dispute."""
    shown = await settle(call.office.deliveries.show(call.path["delivery"]))
    call.need_scope(shown.dataset)
    return await settle(call.office.deliveries.answer(shown.id, call.body.what))


@routes.add("GET", "/v1/jobs/{job}", returns=Job, query=JobQuery)
async def get_job(call: Call) -> Job:
    """A job of this API key, at once or when it ends within some seconds."""
    return await call.jobs.wait(call.path["job"], call.principal.id, call.query.wait)


async def _contents(call: Call) -> Contents:
    shown = await settle(call.office.deliveries.show(call.path["delivery"]))
    call.need_scope(shown.dataset)
    found = await settle(call.office.deliveries.contents(shown.id))
    return Contents(
        delivery=shown.id,
        dataset=shown.dataset,
        version=shown.version,
        kind=found.kind,
        name=found.name,
        path=str(found.path),
        files=tuple(await run_in_threadpool(_walk, Path(found.path))),
        fingerprint=shown.fingerprint,
        salt=found.salt,
    )


def _walk(root: Path) -> list[DeliveredFile]:
    """Return the files under a path; links are passed over, for a delivery has none."""
    if root.is_file():
        return [DeliveredFile(path=root.name, size=root.stat().st_size)]
    return [
        DeliveredFile(path=file.relative_to(root).as_posix(), size=file.stat().st_size)
        for file in sorted(root.rglob("*"))
        if file.is_file() and not file.is_symlink()
    ]
