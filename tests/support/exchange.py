"""What travels between offices, in one process: `office.ports.Peers` that hands notes and data straight to the other side.

The data goes through the real halves of the data plane (`Sender`, `Opener`, `Landing`), without TLS between them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tallystick.dataplane import KeyPackage
from tallystick.dataplane.landing import Landing
from tallystick.dataplane.receiving import Opener
from tallystick.dataplane.refusals import AccessRefusedError, TransferCutError
from tallystick.dataplane.sending import Sender
from tallystick.errors import NodeError, PeerError, RejectedError
from tallystick.office import Office
from tallystick.office.ports import Arrival, OpenedDelivery, Progress


class Exchange:
    """All connections of a zone.

    Attributes:
        offices: by organisation.
        down: organisations that cannot be reached.
        notes: every note that was brought to somebody: (from, to, note).
        tamper: changes notes on their way; (from, to, note) -> note.
        swap: changes what a provider answers when a delivery is opened.
        cut_after: a fetch is cut when so many batches have arrived; None for never.
        on_batch: called after each batch that arrived.
    """

    def __init__(self) -> None:
        self.offices: dict[str, Office] = {}
        self.down: set[str] = set()
        self.notes: list[tuple[str, str, bytes]] = []
        self.tamper: Callable[[str, str, bytes], bytes] = lambda sender, recipient, note: note
        self.swap: Callable[[OpenedDelivery], OpenedDelivery] = lambda opened: opened
        self.cut_after: int | None = None
        self.on_batch: Callable[[], None] = lambda: None

    def way_of(self, organisation: str) -> Way:
        """Return the way out of one organisation's node."""
        return Way(self, organisation)

    def reach(self, caller: str, organisation: str) -> Office:
        """Return the office at the other end of a connection.

        Raises:
            PeerError: one of the two is cut off.
        """
        if {caller, organisation} & self.down or organisation not in self.offices:
            raise PeerError(f"the node of {organisation} cannot be reached", remedy="Try again later.")
        return self.offices[organisation]


class Way:
    """One organisation's connections to the others."""

    def __init__(self, exchange: Exchange, organisation: str) -> None:
        self._exchange = exchange
        self._me = organisation

    async def send_note(self, organisation: str, note: bytes) -> bool:
        """See `Peers.send_note`."""
        try:
            office = self._exchange.reach(self._me, organisation)
        except PeerError:
            return False
        changed = self._exchange.tamper(self._me, organisation, note)
        self._exchange.notes.append((self._me, organisation, changed))
        office.notes.receive(self._me, changed)
        return True

    async def open_delivery(self, provider: str, agreement: str) -> OpenedDelivery:
        """See `Peers.open_delivery`."""
        office = self._exchange.reach(self._me, provider)
        try:
            return self._exchange.swap(await office.deliveries.open_for(self._me, agreement))
        except (RejectedError, NodeError) as error:
            raise _refused(provider, error) from None

    async def fetch(
        self,
        provider: str,
        opened: OpenedDelivery,
        package: KeyPackage,
        target: Path,
        progress: Progress | None,
    ) -> Arrival:
        """See `Peers.fetch`."""
        office = self._exchange.reach(self._me, provider)
        try:
            grant = await office.deliveries.authorise(self._me, package.delivery)
        except NodeError as error:
            raise _refused(provider, error) from None
        sender, opener = Sender(grant), Opener(package, grant.sidecar.leaves)
        head = sender.layout.place(sender.layout.manifest_chunks - 1)
        manifest, layout = opener.open_manifest(bytes(sender.render(0, head.chunk + 1)))
        landing = Landing(target, package.delivery)
        try:
            first = landing.prepare(opener, manifest, layout)
            for count, places in enumerate(layout.batches(first, layout.chunks)):
                if self._exchange.cut_after is not None and count >= self._exchange.cut_after:
                    landing.record()
                    raise TransferCutError(f"the connection to {provider} was lost", remedy="Fetch again.")
                landing.write(places, memoryview(sender.render(places[0].chunk, places[-1].chunk + 1)))
                landing.written(places)
                self._exchange.on_batch()
                if progress is not None:
                    progress(sum(place.size for place in places), package.size)
            path = landing.finish()
        finally:
            landing.close()
        return Arrival(path, bytes.fromhex(package.fingerprint), package.files, package.size)


def _refused(provider: str, error: RejectedError | NodeError) -> AccessRefusedError:
    """Return a refusal as it arrives at the other end."""
    remedy = error.remedy if isinstance(error, NodeError) else f"Ask the data officer of {provider}."
    return AccessRefusedError(
        f"{provider} refuses: {error.message if isinstance(error, NodeError) else error}", remedy=remedy
    )
