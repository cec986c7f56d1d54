"""An engine that is behind its ledger: it fetches old blocks from other engines, and is answered from the ledger.

A copy of the history may be older than the engine that is put behind it: a replica's that becomes a validator, a zone's
that was ordered by one organisation before, or a validator's whose engine lost its blocks. To the engine the application
then seems to begin anew: it is told the height of the last block that *it* brought, `info` by `info`, and for each block
that the ledger has already, what the ledger had made of it. Nothing is executed twice, and the ledger stays as it is.

An engine's block is compared with the ledger's: what the ledger holds of it must be in it, in the same order. A block
that differs is of another history, and the engine is stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from tallystick.errors import IntegrityError
from tallystick.ordering.cometbft.bundles import unpack
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.results import encode_result


class KeptBlock(NamedTuple):
    """A block of the ledger.

    Attributes:
        app_hash: after it.
        time: ms.
        transactions: those that reached the history.
    """

    app_hash: bytes
    time: int
    transactions: Sequence[bytes]


class History(Protocol):
    """The blocks of the ledger. Declared here, given by the node."""

    def kept_block(self, height: int) -> KeptBlock:
        """Return a block; 0 is what the zone began with.

        Raises:
            IntegrityError: it is not held here.
        """


class EngineHeight:
    """How far an engine has come that is behind its ledger; kept in a small file, for it must outlive the core.

    Attributes:
        height: of the last block that the engine brought, 0 before the first; None where it is as far as the ledger.
    """

    def __init__(self, path: Path) -> None:
        """Read the file; one that is not there means that the engine is as far as the ledger."""
        self._path = path
        try:
            self.height: int | None = int(path.read_text())
        except FileNotFoundError:
            self.height = None
        except ValueError:
            # A power cut may leave it empty. That it is there says that the engine is behind: it sends all blocks again.
            self.height = 0

    def begin(self) -> None:
        """Say that the engine has no blocks."""
        self.set(0)

    def set(self, height: int | None) -> None:
        """Write how far the engine is. A file that is older than that does no harm: the engine sends blocks again."""
        self.height = height
        if height is None:
            self._path.unlink(missing_ok=True)
        else:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = self._path.with_name(f"{self._path.name}.new")
            written.write_text(f"{height}\n")
            written.replace(self._path)


def answer_again(height: int, bundles: Sequence[bytes], kept: KeptBlock) -> list[abci.ExecTxResult]:
    """Return what the ledger had made of an engine's block.

    Raises:
        IntegrityError: it is a block of another history.
    """
    unpacked = unpack(bundles)
    if not is_kept([raw for bundle in unpacked for raw in bundle.transactions], kept):
        raise IntegrityError(
            f"the engine's block {height} is not the one that this ledger holds",
            remedy="The other validators' engines have another history than this copy: `tally ledger compare` tells more.",
        )
    return [encode_result(bundle.transactions) for bundle in unpacked]


def is_kept(transactions: Sequence[bytes], kept: KeptBlock) -> bool:
    """Tell whether the ledger's block may be what it had made of these: all of it is there, in its order."""
    rest = iter(transactions)
    return all(any(raw == done for raw in rest) for done in kept.transactions)
