"""What other engines tell of three heights, judged before this node's own engine begins with it. Pure.

To begin behind block H an engine needs the headers of H, H+1 and H+2 with the signatures under them, the validators of each
with the order in which they take turns, and the engines' parameters. Its light client checks the hashes, and that more
than two thirds of the validators have signed. What it cannot know is checked here:

- the validators of each height are those that the ledger names: what anybody else signed has no weight;
- the header of H+1 has the app hash that the ledger has after block H;
- whose turn it is, and how long evidence counts, is in no header: as many must tell the same as must include an honest one.

So a liar can make this node ask others, and not more.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tallystick.codec import MalformedError, sha256

HEIGHTS = 3


class _BlockId(msgspec.Struct):
    hash: str


class _Header(msgspec.Struct):
    chain_id: str
    height: str
    app_hash: str


class _Commit(msgspec.Struct):
    block_id: _BlockId


class _SignedHeader(msgspec.Struct):
    header: _Header
    commit: _Commit


class _CommitAnswer(msgspec.Struct):
    signed_header: _SignedHeader


class _Key(msgspec.Struct):
    value: str


class _Validator(msgspec.Struct):
    pub_key: _Key
    voting_power: str
    proposer_priority: str


class _ValidatorsAnswer(msgspec.Struct):
    block_height: str
    validators: list[_Validator]
    total: str


_commit_decoder = msgspec.json.Decoder(_CommitAnswer)
_validators_decoder = msgspec.json.Decoder(_ValidatorsAnswer)
_any_decoder = msgspec.json.Decoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")


class LightBlock(NamedTuple):
    """What one engine tells of a height.

    Attributes:
        chain: chain id.
        height: of the block.
        hash: of its header, hex.
        app_hash: after the block before, hex.
        powers: consensus key -> power.
        turns: consensus key -> how near its turn to propose is.
    """

    chain: str
    height: int
    hash: str
    app_hash: str
    powers: Mapping[bytes, int]
    turns: Mapping[bytes, int]


class Told(NamedTuple):
    """What one member's engine tells: answers of its RPC, as they are.

    Attributes:
        commits: of H, H+1 and H+2.
        validators: of the same.
        parameters: of H+1.
    """

    commits: Sequence[str]
    validators: Sequence[str]
    parameters: str


def read_light_block(commit: str, validators: str) -> LightBlock:
    """Return what two answers of an engine say.

    Raises:
        MalformedError: they are not of their form, or of two heights.
    """
    try:
        signed = _commit_decoder.decode(commit).signed_header
        listed = _validators_decoder.decode(validators)
        height = int(signed.header.height)
        powers = {_key(each): int(each.voting_power) for each in listed.validators}
        turns = {_key(each): int(each.proposer_priority) for each in listed.validators}
        fits = int(listed.block_height) == height and int(listed.total) == len(listed.validators) == len(powers)
    except (msgspec.MsgspecError, ValueError, RecursionError, binascii.Error):
        raise MalformedError("not what an engine answers") from None
    if not fits:
        raise MalformedError("the validators are not all, or of another height")
    header = signed.header
    return LightBlock(
        header.chain_id, height, signed.commit.block_id.hash.lower(), header.app_hash.lower(), powers, turns
    )


def _key(validator: _Validator) -> bytes:
    return base64.b64decode(validator.pub_key.value, validate=True)


def judge(
    told: Told, *, chain: str, height: int, app_hash: bytes, seats: Callable[[int], Mapping[bytes, int]]
) -> tuple[str, bytes]:
    """Return the hash of the header of H, and a digest of all that others must tell the same.

    Args:
        told: by one member's engine.
        chain: chain id.
        height: H.
        app_hash: after block H, as the ledger has it.
        seats: gives the validators of a height, as the ledger has them: consensus key -> power.

    Raises:
        MalformedError: it is not of its form, or not of this history; `reason` says what.
    """
    if len(told.commits) != HEIGHTS or len(told.validators) != HEIGHTS:
        raise MalformedError("not three heights")
    blocks = [read_light_block(*pair) for pair in zip(told.commits, told.validators, strict=True)]
    for at, block in enumerate(blocks, start=height):
        if block.height != at:
            raise MalformedError(f"a header of block {block.height} for one of block {at}")
        if block.chain != chain:
            raise MalformedError(f"a header of the chain {block.chain[:80]}")
        if dict(block.powers) != dict(seats(at)):
            raise MalformedError(f"other validators of block {at} than the ledger names")
    if blocks[1].app_hash != app_hash.hex():
        raise MalformedError(f"another app hash after block {height} than the ledger has")
    try:
        parameters = _any_decoder.decode(told.parameters)
    except (msgspec.MsgspecError, RecursionError):
        raise MalformedError("no parameters") from None
    same = [[block.hash, sorted((key.hex(), turn) for key, turn in block.turns.items())] for block in blocks]
    return blocks[0].hash, sha256(_sorted_encoder.encode([same, parameters]))


def choose_height(since: int, until: int, *, wanted: int, below: int) -> int:
    """Return the block behind which an engine can begin that is nearest to a wanted one; 0 where there is none.

    Args:
        since: the first block that enough others have.
        until: the last one.
        wanted: behind which it should begin.
        below: only lower blocks than this.
    """
    height = min(max(wanted, since), below - 1, until - HEIGHTS + 1)
    return height if height >= since else 0


def enough_have(first: Sequence[int], last: Sequence[int], needed: int) -> tuple[int, int]:
    """Return from which block on, and up to which, enough others say to have them; one liar too few moves neither."""
    return sorted(first)[needed - 1], sorted(last, reverse=True)[needed - 1]


def sources_needed(seats: int, others: int) -> int:
    """Return how many must tell the same: one more than can lie, and two where there are two.

    Args:
        seats: validators of the zone.
        others: of these, those that are not this node's.
    """
    return max((seats - 1) // 3 + 1, min(2, others))
