"""What is always true of the catalogue; run by property tests and by `tally ledger check`."""

from __future__ import annotations

from tallystick.machine import State
from tallystick.modules.catalogue.records import DATASET_VERSIONS, DATASETS, TERMS, Dataset, version_key
from tallystick.modules.catalogue.terms import policy_fault, terms_hash


def datasets_hold_together(state: State) -> list[str]:
    """Every dataset is its owner's, has its terms on record, and a withdrawal time exactly when withdrawn."""
    broken: list[str] = []
    for key, dataset in state.scan(DATASETS):
        broken += [f"datasets/{key}: {fault}" for fault in _dataset_faults(state, key, dataset)]
    return broken


def _dataset_faults(state: State, key: str, dataset: Dataset) -> list[str]:
    faults: list[str] = []
    if dataset.name != key or key.partition("/")[0] != dataset.owner:
        faults.append("its name is not its owner's")
    policy = state.find(TERMS, dataset.terms)
    if policy is None:
        faults.append("its terms are not on record")
    elif policy_fault(policy, key) is not None or policy.approval != dataset.approval:
        faults.append("its terms are not terms of this dataset")
    if (dataset.status == "withdrawn") != (dataset.withdrawn_at is not None):
        faults.append("its status and its time of withdrawal disagree")
    if not dataset.offered_at <= dataset.changed_at:
        faults.append("it was changed before it was offered")
    return faults


def versions_are_complete(state: State) -> list[str]:
    """A dataset at version n has the versions 1 to n and no other, published in that order."""
    broken: list[str] = []
    counts: dict[str, int] = {}
    for key, version in state.scan(DATASET_VERSIONS):
        counts[version.dataset] = counts.get(version.dataset, 0) + 1
        if key != version_key(version.dataset, version.version):
            broken.append(f"dataset_versions/{key}: its key is not its name and number")
        if not state.has(DATASETS, version.dataset):
            broken.append(f"dataset_versions/{key}: there is no such dataset")
    for key, dataset in state.scan(DATASETS):
        if counts.get(key, 0) != dataset.version:
            broken.append(f"datasets/{key}: it has {counts.get(key, 0)} versions, not {dataset.version}")
        times: list[int] = []
        for number in range(1, min(dataset.version, counts.get(key, 0)) + 1):
            found = state.find(DATASET_VERSIONS, version_key(key, number))
            if found is None:
                broken.append(f"datasets/{key}: version {number} is missing")
            else:
                times.append(found.published_at)
        if times != sorted(times):
            broken.append(f"datasets/{key}: its versions are not in order of time")
    return broken


def terms_are_their_hash(state: State) -> list[str]:
    """Terms are kept under their own hash."""
    return [
        f"terms/{key}: the policy does not have this hash"
        for key, policy in state.scan(TERMS)
        if terms_hash(policy) != key
    ]


INVARIANTS = (datasets_hold_together, versions_are_complete, terms_are_their_hash)
