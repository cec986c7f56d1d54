"""What the organisations module keeps: the zone, its members, their keys, and what is being decided about them.

Keys and hashes are lower-case hex, times are ms since the epoch.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tallystick.codec.cards import ROLES
from tallystick.machine import Collection, Record

ZONE_KEY = "zone"
RECOVERY_ROLE = "recovery"
KEY_ROLES = ROLES
MAX_KEYS = 16
"""Active keys of one organisation, its recovery key not counted."""
VOTE_PERIOD_MS = 30 * 86_400_000
"""How long a round of votes stays open."""

Time = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
Signature = Annotated[str, msgspec.Meta(min_length=128, max_length=128)]
OrganisationId = Annotated[str, msgspec.Meta(max_length=40)]
Role = Annotated[str, msgspec.Meta(max_length=20)]
Question = Literal["suspend", "reinstate", "promote", "demote"]
Roles = Annotated[tuple[Role, ...], msgspec.Meta(min_length=1, max_length=len(KEY_ROLES))]


class Zone(Record, kw_only=True):
    """The zone itself: set by its genesis; votes change who validates and who orders.

    Attributes:
        name: how people call it.
        chain: chain id.
        created_at: when it was made.
        orderer: the organisation that orders alone; empty where the validators order together.
        validators: the organisations that vote on members, sorted.
    """

    name: str
    chain: str
    created_at: Time
    orderer: str
    validators: tuple[str, ...]


class Organisation(Record, kw_only=True):
    """A member as it is now.

    Attributes:
        organisation: its id.
        name: how people call it.
        status: a suspended organisation's transactions are refused.
        keys: its active keys, sorted; never without one of role `security`, always with one of role `system`.
        recovery: its recovery key.
        encryption: its X25519 key, which content keys are sealed to.
        tls_pins: SHA-256 of the SubjectPublicKeyInfo of its TLS keys, sorted.
        address: `host:port` of its node; left out where nothing can connect to it.
        admitted_at: when it became a member.
        admitted_height: in which block; 0 for the genesis.
        suspended_at: when it was suspended, while it is.
        motion: id of the motion on suspending or reinstating it, if one is open.
        seat_motion: id of the motion on its place among the validators, if one is open.
        recovering: id of the recovery that waits, if any.
    """

    organisation: str
    name: str
    status: Literal["active", "suspended"]
    keys: tuple[str, ...]
    recovery: str
    encryption: str
    tls_pins: tuple[str, ...] = ()
    address: str = ""
    admitted_at: Time
    admitted_height: Time
    suspended_at: Time | None = None
    motion: str | None = None
    seat_motion: str | None = None
    recovering: str | None = None


class Key(Record, kw_only=True):
    """A public key; it belongs to one organisation for ever, also after it was revoked.

    Attributes:
        organisation: whose it is.
        roles: sorted; `recovery` alone for a recovery key.
        added_at: from when it was good.
        revoked_at: from when it is not, if it was revoked.
    """

    organisation: str
    roles: tuple[str, ...]
    added_at: Time
    revoked_at: Time | None = None


class Candidate(Record, kw_only=True):
    """A card that validators vote on; its key is the card's fingerprint.

    Attributes:
        organisation: the id that the card asks for.
        name: the name on the card.
        votes: validators that voted for it in this round, in the order of their votes.
        opened_at: when the round began.
        closes_at: until when votes count for this round.
        status: open or admitted.
        admitted_at: when it was.
    """

    organisation: str
    name: str
    votes: tuple[str, ...]
    opened_at: Time
    closes_at: Time
    status: Literal["open", "admitted"]
    admitted_at: Time | None = None


class Motion(Record, kw_only=True):
    """A vote on a member: on suspending or reinstating it, or on its place among the validators.

    Attributes:
        organisation: whom it is about.
        question: what is asked.
        votes: validators in favour, in the order of their votes.
        opened_at: when the round began.
        closes_at: until when votes count for this round.
        status: open or carried.
        carried_at: when it was.
    """

    organisation: str
    question: Question
    votes: tuple[str, ...]
    opened_at: Time
    closes_at: Time
    status: Literal["open", "carried"]
    carried_at: Time | None = None


class RecoveredKey(Record, kw_only=True):
    """A key that a recovery installs.

    Attributes:
        key: the public key.
        roles: sorted.
    """

    key: str
    roles: tuple[str, ...]


class Recovery(Record, kw_only=True):
    """A replacement of all keys of an organisation, announced by its recovery key.

    Attributes:
        organisation: whose keys.
        keys: what will be installed.
        recovery: the next recovery key, if it is replaced too.
        started_at: when it was announced.
        ready_at: from when it may be finished; until then a security key may cancel it.
        status: waiting, cancelled or finished.
        ended_at: when it was cancelled or finished.
    """

    organisation: str
    keys: tuple[RecoveredKey, ...]
    recovery: str | None = None
    started_at: Time
    ready_at: Time
    status: Literal["waiting", "cancelled", "finished"]
    ended_at: Time | None = None


class Engine(Record, kw_only=True):
    """The distributed engine that an organisation runs.

    Attributes:
        organisation: whose it is.
        consensus: Ed25519 key that it votes with on blocks, where the organisation is one of those who order.
        node: how other engines know it: the first 20 bytes of the SHA-256 of its Ed25519 node key.
        address: `host:port` where it listens to other engines.
        announced_at: from when this is so.
    """

    organisation: str
    consensus: str
    node: str
    address: str
    announced_at: Time


class ConsensusKey(Record, kw_only=True):
    """A consensus key that was announced; no engine ever takes it up again once it was replaced.

    Attributes:
        organisation: who announced it.
        added_at: when.
        retired_at: when it was replaced, if it was.
    """

    organisation: str
    added_at: Time
    retired_at: Time | None = None


class Seat(Record, kw_only=True):
    """A place among those who order together, and the key that votes from it."""

    organisation: str
    consensus: str


class Seating(Record, kw_only=True):
    """Who orders together from the block after one on; its key is that block's height, 12 digits.

    Attributes:
        seats: sorted by organisation.
        since: time of that block.
    """

    seats: tuple[Seat, ...]
    since: Time


class Handover(Record, kw_only=True):
    """The passing of the order from one organisation to all validators, which each of them agreed to.

    Attributes:
        seats: who will order, sorted, and with which keys; an agreement is to exactly these.
        votes: validators that agreed, in the order of their votes.
        opened_at: when the round began.
        closes_at: until when votes count for this round.
        status: open or done.
        height: the last block of the organisation that ordered alone, once it is done.
        done_at: when it was.
    """

    seats: tuple[Seat, ...]
    votes: tuple[str, ...]
    opened_at: Time
    closes_at: Time
    status: Literal["open", "done"]
    height: Time | None = None
    done_at: Time | None = None


ZONE = Collection("zone", Zone, "the zone itself: one record")
ORGANISATIONS = Collection("organisations", Organisation, "members as they are now, by id")
KEYS = Collection("keys", Key, "every public key that was ever registered, by its hex")
CANDIDATES = Collection("candidates", Candidate, "cards that validators vote on, by fingerprint")
MOTIONS = Collection("motions", Motion, "votes on members and their places among the validators, by short id")
RECOVERIES = Collection("recoveries", Recovery, "replacements of keys by a recovery key, by short id")
ENGINES = Collection("engines", Engine, "the distributed engine of each organisation that runs one, by its id")
CONSENSUS_KEYS = Collection("consensus_keys", ConsensusKey, "every consensus key that was ever announced, by its hex")
HANDOVERS = Collection("handovers", Handover, "the passing of the order to all validators: one record")
SEATINGS = Collection("seatings", Seating, "who ordered together, and from which block on, by its height")
