"""A random course of business over the house's own rulebook, planned before anybody knows what state it will meet.

A plan says who does what with the how-manieth dataset, request or agreement; which one that is, and who could do it, is
looked up when the transaction is signed. So a script of plans is small, can be shrunk, and still gets far: much of it is
accepted, much is refused by number, and some of it is no transaction at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tallystick.codec import sha256, tagged_hash
from tallystick.machine import Message, Reader, State, build_transaction
from tallystick.modules.agreements.ops import (
    ApproveRequest,
    CancelRequest,
    CounterRequest,
    RejectRequest,
    SendRequest,
    TerminateAgreement,
)
from tallystick.modules.agreements.records import AGREEMENTS, REQUESTS, Request
from tallystick.modules.catalogue.ops import ReviseDataset, WithdrawDataset
from tallystick.modules.catalogue.records import DATASETS
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.modules.organisations.ops import RenameOrganisation
from tests.support.market import content, digest, offer_message, sending, use_under
from tests.support.zones import BANK, CITY, HOSPITAL, UNIVERSITY, signing_key

PARTIES = (HOSPITAL, UNIVERSITY, BANK, CITY)
ABOUT_DATASETS = ("offer", "request", "revise", "withdraw")
ABOUT_REQUESTS = ("approve", "cancel", "counter", "reject")
ABOUT_AGREEMENTS = ("deliver", "terminate")
OTHERS = ("attest", "broken", "rename")
# What may be wrong with a transaction as a whole. Those of `NEVER_ADMITTED` are known to be bad by their bytes and the
# clock alone; `brief` ones expire while they wait.
NEVER_ADMITTED = ("elsewhere", "expired", "garbage", "late", "stranger", "unsigned")
FAULTS = (*NEVER_ADMITTED, "brief", "claim", "repeat", "role")
BRIEF_MS = 120
# Bytes that are no operation: nothing, no type, an unknown one, an unknown field, no JSON.
BROKEN = (b"", b"{}", b'{"type":"fly"}', b'{"count":1,"root":"","type":"record_evidence","u":1}', b"\xff")


@dataclass(frozen=True)
class Deed:
    """One operation that is to be asked for.

    Attributes:
        kind: what.
        pick: with which of those that there are then.
    """

    kind: str
    pick: int


@dataclass(frozen=True)
class Plan:
    """One transaction that is to be signed, or what comes instead of one.

    Attributes:
        actor: who signs; None for one who may do the first deed.
        deeds: its operations.
        atomic: one rejected operation rejects all.
        fault: "" for none, else one of `FAULTS`.
    """

    actor: str | None
    deeds: tuple[Deed, ...]
    atomic: bool
    fault: str


@dataclass(frozen=True)
class Moment:
    """What an author knows when it signs.

    Attributes:
        reader: records of its copy.
        seen: size and root of its copy's history.
        now_ms: its clock.
        genesis: hash of the zone's.
    """

    reader: Reader
    seen: tuple[int, bytes]
    now_ms: int
    genesis: bytes


deeds = st.builds(
    Deed,
    kind=st.sampled_from((*ABOUT_DATASETS[:3], "approve", *ABOUT_AGREEMENTS * 2, *ABOUT_REQUESTS, *OTHERS, "withdraw")),
    pick=st.integers(0, 30),
)


def plans(faults: Sequence[str]) -> st.SearchStrategy[Plan]:
    """Return a strategy of transactions, one in four of them with one of these faults."""
    return st.builds(
        Plan,
        actor=st.sampled_from((None, None, None, *PARTIES)),
        deeds=st.lists(deeds, min_size=1, max_size=2).map(tuple),
        atomic=st.booleans(),
        fault=st.one_of(st.just(""), st.just(""), st.just(""), st.sampled_from(tuple(faults))),
    )


def sign_plan(plan: Plan, number: int, moment: Moment, earlier: Sequence[bytes]) -> bytes:
    """Return the bytes of a planned transaction.

    Args:
        plan: what is to be done.
        number: makes it another one than all before.
        moment: what its author knows.
        earlier: those sent before, which a repetition is taken from.
    """
    if plan.fault == "repeat" and earlier:
        return earlier[number % len(earlier)]
    state = State(moment.reader)
    wished = plan.actor
    operations: list[Message | bytes] = []
    for deed in plan.deeds:
        fitting, operation = _make(deed, state, wished, number + len(operations))
        wished = wished or fitting
        operations.append(operation)
    actor = wished or HOSPITAL
    purpose = {"stranger": "stranger", "role": "system"}.get(plan.fault, "service")
    key = signing_key(actor, purpose)
    size, root = moment.seen
    raw = build_transaction(
        operations,
        organisation=next(name for name in PARTIES if name != actor) if plan.fault == "claim" else actor,
        key=key.verify_key.encode(),
        sign=lambda data: key.sign(data).signature,
        external_aad=moment.genesis,
        expires=moment.now_ms + {"expired": -1_000, "brief": BRIEF_MS, "late": 7_200_000}.get(plan.fault, 600_000),
        nonce=tagged_hash(b"tests/trade", number.to_bytes(8, "big")).hex()[:32],
        seen_size=size,
        seen_root=sha256(root) if plan.fault == "elsewhere" else root,
        atomic=plan.atomic,
    )
    if plan.fault == "garbage":
        return raw[: number % len(raw)] + b"\x00"
    if plan.fault == "unsigned":
        at = raw.index(b"\x58\x40") + 2 + number % 64
        return raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
    return raw


def _make(deed: Deed, state: State, actor: str | None, number: int) -> tuple[str | None, Message | bytes]:
    """Return who could do something, and the operation; what there is nothing for yet, one step before it instead."""
    stray = deed.pick % 11 == 0
    kind = deed.kind
    if kind in ABOUT_AGREEMENTS:
        key, agreement = _pick(dict(state.scan(AGREEMENTS)), deed.pick)
        if agreement is None and not stray:
            kind = "approve"
        elif kind == "terminate":
            return getattr(agreement, "consumer", None), TerminateAgreement(agreement=key or "agr-none")
        else:
            honest = {} if deed.pick % 3 else {"fingerprint": digest("other")}
            return getattr(agreement, "provider", None), sending(key or "agr-none", 1, "one", **honest)
    if kind in ABOUT_REQUESTS:
        key, request = _pick(dict(state.scan(REQUESTS)), deed.pick)
        if request is not None:
            return _about_request(kind, deed.pick, key, request)
        if stray:
            return None, CancelRequest(request="req-none")
        kind = "request"
    if kind in ABOUT_DATASETS:
        return _about_dataset(kind, deed.pick, state, actor)
    if kind == "broken":
        return None, BROKEN[deed.pick % len(BROKEN)]
    if kind == "rename":
        return None, RenameOrganisation(name=f"Name {deed.pick}")
    return None, RecordEvidence(root=digest(f"evidence {0 if stray else number}"), count=1 + deed.pick)


def _about_dataset(kind: str, pick: int, state: State, actor: str | None) -> tuple[str | None, Message]:
    datasets = {
        key: each for key, each in state.scan(DATASETS) if actor is None or kind == "request" or each.owner == actor
    }
    name, dataset = _pick(datasets, pick)
    if kind == "offer" or dataset is None:
        owner = PARTIES[pick % 2] if actor is None or pick % 11 == 0 else actor
        return owner, offer_message(f"{owner}/set-{pick % 3}", ("default", "open-within-zone")[pick % 2])
    owner = name.partition("/")[0]
    if kind == "revise":
        return owner, ReviseDataset(name=name, version=content(str(pick % 3)))
    if kind == "withdraw":
        return owner, WithdrawDataset(name=name)
    consumer = next(each for each in PARTIES[1 + pick % 3 :] + PARTIES if each != owner)
    return consumer, SendRequest(dataset=name, private=digest("purpose"), terms=dataset.terms)


def _about_request(kind: str, pick: int, key: str, request: Request) -> tuple[str | None, Message]:
    turn = request.provider if request.proposed_by == request.consumer else request.consumer
    if kind == "approve" or kind in ABOUT_AGREEMENTS:
        return turn, ApproveRequest(request=key, terms=digest("stale") if pick % 11 == 0 else request.terms)
    if kind == "counter":
        proposal = use_under(("elapsedTime", "lteq", f"P{1 + pick}D"), dataset=request.dataset)
        return turn, CounterRequest(request=key, proposal=proposal)
    if kind == "cancel":
        return request.consumer, CancelRequest(request=key)
    return turn, RejectRequest(request=key)


def _pick(things: Mapping[str, Any], number: int) -> tuple[str, Any]:
    """Return one of what there is; nothing where there is none."""
    names = sorted(things)
    return (names[number % len(names)], things[names[number % len(names)]]) if names else ("", None)
