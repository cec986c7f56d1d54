"""Datasets: finding what the zone offers, and offering one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from tallystick.modules.catalogue.policy import Policy
from tallystick.modules.catalogue.records import DATASET_VERSIONS, DATASETS, version_key
from tallystick.sdk.checking import check_dataset
from tallystick.sdk.connection import Progress, dataset_path
from tallystick.sdk.session import Session
from tallystick.sdk.trouble import ViewError
from tallystick.views import DatasetView, Found, Job, Preview

Terms = str | Mapping[str, Any] | Policy


class FoundDatasets(Found, frozen=True, kw_only=True):
    """An answer to a search: iterate over it; `total` and `facets` count all that was found."""

    def __iter__(self) -> Iterator[DatasetView]:
        return iter(self.datasets)

    def __len__(self) -> int:
        return len(self.datasets)

    def __bool__(self) -> bool:
        return bool(self.datasets)


class Offering(Session):
    """What there is of datasets."""

    def find(
        self,
        words: str = "",
        *,
        field: str | None = None,
        owner: str = "",
        keyword: str = "",
        withdrawn: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> FoundDatasets:
        """Find datasets of the zone, best first; as the node says: `dataset` has one checked.

        Args:
            words: all of which must occur; "" for everything.
            field: only of this field of work.
            owner: only of this organisation.
            keyword: only with this keyword.
            withdrawn: also those that are no longer offered.
            limit: how many, at most 200.
            offset: how many to pass over.
        """
        found: FoundDatasets = self._connection.get(
            "/v1/datasets",
            FoundDatasets,
            words=words,
            field=field,
            owner=owner,
            keyword=keyword,
            withdrawn=withdrawn,
            limit=limit,
            offset=offset or None,
        )
        return found

    def dataset(self, name: str) -> DatasetView:
        """Return a dataset with its versions and terms, checked against the ledger.

        Raises:
            NotFoundError: there is none of that name; proved.
            ViewError: the node says something else than the ledger.
        """
        full = self._own(name)
        path = dataset_path(full)
        return self._checked_dataset(full, lambda: self._connection.get(path, DatasetView))

    def offer(
        self,
        path: str | PathLike[str],
        *,
        name: str,
        title: str,
        field: str,
        description: str = "",
        keywords: Sequence[str] = (),
        licence: str = "",
        source_name: str = "",
        terms: Terms | None = None,
        progress: Progress | None = None,
    ) -> DatasetView:
        """Offer a file or folder on the node's machine to the zone; the data stays where it is.

        Args:
            path: of it, on the machine of the node; it must stay there as long as it is to be delivered.
            name: the part behind the slash, or all of `<own id>/<name>`.
            title: one line.
            field: the field of work.
            description: text.
            keywords: to find it by.
            licence: under which it may be used.
            source_name: where the data comes from.
            terms: name of a preset, or an ODRL policy; by default a named recipient, manual approval, 90 days.
            progress: told of bytes read.

        Raises:
            RejectedError: the ledger refuses it, such as `dataset_exists`.
            NodeError: it cannot be offered.
        """
        form = {
            "source": _absolute(path),
            "name": name,
            "title": title,
            "field": field,
            "description": description,
            "keywords": list(keywords),
            "licence": licence,
            "source_name": source_name,
            "terms": _plain(terms),
        }
        job = self._connection.post("/v1/datasets", Job, form)
        view = self._connection.finish(job, DatasetView, progress)
        return self._again(view)

    def revise(self, name: str, *, progress: Progress | None = None, **changes: Any) -> DatasetView:
        """Change texts or terms of an own dataset, or add a version of its data.

        Args:
            name: of the dataset.
            progress: told of bytes read.
            changes: any of `title`, `description`, `field`, `keywords`, `licence`, `source_name`, `terms`, and `source`,
                the path of a new version.

        Raises:
            RejectedError: the ledger refuses it.
            NodeError: it cannot be changed so.
        """
        form = {key: _plain(value) for key, value in changes.items() if value is not None}
        if "source" in form:
            form["source"] = _absolute(form["source"])
        if "keywords" in form:
            form["keywords"] = list(form["keywords"])
        job = self._connection.patch(dataset_path(self._own(name)), Job, form)
        return self._again(self._connection.finish(job, DatasetView, progress))

    def withdraw(self, name: str) -> DatasetView:
        """Stop offering an own dataset; agreements in force stay in force.

        Raises:
            RejectedError: the ledger refuses it.
        """
        return self._again(self._connection.delete(dataset_path(self._own(name)), DatasetView))

    def preview(self, name: str, rows: int = 20) -> Preview:
        """Return the first rows of a table of one's own, or of one that was received; as the node says."""
        preview: Preview = self._connection.get(f"{dataset_path(self._own(name))}/preview", Preview, rows=rows)
        return preview

    def _own(self, name: str) -> str:
        """Return the whole name of a dataset; without a slash it is one's own."""
        return name if "/" in name else f"{self.organisation_id}/{name}"

    def _again(self, view: DatasetView) -> DatasetView:
        """Return what an operation left, checked; it keeps where the operation is recorded."""
        path = dataset_path(view.name)
        checked = self._checked_dataset(view.name, lambda: self._connection.get(path, DatasetView), view)
        return msgspec.structs.replace(checked, recorded=view.recorded)

    def _checked_dataset(self, name: str, ask: Any, first: DatasetView | None = None) -> DatasetView:
        def check(view: DatasetView) -> None:
            dataset, _ = self._find(DATASETS, name)
            if dataset is None or view.name != name:
                raise ViewError("changed_view", f"the ledger has no dataset {name} as the node shows it", "name")
            versions = [
                self._get_fixed(DATASET_VERSIONS, version_key(name, number)) for number in range(1, dataset.version + 1)
            ]
            check_dataset(view, dataset, versions, self.organisation_id)

        found: DatasetView = self._checked(DATASETS, name, ask, check, first=first)
        return found


def _absolute(path: str | PathLike[str]) -> str:
    return str(Path(path).absolute())


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
