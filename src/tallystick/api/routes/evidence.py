"""Evidence: that this organisation had certain files at a certain time."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tallystick.api.jobs import Progress
from tallystick.api.routes.datasets import absolute
from tallystick.api.routes.forms import Path
from tallystick.api.routing import Call, Form, Routes
from tallystick.api.settling import settle
from tallystick.views import EvidenceView, Job

routes = Routes("evidence")


class Files(Form):
    """Files and folders on this node's machine, absolute paths.

    Attributes:
        paths: what is to be proved.
        out: folder for the proofs, by default beside this node's other things.
    """

    paths: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1, max_length=1_000)]
    out: Path | None = None


@routes.add("GET", "/v1/evidence", returns=tuple[EvidenceView, ...])
async def list_evidence(call: Call) -> object:
    """Evidence that this organisation recorded."""
    return await settle(call.office.evidence.list())


@routes.add(
    "POST",
    "/v1/evidence",
    returns=Job,
    roles=("service",),
    body=Files,
    status=202,
    example={"paths": ["/data/minutes-2024-03-01.pdf"]},
)
async def record_evidence(call: Call) -> Job:
    """Record one root over any number of files, and write a proof for each.

    Answers with a job, whose result is the evidence. Nothing of a file, nor a hash that could be guessed, is recorded.
    """
    call.need_scope("*")
    paths = [absolute(path) for path in call.body.paths]
    out = None if call.body.out is None else absolute(call.body.out)

    async def run(progress: Progress) -> Any:
        return await settle(call.office.evidence.record(paths, out))

    return call.jobs.start(f"record evidence of {len(paths)} paths", call.principal.id, run)
