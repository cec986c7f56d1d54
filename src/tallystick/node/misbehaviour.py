"""What validators were found guilty of, kept for good: `misbehaviour.json` in the home of a node that validates.

The engines agree on it: evidence of a double vote goes into a block, and each engine has checked the two signatures
before it votes for that block. The file is written before the block is committed. A crash between the two leaves the
engine to send the same block again, whose findings are then known already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from tallystick.errors import StorageError
from tallystick.node.files import write_atomically
from tallystick.views import Misconduct

if TYPE_CHECKING:
    from tallystick.ordering.cometbft.blocks import Misbehaviour

log = structlog.get_logger("core")
FILE = "misbehaviour.json"
# A hostile validator could convict itself again at every height.
MOST_OF_ONE = 50


class MisbehaviourBook:
    """The findings of one node."""

    def __init__(self, home: Path, names: Callable[[], Mapping[str, str]]) -> None:
        """Read what is kept.

        Args:
            home: the node's.
            names: gives organisation by the address of its consensus key, hex.

        Raises:
            StorageError: the file is there and cannot be read.
        """
        self._path = home / FILE
        self._names = names
        self._found: list[Misconduct] = []
        try:
            self._found = msgspec.json.decode(self._path.read_bytes(), type=list[Misconduct])
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as error:
            raise StorageError(
                f"{self._path} cannot be read: {error}",
                remedy="Put it back from a copy, or move it away: what it said of validators is then not known any more.",
            ) from None

    @property
    def found(self) -> tuple[Misconduct, ...]:
        """All findings, oldest first."""
        return tuple(self._found)

    def record(self, found: Sequence[Misbehaviour], *, height: int, time: int) -> None:
        """Keep what a block that is about to be committed says of validators.

        Args:
            found: what it says.
            height: of the block.
            time: of the block, ms.

        Raises:
            StorageError: the disk refuses; the block must not be committed then.
        """
        known = {(each.kind, each.validator, each.height) for each in self._found}
        many = Counter(each.validator for each in self._found)
        fresh = []
        names = self._names() if found else {}
        for item in found:
            organisation = names.get(item.validator, "")
            fields = {"kind": item.kind, "organisation": organisation, "validator": item.validator, "at": item.height}
            if (item.kind, item.validator, item.height) in known:
                continue
            log.error("validator_misbehaved", **fields, height=height)
            if many[item.validator] >= MOST_OF_ONE:
                continue
            many[item.validator] += 1
            fresh.append(
                Misconduct(
                    kind=item.kind,
                    organisation=organisation,
                    validator=item.validator,
                    height=item.height,
                    found_at=height,
                    time=time,
                )
            )
        if fresh:
            kept = [*self._found, *fresh]
            write_atomically(self._path, msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
            self._found = kept
