"""What the evidence module keeps: fingerprints of files, and which of them were superseded.

Hashes are lower-case hex, times are ms since the epoch, sizes are bytes.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.machine import Collection, Record

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
EvidenceId = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]


class Evidence(Record, kw_only=True):
    """That an organisation had certain files at a certain time; kept small, for there may be very many.

    Attributes:
        organisation: who recorded it.
        root: commitment root over the files.
        count: how many files.
        bytes: of all files together, where the organisation says.
        private: commitment root of party-only fields such as a title, if any.
        recorded_at: block time.
    """

    organisation: str
    root: str
    count: Positive
    bytes: Count | None = None
    private: str | None = None
    recorded_at: Count


class Supersession(Record, kw_only=True):
    """That evidence is replaced by later evidence of the same organisation; its key is the id of the replaced.

    Attributes:
        by: id of the evidence to look at instead.
        organisation: whose both are.
        recorded_at: block time.
    """

    by: str
    organisation: str
    recorded_at: Count


EVIDENCE = Collection("evidence", Evidence, "fingerprints of files, by short id")
SUPERSESSIONS = Collection("supersessions", Supersession, "evidence that was replaced, by the id of the replaced")
