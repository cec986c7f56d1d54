"""Who spoke for the zone at which point of the history: worked out from the replayed state, never from the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from tallystick.codec import encode_json
from tallystick.machine import State
from tallystick.modules.organisations.queries import handed_over_at, members, validators
from tallystick.proofs.trust import TrustFile, first_entry


@dataclass(frozen=True, slots=True)
class Membership:
    """Who orders, sorted, and the `system` key of every member, theirs included.

    Attributes:
        validators: ids.
        keys: by id.
        handed_over: block in which the order was handed over to all validators, if it was.
    """

    validators: tuple[str, ...]
    keys: Mapping[str, bytes]
    handed_over: int | None = None


@dataclass(frozen=True, slots=True)
class MembershipReader:
    """Reads the membership from a state.

    Attributes:
        read: does it.
        collections: it is asked anew only after a block that wrote to one of these.
    """

    read: Callable[[State], Membership]
    collections: frozenset[str]


def _read_organisations(state: State) -> Membership:
    keys = {member.organisation: bytes.fromhex(member.key) for member in members(state)}
    return Membership(tuple(member.organisation for member in validators(state)), keys, handed_over_at(state))


ORGANISATIONS = MembershipReader(_read_organisations, frozenset({"keys", "organisations", "zone"}))


class Succession:
    """The versions of the trust file that the ledger leads to.

    A version holds for histories larger than that of the block that made it: that block's own header is still signed
    by those who ordered in the version before.
    """

    def __init__(self, chain: str, genesis: bytes, first: Membership) -> None:
        """Begin with the members of a genesis.

        Args:
            chain: chain id.
            genesis: its hash.
            first: membership before the first block.

        Raises:
            TrustError: these cannot be the members of a zone.
        """
        self.trust = TrustFile(chain, genesis, (first_entry(first.keys, first.validators),))

    def skip_to(self, trust: TrustFile) -> None:
        """Go on from later versions, which the caller has found to follow from this one."""
        entries = [replace(entry, signatures=()) for entry in trust.entries]
        self.trust = TrustFile(trust.chain, trust.genesis, entries)

    @property
    def validators(self) -> Mapping[str, bytes]:
        """Organisation -> key of those who must sign the next header."""
        return self.trust.latest.validators

    def follow(self, now: Membership, *, height: int, size: int, history_root: bytes) -> None:
        """Take up the membership after a block.

        Args:
            now: after the block.
            height: of the block.
            size: of the history after it.
            history_root: of that history.

        Raises:
            TrustError: these cannot be the members of a zone.
            KeyError: one that orders is not among them.
        """
        latest = self.trust.latest
        root = history_root if now.handed_over == height else None
        if dict(now.keys) == dict(latest.members) and now.validators == tuple(latest.validators) and root is None:
            return
        entry = self.trust.next_entry(now.keys, validators=now.validators, height=height, since=size + 1, root=root)
        self.trust = TrustFile(self.trust.chain, self.trust.genesis, (*self.trust.entries, entry))

    def signers_of(self, version: int) -> Mapping[str, bytes]:
        """Return organisation -> key of those who may sign a version: the members of the one before."""
        if version == 1:
            return self.trust.version(1).validators
        return self.trust.members(version - 1)

    def entry_text(self, version: int) -> str:
        """Return a version as the ledger keeps it, without signatures."""
        return encode_json(self.trust.entries[version - 1]).decode()
