"""What deliveries read of other modules: agreements, and the versions of datasets."""

from __future__ import annotations

from typing import Protocol

from tallystick.machine import State
from tallystick.modules.agreements import queries as _agreements
from tallystick.modules.agreements.queries import agreement_state
from tallystick.modules.agreements.records import Agreement
from tallystick.modules.catalogue import queries as _catalogue
from tallystick.modules.catalogue.records import DatasetVersion

__all__ = ["AGREEMENTS", "VERSIONS", "Agreement", "Agreements", "DatasetVersion", "Versions", "agreement_state"]


class Agreements(Protocol):
    """Agreements; read only. `agreement_state` tells what one is at a time."""

    def find_agreement(self, state: State, agreement: str) -> Agreement | None:
        """Return an agreement."""


class Versions(Protocol):
    """Versions of datasets; read only."""

    def find_version(self, state: State, name: str, version: int) -> DatasetVersion | None:
        """Return one version of a dataset."""


AGREEMENTS: Agreements = _agreements
VERSIONS: Versions = _catalogue
