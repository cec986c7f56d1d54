"""Stateless checks that offering and revising share."""

from __future__ import annotations

from tallystick.codec import MalformedError, check_dataset_name, check_hash
from tallystick.modules.catalogue.policy import Policy
from tallystick.modules.catalogue.records import DatasetVersion, VersionContent
from tallystick.modules.catalogue.rejections import BAD_NAME, BAD_TERMS, BAD_TEXT, BAD_VERSION
from tallystick.modules.catalogue.terms import policy_fault
from tallystick.modules.catalogue.text import is_line, is_media_type, is_text

CHUNK_BYTES = 1 << 20


def check_name(name: str) -> None:
    """Raise `bad_name` unless `name` is `<organisation>/<slug>`."""
    try:
        check_dataset_name(name)
    except MalformedError:
        raise BAD_NAME() from None


def check_texts(
    title: str | None,
    description: str | None,
    keywords: tuple[str, ...] | None,
    licence: str | None,
    source: str | None,
) -> None:
    """Raise `bad_text` where one of a dataset's texts is not readable text; None stands for not given."""
    if title is not None and not is_line(title):
        raise BAD_TEXT(field="title")
    if description is not None and not is_text(description):
        raise BAD_TEXT(field="description")
    if keywords is not None and (
        not all(is_line(keyword) for keyword in keywords) or len(dict.fromkeys(keywords)) != len(keywords)
    ):
        raise BAD_TEXT(field="keywords")
    if licence and not is_line(licence):
        raise BAD_TEXT(field="licence")
    if source and not is_line(source):
        raise BAD_TEXT(field="source")


def check_content(content: VersionContent) -> None:
    """Raise `bad_version` where a version cannot be what it says."""
    try:
        check_hash(content.fingerprint)
    except MalformedError:
        raise BAD_VERSION(reason="the fingerprint is not 32 bytes of lower-case hex") from None
    if content.chunks < -(-content.size // CHUNK_BYTES):
        raise BAD_VERSION(reason="fewer chunks of 1 MiB than its size needs")
    if not is_media_type(content.media_type):
        raise BAD_VERSION(reason="the media type is not type/subtype in lower case")
    names = [column.name for column in content.schema]
    if len(dict.fromkeys(names)) != len(names):
        raise BAD_VERSION(reason="two columns share a name")
    if not all(is_line(column.name) and is_line(column.type) for column in content.schema):
        raise BAD_VERSION(reason="a column's name or type is not a line of text")


def check_terms(policy: Policy, dataset: str) -> None:
    """Raise `bad_terms` where a policy is not fit to be the terms of a dataset."""
    fault = policy_fault(policy, dataset)
    if fault is not None:
        raise BAD_TERMS(reason=fault)


def make_version(dataset: str, number: int, content: VersionContent, time_ms: int) -> DatasetVersion:
    """Return the record of a version published at `time_ms`."""
    return DatasetVersion(
        dataset=dataset,
        version=number,
        fingerprint=content.fingerprint,
        size=content.size,
        chunks=content.chunks,
        files=content.files,
        media_type=content.media_type,
        rows=content.rows,
        schema=content.schema,
        published_at=time_ms,
    )
