"""Signatures of headers where several order together: collected until more than two thirds of them have signed.

A block is on disk, with this node's own signature, before anybody is told of it; the others' arrive by and by. A block
is sealed once a quorum signed it, and then goes out to those who follow. Each header names the hash of the one before,
so the quorum under a block speaks for all before it too. Where one organisation orders, every block is sealed as made.

What a crash loses are signatures of others that were not written yet; they are asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tallystick.ledger.ports import Store
from tallystick.ledger.trustkeeper import TrustKeeper
from tallystick.proofs.headers import (
    Header,
    HeaderSignature,
    decode_header,
    decode_signatures,
    encode_signatures,
    quorum,
    verify_signature,
)

MOST_EARLY = 4_096
"""Signatures of blocks that this copy has not reached yet. Those of blocks further ahead than this leaves room for, one
for each that orders, are dropped and asked for again: nobody can take the places of the others."""


# So many blocks behind the last sealed one, late signatures are no longer waited for.
_LINGER = 16


class SignedHeight(NamedTuple):
    """One signature of the header of a height, as nodes exchange them."""

    height: int
    organisation: str
    signature: str


class _Early(NamedTuple):
    """A signature of a block that this copy has not reached, and whether the organisation itself brought it."""

    signature: str
    first_hand: bool


class _Open:
    """A block that is not sealed yet."""

    def __init__(self, header: Header, validators: Mapping[str, bytes], signatures: Sequence[HeaderSignature]) -> None:
        self.header = header
        self.validators = validators
        self.signatures = {each.organisation: each for each in signatures}

    @property
    def sealed(self) -> bool:
        return len(self.signatures) >= quorum(len(self.validators))


class Seals:
    """The header signatures of one node's copy.

    Attributes:
        sealed: height of the last block with a quorum that is on disk.
        contradictions: organisation -> first height of which it has itself brought a signature that is not of this copy's
            header. It convinces nobody else: what the other header says is not known.
        bad: how many signatures were handed in that are not their validator's.
    """

    def __init__(self, store: Store, trust: TrustKeeper) -> None:
        """Take up what is stored.

        Args:
            store: this node's copy.
            trust: tells who ordered at which height.
        """
        self._store = store
        self._trust = trust
        self._open: dict[int, _Open] = {}
        self._early: dict[tuple[int, str], _Early] = {}
        self._dirty: set[int] = set()
        self.contradictions: dict[str, int] = {}
        self.sealed = 0
        self.bad = 0
        last = store.last_block()
        if last is not None:
            self._resume(last.height)

    def _resume(self, height: int) -> None:
        """Look back from the last block to the newest one with a quorum, which speaks for those before it."""
        unsealed: list[tuple[int, _Open]] = []
        for found, header, signatures in self._store.signed_headers_down_from(height):
            block = self._opened(found, header, signatures)
            if block.sealed:
                self.sealed = found
                break
            unsealed.append((found, block))
        self._open.update(reversed(unsealed))

    def _opened(self, height: int, header: bytes, signatures: bytes) -> _Open:
        return _Open(decode_header(header), self.validators_at(height), decode_signatures(signatures))

    def validators_at(self, height: int) -> Mapping[str, bytes]:
        """Return organisation -> `system` key of those who sign the header of a height."""
        versions = [version for version in self._trust.derived.versions if version.height < height]
        return (versions or self._trust.derived.versions)[-1].validators

    def made(self, height: int, header: bytes, signatures: bytes) -> None:
        """Take note of a block that is on disk."""
        if len(self.validators_at(height)) == 1:
            self.sealed = height
            return
        block = self._opened(height, header, signatures)
        self._open[height] = block
        for place in [each for each in self._early if each[0] <= height]:
            early = self._early.pop(place)
            if place[0] == height:
                self._take(SignedHeight(height, place[1], early.signature), block, first_hand=early.first_hand)
        self._advance()

    def add(self, given: SignedHeight, *, first_hand: bool = False) -> bool:
        """Take a signature from another node.

        Args:
            given: the signature.
            first_hand: whether the node is that of the organisation that is said to have signed.

        Returns:
            whether it is good and new; one beyond this copy is kept for later.
        """
        block = self._open.get(given.height)
        if block is None:
            self._keep_early(given, first_hand)
            return False
        taken = self._take(given, block, first_hand=first_hand)
        self._advance()
        return taken

    def _keep_early(self, given: SignedHeight, first_hand: bool) -> None:
        last = self._store.last_block()
        ahead = given.height - (0 if last is None else last.height)
        validators = self.validators_at(given.height)
        if len(validators) > 1 and given.organisation in validators and 0 < ahead <= MOST_EARLY // len(validators):
            self._early[given.height, given.organisation] = _Early(given.signature, first_hand)

    def _take(self, given: SignedHeight, block: _Open, *, first_hand: bool) -> bool:
        organisation, signature = given.organisation, given.signature
        key, known = block.validators.get(organisation), block.signatures.get(organisation)
        if key is None or (known is not None and (known.signature == signature or not first_hand)):
            return False
        if not verify_signature(block.header, signature, key):
            self.bad += 1
            if first_hand:
                self.contradictions.setdefault(organisation, given.height)
            return False
        if known is not None:
            return False
        block.signatures[organisation] = HeaderSignature(organisation=organisation, signature=signature)
        self._dirty.add(given.height)
        return True

    def _advance(self) -> None:
        """Move `sealed` over a block whose quorum is on disk, and over what is before it."""
        ready = (height for height, block in self._open.items() if block.sealed and height not in self._dirty)
        newest = max(ready, default=0)
        if newest > self.sealed:
            self.sealed = newest
        # A sealed block waits a little for the signatures that are still on their way: they make receipts stronger. One
        # that is not sealed itself waits as long as it takes: it goes out to others only then.
        over = [height for height, block in self._open.items() if self._is_over(height, block)]
        for height in over:
            del self._open[height]

    def _is_over(self, height: int, block: _Open) -> bool:
        if not block.sealed or height in self._dirty:
            return False
        return height <= self.sealed - _LINGER or len(block.signatures) == len(block.validators)

    def flush(self) -> bool:
        """Write what came in; return whether there was anything.

        Raises:
            StorageError: nothing was written; it is tried again at the next flush.
        """
        if not self._dirty:
            return False
        rows = [
            (height, encode_signatures(list(self._open[height].signatures.values()))) for height in sorted(self._dirty)
        ]
        self._store.put_signatures(rows)
        self._dirty.clear()
        self._advance()
        return True

    def known(self, first: int, last: int) -> list[SignedHeight]:
        """Return the signatures that this copy has of some heights, for other nodes."""
        found: list[SignedHeight] = []
        for height, _, signatures in self._store.signed_headers_down_from(last):
            if height < first:
                break
            block = self._open.get(height)
            listed = decode_signatures(signatures) if block is None else tuple(block.signatures.values())
            found += [SignedHeight(height, each.organisation, each.signature) for each in listed]
        return found

    @property
    def lacking(self) -> int:
        """Lowest height that signatures are still sought for; 0 where there is none.

        That a later block is sealed is enough for those who follow, not for receipts of the last operations: they need
        signatures under the very block after which the history had its size.
        """
        return min((at for at, block in self._open.items() if not block.sealed or at in self._dirty), default=0)
