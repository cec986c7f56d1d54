"""The catalogue: datasets that organisations offer, their versions, and the terms they are offered on.

It needs nothing of other modules, and so has no ports. Its specification is the README beside this file.
"""

from tallystick.machine import Module
from tallystick.modules.catalogue.invariants import INVARIANTS
from tallystick.modules.catalogue.ops import offer_dataset, revise_dataset, withdraw_dataset
from tallystick.modules.catalogue.records import DATASET_VERSIONS, DATASETS, TERMS
from tallystick.modules.catalogue.rejections import REJECTIONS

MODULE = Module(
    name="catalogue",
    collections=(DATASETS, DATASET_VERSIONS, TERMS),
    operations=(offer_dataset.OPERATION, revise_dataset.OPERATION, withdraw_dataset.OPERATION),
    rejections=REJECTIONS,
    events=(offer_dataset.DatasetOffered, revise_dataset.DatasetRevised, withdraw_dataset.DatasetWithdrawn),
    invariants=INVARIANTS,
)

__all__ = ["MODULE"]
