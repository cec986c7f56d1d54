"""What agreements read of the catalogue: datasets, their versions, and what terms mean."""

from __future__ import annotations

from typing import Protocol

from tallystick.machine import State
from tallystick.modules.catalogue import queries as _catalogue
from tallystick.modules.catalogue.policy import Policy
from tallystick.modules.catalogue.records import Dataset, DatasetVersion
from tallystick.modules.catalogue.terms import allows_recipient, period, policy_fault, terms_hash

__all__ = ["CATALOGUE", "Catalogue", "Policy", "allows_recipient", "period", "policy_fault", "terms_hash"]


class Catalogue(Protocol):
    """Datasets and the terms they are offered on; read only."""

    def find_dataset(self, state: State, name: str) -> Dataset | None:
        """Return a dataset as it is now."""

    def find_version(self, state: State, name: str, version: int) -> DatasetVersion | None:
        """Return one version of a dataset."""

    def find_offered_terms(self, state: State, terms: str) -> Policy | None:
        """Return the policy of that hash, if a dataset was ever offered on it."""


CATALOGUE: Catalogue = _catalogue
