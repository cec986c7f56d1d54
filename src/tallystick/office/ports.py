"""What the office asks of the node around it: the other organisations' nodes, by organisation and never by address.

Rules for whoever implements `Peers`:

- It speaks only to the node that proved the TLS key which the organisation has registered.
- What it hands back is material to be checked: the office compares every delivery and every note with the ledger.
- What the other side refuses arrives as the `NodeError` that it sent (message and remedy); what cannot be reached, as
  `PeerError`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from tallystick.dataplane.package import KeyPackage

__all__ = ["Arrival", "KeyPackage", "OpenedDelivery", "Peers", "Progress"]

Progress = Callable[[int, int], None]
"""`progress(done, total)`: bytes so far and in all."""


class OpenedDelivery(NamedTuple):
    """What a provider answers when a delivery is opened.

    Attributes:
        delivery: id of the delivery on the ledger (`dlv-…`).
        package: the key package, sealed to the consumer's registered encryption key. Opened, its `delivery` is the
            recorded nonce: the id on the wire, which content is asked for by.
    """

    delivery: str
    package: bytes


class Arrival(NamedTuple):
    """Data that arrived whole.

    Attributes:
        path: the file or folder, under its final name, on disk.
        root: what this node computed over the verified chunks, 32 bytes.
        files: how many.
        size: bytes of all files.
    """

    path: Path
    root: bytes
    files: int
    size: int


class Peers(Protocol):
    """The nodes of the other organisations."""

    async def send_note(self, organisation: str, note: bytes) -> bool:
        """Push a sealed note; return whether the other side has taken it.

        False where it cannot be reached: the note stays here and is handed out when that organisation asks.

        Raises:
            NodeError: it was reached and refuses the note.
        """
        ...

    async def open_delivery(self, provider: str, agreement: str) -> OpenedDelivery:
        """Ask a provider to open a delivery under an agreement.

        Raises:
            NodeError: the provider refuses, or cannot be reached.
        """
        ...

    async def fetch(
        self,
        provider: str,
        opened: OpenedDelivery,
        package: KeyPackage,
        target: Path,
        progress: Progress | None,
    ) -> Arrival:
        """Fetch the content of a delivery, going on where an earlier attempt ended.

        Args:
            provider: from whom.
            opened: what it answered.
            package: the key package, opened and compared with the ledger; `package.delivery` is the id on the wire.
            target: folder that the file or folder is to appear in, by one rename when all of it is there.
            progress: told of bytes.

        Raises:
            NodeError: it could not be fetched, or was not what the package says; nothing is under the final name.
        """
        ...
