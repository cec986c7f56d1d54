"""offer_dataset: an organisation makes a dataset of its own known to the zone, with its first version and its terms.

Contract: the name begins with the signer's id and is free. Afterwards the dataset is `offered` at version 1, and its
terms can be read by their hash. By signing this the owner signs those terms.
"""

from __future__ import annotations

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
from tallystick.modules.catalogue.rejections import DATASET_EXISTS, NOT_OWNER
from tallystick.modules.catalogue.terms import terms_hash


class OfferDataset(Message, kw_only=True, tag="offer_dataset"):
    """Offer a dataset; the fields are those of `Dataset`, `version` what it is made of, `terms` the whole policy."""

    name: Name
    title: Title
    description: Description = ""
    field: Field
    keywords: Keywords = ()
    licence: ShortText = ""
    source: ShortText = ""
    version: VersionContent
    terms: Policy


class DatasetOffered(Event, kw_only=True, tag="dataset_offered"):
    """A dataset was offered, at version 1, on the terms of that hash."""

    dataset: str
    owner: str
    field: str
    terms: str


def validate(msg: OfferDataset) -> None:
    """Check the name, the texts, the version and the terms."""
    check_name(msg.name)
    check_texts(msg.title, msg.description, msg.keywords, msg.licence, msg.source)
    check_content(msg.version)
    check_terms(msg.terms, msg.name)


def apply(state: State, ctx: Context, msg: OfferDataset) -> list[Event]:
    """Record the dataset, its first version and its terms."""
    # READ
    existing = state.find(DATASETS, msg.name)
    # CHECK
    if msg.name.partition("/")[0] != ctx.organisation:
        raise NOT_OWNER(dataset=msg.name, organisation=ctx.organisation)
    if existing is not None:
        raise DATASET_EXISTS(dataset=msg.name)
    # WRITE
    terms = terms_hash(msg.terms)
    dataset = Dataset(
        name=msg.name,
        owner=ctx.organisation,
        title=msg.title,
        description=msg.description,
        field=msg.field,
        keywords=msg.keywords,
        licence=msg.licence,
        source=msg.source,
        version=1,
        status="offered",
        terms=terms,
        approval=msg.terms.approval,
        terms_transaction=ctx.transaction.hex(),
        terms_index=ctx.index,
        offered_at=ctx.time,
        changed_at=ctx.time,
    )
    state.put(DATASETS, msg.name, dataset)
    state.put(DATASET_VERSIONS, version_key(msg.name, 1), make_version(msg.name, 1, msg.version, ctx.time))
    state.put(TERMS, terms, msg.terms)
    # EVENTS
    return [DatasetOffered(dataset=msg.name, owner=ctx.organisation, field=msg.field, terms=terms)]


OPERATION = Operation(OfferDataset, "service", validate, apply, "offer a dataset under terms")
