"""The zone's own header of a decided block: every validator makes the same one, and signs it with its `system` key.

Whose engine follows without a seat makes the same header and does not sign it; the signatures come from the others.
"""

from __future__ import annotations

from collections.abc import Callable

from tallystick.keys import Signer
from tallystick.machine import BlockResult
from tallystick.ordering.cometbft.blocks import Sealed
from tallystick.proofs.headers import (
    Header,
    encode_header,
    encode_signatures,
    sign_header,
    transactions_root,
)


class HeaderSealer:
    """Makes and signs the headers of one ledger, each naming the one before."""

    def __init__(
        self,
        chain: str,
        organisation: str,
        signer: Signer,
        *,
        previous: Callable[[], bytes],
        has_seat: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepare.

        Args:
            chain: chain id of the zone.
            organisation: whose signature it is.
            signer: its `system` key.
            previous: returns the hash of the last header on disk, or of the genesis.
            has_seat: tells whether this organisation, with this key, is one of those who sign the next header.
        """
        self._has_seat = has_seat
        self._chain = chain
        self._organisation = organisation
        self._signer = signer
        self._previous = previous

    def seal(self, result: BlockResult) -> Sealed:
        """Return the header of a block that is about to be committed, with this organisation's signature.

        Nothing is remembered of it: a block whose commit fails is sealed again, and is the same.
        """
        header = Header(
            app_hash=result.app_hash.hex(),
            chain=self._chain,
            height=result.block.height,
            previous=self._previous().hex(),
            time=result.block.time,
            transactions_root=transactions_root(result.block.transactions).hex(),
        )
        signed = [sign_header(header, self._organisation, self._signer)] if self._has_seat() else []
        return Sealed(encode_header(header), encode_signatures(signed))
