"""What the zone's organisations offer."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any

import msgspec

from tallystick.api.jobs import Progress
from tallystick.api.routes.forms import Count, FieldOfWork, Keywords, Line, Name, Path, Terms, Text, Title
from tallystick.api.routing import Call, Form, Routes
from tallystick.api.settling import settle
from tallystick.errors import UsageError
from tallystick.views import DatasetView, Found, Job, Preview

routes = Routes("datasets")
SERVICE = ("service",)
PREVIEW_ROWS = 20


class FindQuery(Form):
    """What is looked for; every condition that is given must hold."""

    words: Line = ""
    owner: Line = ""
    field: FieldOfWork | None = None
    keyword: Line = ""
    withdrawn: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    offset: Count = 0


class Offer(Form):
    """A dataset to offer: a file or folder on this node's machine, and what others may know and do.

    Attributes:
        source: absolute path.
        name: after the slash of `organisation/name`.
        title: one line.
        field: the field of work.
        description: what it holds.
        keywords: to find it by.
        licence: under which you hold or publish it.
        source_name: where it comes from.
        terms: name of a preset, or an ODRL policy; by default a named recipient, manual approval, 90 days.
    """

    source: Path
    name: Name
    title: Title
    field: FieldOfWork
    description: Text = ""
    keywords: Keywords = ()
    licence: Line = ""
    source_name: Line = ""
    terms: Terms | None = None


class Revision(Form):
    """What changes; `source` makes a new version."""

    source: Path | None = None
    title: Title | None = None
    field: FieldOfWork | None = None
    description: Text | None = None
    keywords: Keywords | None = None
    licence: Line | None = None
    source_name: Line | None = None
    terms: Terms | None = None


class PreviewQuery(Form):
    """How many rows."""

    rows: Annotated[int, msgspec.Meta(ge=1, le=200)] = PREVIEW_ROWS


def absolute(text: str) -> FilePath:
    """Return an absolute path.

    Raises:
        UsageError: it is not one.
    """
    path = FilePath(text)
    if not path.is_absolute():
        raise UsageError(
            f"{text} is not an absolute path", remedy="Give the whole path, as this node's machine has it."
        )
    return path


def dataset_name(call: Call) -> str:
    """Return the dataset that a path names."""
    return f"{call.path['organisation']}/{call.path['name']}"


@routes.add("GET", "/v1/datasets", returns=Found, query=FindQuery)
async def find_datasets(call: Call) -> object:
    """Find datasets by words and facets."""
    query: FindQuery = call.query
    return await settle(
        call.office.datasets.find(
            query.words,
            field=query.field or "",
            owner=query.owner,
            keyword=query.keyword,
            withdrawn=query.withdrawn,
            limit=query.limit,
            offset=query.offset,
        )
    )


@routes.add(
    "POST",
    "/v1/datasets",
    returns=Job,
    roles=SERVICE,
    body=Offer,
    status=202,
    example={
        "source": "/data/discharges-2024.csv",
        "name": "discharges-2024",
        "title": "Discharges 2024",
        "field": "health",
        "terms": "research-90d",
    },
)
async def offer_dataset(call: Call) -> Job:
    """Offer a file or folder to the zone; its fingerprint is taken, the data stays where it is.

    Answers with a job, whose result is the dataset.
    """
    form: Offer = call.body
    own = call.services.ledger.organisation
    full = form.name if "/" in form.name else f"{own}/{form.name}"
    call.need_scope(full)
    source = absolute(form.source)
    fields = {name: getattr(form, name) for name in form.__struct_fields__ if name != "source"}

    async def run(progress: Progress) -> Any:
        return await settle(call.office.datasets.offer(source, **fields, progress=progress))

    return call.jobs.start(f"offer {full}", call.principal.id, run)


@routes.add("GET", "/v1/datasets/{organisation}/{name}", returns=DatasetView)
async def get_dataset(call: Call) -> object:
    """One dataset with all its versions and its terms."""
    return await settle(call.office.datasets.show(dataset_name(call)))


@routes.add(
    "PATCH",
    "/v1/datasets/{organisation}/{name}",
    returns=Job,
    roles=SERVICE,
    body=Revision,
    status=202,
    example={"title": "Discharges 2024, corrected"},
)
async def revise_dataset(call: Call) -> Job:
    """Change texts or terms of an own dataset, or add a version.

    Answers with a job, whose result is the dataset.
    """
    name = dataset_name(call)
    call.need_scope(name)
    changes = {field: value for field, value in msgspec.structs.asdict(call.body).items() if value is not None}
    if "source" in changes:
        changes["source"] = absolute(changes["source"])

    async def run(progress: Progress) -> Any:
        return await settle(call.office.datasets.revise(name, **changes, progress=progress))

    return call.jobs.start(f"revise {name}", call.principal.id, run)


@routes.add("DELETE", "/v1/datasets/{organisation}/{name}", returns=DatasetView, roles=SERVICE)
async def withdraw_dataset(call: Call) -> object:
    """Withdraw an own dataset: nobody can request it any more; agreements in force stay."""
    name = dataset_name(call)
    call.need_scope(name)
    return await settle(call.office.datasets.withdraw(name))


@routes.add("GET", "/v1/datasets/{organisation}/{name}/preview", returns=Preview, query=PreviewQuery, roles=SERVICE)
async def preview_dataset(call: Call) -> object:
    """The first rows of a table of one's own, or one that was received."""
    name = dataset_name(call)
    call.need_scope(name)
    return await settle(call.office.datasets.preview(name, call.query.rows))
