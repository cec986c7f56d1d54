"""revise_dataset: the owner publishes a new version, changes the description, or offers it on other terms.

Contract: something changes. A field left out stays as it is; an empty text clears it. Versions count from 1 and are
never changed. Agreements and open requests keep the terms that were signed for them.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.catalogue.checks import check_content, check_name, check_terms, check_texts, make_version
from tallystick.modules.catalogue.policy import Policy
from tallystick.modules.catalogue.records import (
    DATASET_VERSIONS,
    DATASETS,
    TERMS,
    Dataset,
    Description,
    Field,
    Keywords,
    Name,
    ShortText,
    Title,
    VersionContent,
    version_key,
)
from tallystick.modules.catalogue.rejections import (
    DATASET_WITHDRAWN,
    NOT_OWNER,
    NOTHING_TO_REVISE,
    UNKNOWN_DATASET,
)
from tallystick.modules.catalogue.terms import terms_hash


class ReviseDataset(Message, kw_only=True, tag="revise_dataset"):
    """Change a dataset of one's own; only what is given changes."""

    name: Name
    title: Title | None = None
    description: Description | None = None
    field: Field | None = None
    keywords: Keywords | None = None
    licence: ShortText | None = None
    source: ShortText | None = None
    version: VersionContent | None = None
    terms: Policy | None = None


class DatasetRevised(Event, kw_only=True, tag="dataset_revised"):
    """A dataset was revised; `version` is its latest version and `terms` the hash of its terms from now on."""

    dataset: str
    owner: str
    version: int
    terms: str


def validate(msg: ReviseDataset) -> None:
    """Check the name and everything that is given."""
    check_name(msg.name)
    check_texts(msg.title, msg.description, msg.keywords, msg.licence, msg.source)
    if msg.version is not None:
        check_content(msg.version)
    if msg.terms is not None:
        check_terms(msg.terms, msg.name)


def apply(state: State, ctx: Context, msg: ReviseDataset) -> list[Event]:
    """Record what changes, and the new version where there is one."""
    # READ
    dataset = state.find(DATASETS, msg.name)
    # CHECK
    if dataset is None:
        raise UNKNOWN_DATASET(dataset=msg.name)
    if dataset.owner != ctx.organisation:
        raise NOT_OWNER(dataset=msg.name, organisation=ctx.organisation)
    if dataset.status == "withdrawn":
        raise DATASET_WITHDRAWN(dataset=msg.name)
    latest = state.get(DATASET_VERSIONS, version_key(msg.name, dataset.version))
    content = msg.version
    if content is not None and make_version(msg.name, dataset.version, content, latest.published_at) == latest:
        content = None
    terms = None if msg.terms is None else terms_hash(msg.terms)
    described = _described(dataset, msg)
    if content is None and terms in (None, dataset.terms) and described == dataset:
        raise NOTHING_TO_REVISE(dataset=msg.name)
    # WRITE
    number = dataset.version + (content is not None)
    revised = msgspec.structs.replace(described, version=number, changed_at=ctx.time)
    if msg.terms is not None and terms is not None:
        revised = msgspec.structs.replace(
            revised,
            terms=terms,
            approval=msg.terms.approval,
            terms_transaction=ctx.transaction.hex(),
            terms_index=ctx.index,
        )
        state.put(TERMS, terms, msg.terms)
    if content is not None:
        state.put(DATASET_VERSIONS, version_key(msg.name, number), make_version(msg.name, number, content, ctx.time))
    state.put(DATASETS, msg.name, revised)
    # EVENTS
    return [DatasetRevised(dataset=msg.name, owner=dataset.owner, version=number, terms=revised.terms)]


def _described(dataset: Dataset, msg: ReviseDataset) -> Dataset:
    """Return the dataset with the descriptive fields that the message gives."""
    return msgspec.structs.replace(
        dataset,
        title=dataset.title if msg.title is None else msg.title,
        description=dataset.description if msg.description is None else msg.description,
        field=dataset.field if msg.field is None else msg.field,
        keywords=dataset.keywords if msg.keywords is None else msg.keywords,
        licence=dataset.licence if msg.licence is None else msg.licence,
        source=dataset.source if msg.source is None else msg.source,
    )


OPERATION = Operation(ReviseDataset, "service", validate, apply, "publish a new version, other texts or other terms")
