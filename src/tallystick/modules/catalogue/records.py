"""What the catalogue keeps: datasets as they are now, their versions, and the terms they were ever offered on.

Hashes are lower-case hex, times are ms since the epoch, sizes are bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from tallystick.machine import Collection, Record
from tallystick.modules.catalogue.policy import Approval, Policy

Field = Literal[
    "agriculture",
    "education",
    "energy",
    "environment",
    "finance",
    "health",
    "manufacturing",
    "other",
    "public-administration",
    "trade-finance",
    "transport",
]
FIELDS: tuple[str, ...] = get_args(Field)
Status = Literal["offered", "withdrawn"]

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
Name = Annotated[str, msgspec.Meta(max_length=120)]
Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Description = Annotated[str, msgspec.Meta(max_length=2_000)]
ShortText = Annotated[str, msgspec.Meta(max_length=200)]
MediaType = Annotated[str, msgspec.Meta(min_length=3, max_length=120)]
Keyword = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
Keywords = Annotated[tuple[Keyword, ...], msgspec.Meta(max_length=20)]


class Column(Record, kw_only=True):
    """A column of a table: its name and the type that its owner gives it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]


Columns = Annotated[tuple[Column, ...], msgspec.Meta(max_length=500)]


class VersionContent(Record, kw_only=True):
    """What a version of a dataset is made of; part of messages.

    Attributes:
        fingerprint: salted RFC 9162 root over its chunks of 1 MiB.
        size: bytes of all its files together.
        chunks: how many leaves the fingerprint is over.
        files: how many files.
        media_type: such as `text/csv`; of the files inside where there is more than one.
        rows: of a table, where the owner says.
        schema: columns of a table, in order.
    """

    fingerprint: Hash
    size: Count
    chunks: Positive
    files: Positive = 1
    media_type: MediaType
    rows: Count | None = None
    schema: Columns = ()


class Dataset(Record, kw_only=True):
    """A dataset as it is offered now.

    Attributes:
        name: `owner/slug`.
        owner: organisation id.
        title: one line.
        description: text.
        field: the field of work.
        keywords: to find it by.
        licence: under which its owner holds or publishes it.
        source: where it comes from.
        version: number of the latest version.
        status: offered or withdrawn.
        terms: hash of the terms it is offered on.
        approval: whether a request on these terms needs a decision.
        terms_transaction: id of the transaction in which the owner signed these terms.
        terms_index: of the operation in it.
        offered_at: when it was first offered.
        changed_at: when it was last revised or withdrawn.
        withdrawn_at: when it was withdrawn.
    """

    name: str
    owner: str
    title: str
    description: str = ""
    field: Field
    keywords: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""
    version: Positive
    status: Status
    terms: str
    approval: Approval
    terms_transaction: str
    terms_index: Count
    offered_at: Count
    changed_at: Count
    withdrawn_at: Count | None = None


class DatasetVersion(Record, kw_only=True):
    """A version of a dataset; never changed.

    Attributes:
        dataset: its name.
        version: from 1.
        fingerprint: see `VersionContent`, and so the fields up to `schema`.
        published_at: block time.
    """

    dataset: str
    version: Positive
    fingerprint: str
    size: Count
    chunks: Positive
    files: Positive
    media_type: str
    rows: Count | None = None
    schema: tuple[Column, ...] = ()
    published_at: Count


DATASETS = Collection("datasets", Dataset, "datasets as they are offered now, by name")
DATASET_VERSIONS = Collection("dataset_versions", DatasetVersion, "every version of every dataset, by name@number")
TERMS = Collection("terms", Policy, "the ODRL policies that datasets were offered on, by their hash")


def version_key(dataset: str, version: int) -> str:
    """Return the key of a version: `hospital/discharges-2024@1`."""
    return f"{dataset}@{version}"
