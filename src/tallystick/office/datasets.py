"""Datasets: offering one's own, finding those of all, looking into what is here.

Rules:

- The data stays where it is. What goes to the ledger is a salted fingerprint, sizes and what its owner says about it.
- Before the fingerprint is submitted, its sidecar (0600, under `outbox/`) and where the data is are on disk, by the
  fingerprint: whatever a crash leaves, every fingerprint of ours on the ledger can be served.
- Offering again what was offered already is no second offer: a retry after a lost answer returns what is on record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tallystick.codec import MalformedError, check_dataset_name
from tallystick.dataplane import Sidecar, SidecarShelf, Source, describe_table, scan, take_fingerprint
from tallystick.errors import IntegrityError, UsageError
from tallystick.modules.catalogue.ops import OfferDataset, ReviseDataset, WithdrawDataset
from tallystick.modules.catalogue.policy import Policy
from tallystick.modules.catalogue.queries import find_dataset, find_version
from tallystick.modules.catalogue.records import DATASETS, FIELDS, Column, Dataset, VersionContent
from tallystick.modules.catalogue.terms import terms_hash
from tallystick.modules.catalogue.text import is_line
from tallystick.office.database import OfficeDatabase, SourceRow, TransferRow
from tallystick.office.describing import dataset_view
from tallystick.office.ports import Progress
from tallystick.office.recording import Recorder
from tallystick.office.refusals import NotFoundError, not_found
from tallystick.office.search import facets_of, score, split_words
from tallystick.office.terms import resolve_terms
from tallystick.views import DatasetView, Found, Preview

MAX_PREVIEW_ROWS = 200
_MAX_COLUMNS = 500
_NAME_CHARACTERS, _TYPE_CHARACTERS = 120, 60


class _Prepared(NamedTuple):
    """A version that is ready to be submitted."""

    content: VersionContent
    sidecar: Sidecar


class Datasets:
    """Datasets of this organisation and of the zone."""

    def __init__(self, recorder: Recorder, database: OfficeDatabase, shelf: SidecarShelf) -> None:
        self._recorder = recorder
        self._database = database
        self._shelf = shelf
        self._me = recorder.organisation
        self._lock = asyncio.Lock()

    async def offer(
        self,
        source: Path,
        *,
        name: str,
        title: str,
        field: str,
        description: str = "",
        keywords: Sequence[str] = (),
        licence: str = "",
        source_name: str = "",
        terms: str | Mapping[str, Any] | Policy | None = None,
        with_schema: bool = True,
        progress: Progress | None = None,
    ) -> DatasetView:
        """Offer a file or folder as a dataset.

        Args:
            source: where it is; it must stay there, unchanged, as long as it is to be delivered.
            name: the part behind the slash, or all of `<own id>/<name>`.
            title: one line.
            field: the field of work.
            description: text.
            keywords: to find it by.
            licence: under which it may be used.
            source_name: where the data comes from.
            terms: see `resolve_terms`.
            with_schema: publish the columns of a table.
            progress: told of bytes read.

        Raises:
            RejectedError: the ledger refuses it, such as `dataset_exists`.
            NodeError: the source cannot be offered, or the terms cannot be used.
        """
        dataset = self._own_name(name)
        if field not in FIELDS:
            raise UsageError(f"there is no field {field!r}", remedy=f"Choose from: {', '.join(FIELDS)}.")
        policy = resolve_terms(terms, dataset)
        async with self._lock:
            prepared = await self._prepare(source, dataset, with_schema, progress)
            message = OfferDataset(
                name=dataset,
                title=title,
                description=description,
                field=field,  # type: ignore[arg-type] # one of FIELDS, checked above
                keywords=tuple(keywords),
                licence=licence,
                source=source_name,
                version=prepared.content,
                terms=policy,
            )
            existing = find_dataset(self._recorder.state(), dataset)
            if existing is not None and self._is_same(existing, message):
                return self._view(existing)
            done = await self._recorder.record(message)
        found = find_dataset(self._recorder.state(), dataset)
        assert found is not None  # noqa: S101 - it was just recorded
        return dataset_view(self._recorder.state(), found, self._me, all_versions=True, recorded=done.recorded)

    async def revise(
        self,
        name: str,
        *,
        source: Path | None = None,
        title: str | None = None,
        description: str | None = None,
        field: str | None = None,
        keywords: Sequence[str] | None = None,
        licence: str | None = None,
        source_name: str | None = None,
        terms: str | Mapping[str, Any] | Policy | None = None,
        with_schema: bool = True,
        progress: Progress | None = None,
    ) -> DatasetView:
        """Publish a new version of a dataset of one's own, or change what is said about it; None leaves as it is.

        Raises:
            RejectedError: the ledger refuses it, such as `nothing_to_revise`.
            NodeError: the source cannot be offered, or the terms cannot be used.
        """
        dataset = self._own_name(name)
        if field is not None and field not in FIELDS:
            raise UsageError(f"there is no field {field!r}", remedy=f"Choose from: {', '.join(FIELDS)}.")
        async with self._lock:
            prepared = None if source is None else await self._prepare(source, dataset, with_schema, progress)
            message = ReviseDataset(
                name=dataset,
                title=title,
                description=description,
                field=field,  # type: ignore[arg-type] # one of FIELDS, checked above
                keywords=None if keywords is None else tuple(keywords),
                licence=licence,
                source=source_name,
                version=None if prepared is None else prepared.content,
                terms=None if terms is None else resolve_terms(terms, dataset),
            )
            done = await self._recorder.record(message)
        shown = self.show(dataset)
        return msgspec.structs.replace(shown, recorded=done.recorded)

    async def withdraw(self, name: str) -> DatasetView:
        """Stop offering a dataset of one's own, for good; agreements in force stay in force.

        Raises:
            RejectedError: the ledger refuses it.
        """
        dataset = self._own_name(name)
        done = await self._recorder.record(WithdrawDataset(name=dataset))
        return msgspec.structs.replace(self.show(dataset), recorded=done.recorded)

    def find(
        self,
        words: str = "",
        *,
        field: str = "",
        owner: str = "",
        keyword: str = "",
        withdrawn: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> Found:
        """Find datasets of the zone, best first.

        Args:
            words: all of which must occur in name, title, keywords, field, owner or description; "" for everything.
            field: only of this field.
            owner: only of this organisation.
            keyword: only with this keyword.
            withdrawn: also those that are no longer offered.
            limit: how many to return.
            offset: how many to pass over.
        """
        wanted = split_words(words)
        state = self._recorder.state()
        ranked: list[tuple[int, Dataset]] = []
        for _, dataset in state.scan(DATASETS, f"{owner}/" if owner else ""):
            if (
                (withdrawn or dataset.status == "offered")
                and field in ("", dataset.field)
                and (not keyword or keyword in dataset.keywords)
            ):
                points = score(dataset, wanted)
                if points:
                    ranked.append((points, dataset))
        ranked.sort(key=lambda item: (-item[0], item[1].name))
        shown = ranked[offset : offset + max(0, limit)]
        return Found(
            datasets=tuple(dataset_view(state, dataset, self._me) for _, dataset in shown),
            total=len(ranked),
            facets=facets_of(dataset for _, dataset in ranked),
        )

    def show(self, name: str) -> DatasetView:
        """Return a dataset with all its versions.

        Raises:
            NotFoundError: there is none of that name.
        """
        return self._view(self._get(name))

    async def preview(self, name: str, rows: int = 20) -> Preview:
        """Return the first rows of a table of one's own, or of one that was received.

        Args:
            name: of the dataset.
            rows: how many, at most 200.

        Raises:
            NotFoundError: there is no such dataset, or its data is not here.
            UsageError: it is not a table.
        """
        dataset = self._get(name)
        if dataset.owner == self._me:
            version = find_version(self._recorder.state(), dataset.name, dataset.version)
            assert version is not None  # noqa: S101 - an invariant of the catalogue
            row = self._database.find(SourceRow, fingerprint=version.fingerprint)
            location, number = (None if row is None else Path(row.path)), version.version
        else:
            received = self._database.rows(TransferRow, direction="in", dataset=dataset.name, state="received")
            location, number = (Path(received[-1].path), received[-1].version) if received else (None, 0)
        if location is None or not location.exists():
            raise NotFoundError(
                f"the data of {name} is not on this machine",
                remedy="Fetch it first: `tally delivery fetch`, under an agreement.",
            )
        wanted = max(1, min(rows, MAX_PREVIEW_ROWS))
        return await asyncio.to_thread(_preview, location, dataset.name, number, dataset.owner == self._me, wanted)

    def _own_name(self, name: str) -> str:
        full = name if "/" in name else f"{self._me}/{name}"
        try:
            return check_dataset_name(full)
        except MalformedError as error:
            raise UsageError(
                f"{name!r} cannot be the name of a dataset: {error.reason}",
                remedy="Use lower-case letters, digits and hyphens, such as discharges-2024.",
            ) from None

    def _get(self, name: str) -> Dataset:
        found = find_dataset(self._recorder.state(), name)
        if found is None:
            raise not_found("dataset", name, "tally dataset list")
        return found

    def _view(self, dataset: Dataset) -> DatasetView:
        return dataset_view(self._recorder.state(), dataset, self._me, all_versions=True)

    async def _prepare(self, source: Path, dataset: str, with_schema: bool, progress: Progress | None) -> _Prepared:
        """Take the fingerprint of a source and put everything on disk that serving it will need."""
        loop = asyncio.get_running_loop()

        def tell(done: int, total: int) -> None:
            if progress is not None:
                loop.call_soon_threadsafe(progress, done, total)

        sidecar, content = await asyncio.to_thread(self._measure, source, dataset, with_schema, tell)
        # The sidecar before the row, the row before the ledger: each names only what is there already.
        path = await asyncio.to_thread(self._shelf.put, sidecar)
        self._database.put(
            SourceRow(
                fingerprint=content.fingerprint,
                dataset=dataset,
                path=str(source.absolute()),
                sidecar=str(path),
                created=self._recorder.now(),
            )
        )
        return _Prepared(content, sidecar)

    def _measure(
        self, location: Path, dataset: str, with_schema: bool, tell: Progress
    ) -> tuple[Sidecar, VersionContent]:
        """Read a source; with the salt of an earlier reading of the same data, so that a retry gives the same root."""
        source = scan(location)
        columns, rows = _columns(source) if with_schema else ((), None)
        sidecar = None
        before = self._database.rows(SourceRow, dataset=dataset, path=str(location.absolute()))
        if before:
            sidecar = self._again(source, bytes.fromhex(before[-1].fingerprint), tell)
        if sidecar is None:
            sidecar = take_fingerprint(source, progress=tell)
        found = sidecar.fingerprint
        content = VersionContent(
            fingerprint=found.root.hex(),
            size=found.size,
            chunks=found.chunks,
            files=found.files,
            media_type=source.manifest.media_type,
            rows=rows,
            schema=columns,
        )
        return sidecar, content

    def _again(self, source: Source, root: bytes, tell: Progress) -> Sidecar | None:
        """Return the earlier fingerprint if the data is still what it was; a salt is never used for other data."""
        try:
            salt = self._shelf.get(root).fingerprint.salt
        except IntegrityError:
            return None
        again = take_fingerprint(source, salt=salt, progress=tell)
        return again if again.fingerprint.root == root else None

    def _is_same(self, dataset: Dataset, message: OfferDataset) -> bool:
        """Tell whether an offer is on record already, exactly as it is made again."""
        version = find_version(self._recorder.state(), dataset.name, dataset.version)
        said = (dataset.title, dataset.description, dataset.field, dataset.keywords, dataset.licence, dataset.source)
        again = (message.title, message.description, message.field, message.keywords, message.licence, message.source)
        return (
            version is not None
            and dataset.status == "offered"
            and version.fingerprint == message.version.fingerprint
            and dataset.terms == terms_hash(message.terms)
            and said == again
        )


def _columns(source: Source) -> tuple[tuple[Column, ...], int | None]:
    """Return the columns and rows of a dataset that is one table; nothing of one that is not."""
    if source.manifest.kind != "file":
        return (), None
    table = describe_table(source.location, media_type=source.manifest.media_type, preview_rows=1)
    if table is None:
        return (), None
    named = [(each.name[:_NAME_CHARACTERS].strip(), each.type[:_TYPE_CHARACTERS].strip()) for each in table.columns]
    fit = len(named) <= _MAX_COLUMNS and len({name for name, _ in named}) == len(named)
    if not fit or not all(is_line(name) and is_line(kind) for name, kind in named):
        return (), table.rows
    return tuple(Column(name=name, type=kind) for name, kind in named), table.rows


def _preview(location: Path, dataset: str, version: int, own: bool, rows: int) -> Preview:
    """Read the first rows of the first table at a place."""
    manifest = scan(location).manifest
    for entry in manifest.files:
        path = location if manifest.kind == "file" else location / entry.path
        table = describe_table(path, media_type=entry.media_type, preview_rows=rows)
        if table is not None:
            return Preview(
                dataset=dataset,
                version=version,
                origin="own" if own else "received",
                file=entry.path,
                columns=tuple((column.name, column.type) for column in table.columns),
                rows=table.preview[:rows],
                total_rows=table.rows,
            )
    raise UsageError(f"{dataset} holds no table that can be shown", remedy="Open the files with a program of theirs.")
