"""withdraw_dataset: the owner stops offering a dataset, for good.

Contract: from now on it can be neither requested nor approved. Agreements in force stay in force until they end or are
terminated; what was recorded remains.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.catalogue.checks import check_name
from tallystick.modules.catalogue.records import DATASETS, Name
from tallystick.modules.catalogue.rejections import DATASET_WITHDRAWN, NOT_OWNER, UNKNOWN_DATASET


class WithdrawDataset(Message, kw_only=True, tag="withdraw_dataset"):
    """Withdraw a dataset of one's own."""

    name: Name


class DatasetWithdrawn(Event, kw_only=True, tag="dataset_withdrawn"):
    """A dataset is no longer offered."""

    dataset: str
    owner: str


def validate(msg: WithdrawDataset) -> None:
    """Check the name."""
    check_name(msg.name)


def apply(state: State, ctx: Context, msg: WithdrawDataset) -> list[Event]:
    """Mark the dataset as withdrawn."""
    # READ
    dataset = state.find(DATASETS, msg.name)
    # CHECK
    if dataset is None:
        raise UNKNOWN_DATASET(dataset=msg.name)
    if dataset.owner != ctx.organisation:
        raise NOT_OWNER(dataset=msg.name, organisation=ctx.organisation)
    if dataset.status == "withdrawn":
        raise DATASET_WITHDRAWN(dataset=msg.name)
    # WRITE
    withdrawn = msgspec.structs.replace(dataset, status="withdrawn", changed_at=ctx.time, withdrawn_at=ctx.time)
    state.put(DATASETS, msg.name, withdrawn)
    # EVENTS
    return [DatasetWithdrawn(dataset=msg.name, owner=dataset.owner)]


OPERATION = Operation(WithdrawDataset, "service", validate, apply, "stop offering a dataset")
