"""set_engine: an organisation says which distributed engine it runs, and with which key that votes on blocks.

Contract: the consensus key signed that it is meant for this organisation and zone, and was never announced before, by
whomever; the node id is no other organisation's. Where the organisation orders already, the engine votes with the new key
from the block after the next on. To change the address alone, the key on record is given again.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.codec import MalformedError
from tallystick.codec.cards import check_address
from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.engines import check_engine_form, check_engine_free, put_engine, put_seating
from tallystick.modules.organisations.possession import check_consensus_possession, check_key, check_proof_form
from tallystick.modules.organisations.queries import get_zone
from tallystick.modules.organisations.records import ENGINES, Hash, Signature
from tallystick.modules.organisations.rejections import BAD_ENGINE, NOTHING_CHANGES


class SetEngine(Message, kw_only=True, tag="set_engine"):
    """Announce an engine.

    Attributes:
        consensus: Ed25519 key that it votes with.
        node: its node id, 40 characters of lower-case hex.
        address: `host:port` where it listens to other engines.
        proof: the consensus key's signature (`possession`).
    """

    consensus: Hash
    node: Annotated[str, msgspec.Meta(min_length=40, max_length=40)]
    address: Annotated[str, msgspec.Meta(min_length=1, max_length=260)]
    proof: Signature


class EngineSet(Event, kw_only=True, tag="engine_set"):
    """An organisation runs this engine; `retired` is the consensus key that it votes with no more, or empty."""

    organisation: str
    consensus: str
    node: str
    address: str
    retired: str


def validate(msg: SetEngine) -> None:
    """Check the form of all fields."""
    check_key(msg.consensus, "consensus")
    check_engine_form(msg.node)
    check_proof_form(msg.proof)
    try:
        check_address(msg.address)
    except MalformedError:
        raise BAD_ENGINE(field="address") from None


def apply(state: State, ctx: Context, msg: SetEngine) -> list[Event]:
    """Put the engine on record, in place of the one before."""
    # READ
    before = state.find(ENGINES, ctx.organisation)
    # CHECK
    if before is not None and (before.consensus, before.node, before.address) == (msg.consensus, msg.node, msg.address):
        raise NOTHING_CHANGES()
    check_engine_free(state, ctx.organisation, msg.consensus, msg.node)
    check_consensus_possession(get_zone(state).chain, ctx.organisation, msg.consensus, msg.proof)
    retired = before.consensus if before is not None and before.consensus != msg.consensus else ""
    # WRITE
    put_engine(state, ctx.organisation, msg.consensus, msg.node, msg.address, ctx.time)
    if retired and ctx.organisation in get_zone(state).validators:
        put_seating(state, ctx.height, ctx.time)
    # EVENTS
    return [
        EngineSet(
            organisation=ctx.organisation,
            consensus=msg.consensus,
            node=msg.node,
            address=msg.address,
            retired=retired,
        )
    ]


OPERATION = Operation(SetEngine, "system", validate, apply, "say which distributed engine one runs")
