"""The operations of the catalogue, one a file."""

from tallystick.modules.catalogue.ops.offer_dataset import DatasetOffered, OfferDataset
from tallystick.modules.catalogue.ops.revise_dataset import DatasetRevised, ReviseDataset
from tallystick.modules.catalogue.ops.withdraw_dataset import DatasetWithdrawn, WithdrawDataset

__all__ = [
    "DatasetOffered",
    "DatasetRevised",
    "DatasetWithdrawn",
    "OfferDataset",
    "ReviseDataset",
    "WithdrawDataset",
]
