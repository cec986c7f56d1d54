"""Reading the catalogue. `find_x` returns None where there is nothing."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.machine import State
from tallystick.modules.catalogue.policy import Policy
from tallystick.modules.catalogue.records import DATASET_VERSIONS, DATASETS, TERMS, Dataset, DatasetVersion, version_key


def find_dataset(state: State, name: str) -> Dataset | None:
    """Return a dataset as it is now."""
    return state.find(DATASETS, name)


def find_version(state: State, name: str, version: int) -> DatasetVersion | None:
    """Return one version of a dataset."""
    return state.find(DATASET_VERSIONS, version_key(name, version))


def find_offered_terms(state: State, terms: str) -> Policy | None:
    """Return the policy of that hash, if a dataset was ever offered on it."""
    return state.find(TERMS, terms)


def datasets_of(state: State, organisation: str) -> Iterator[Dataset]:
    """Yield the datasets of an organisation, by name, withdrawn ones too."""
    for _, dataset in state.scan(DATASETS, f"{organisation}/"):
        yield dataset


def versions_of(state: State, name: str) -> list[DatasetVersion]:
    """Return all versions of a dataset, oldest first."""
    return sorted((version for _, version in state.scan(DATASET_VERSIONS, f"{name}@")), key=lambda v: v.version)
