"""The organisations of the zone, and who wants to join."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.api.routes.forms import END, Hash, Line
from tallystick.api.routing import Call, Form, Routes
from tallystick.api.settling import settle
from tallystick.views import ApplicationView, MemberView, OwnKeyChange, Recorded, Vote

routes = Routes("organisations")

Fingerprint = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Address = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[\x21-\x7e]*" + END)]
REGISTRATION = ("registration",)
SECURITY = ("security",)
LedgerRole = Annotated[str, msgspec.Meta(max_length=20)]


class Admission(Form):
    """The fingerprint that the applicant read out to you; not the one that this node shows."""

    fingerprint: Fingerprint


class AddressChange(Form):
    """Where other members reach this node: `host:port`, or empty for nowhere."""

    address: Address


class KeyRole(Form):
    """A role of one's own keys."""

    role: LedgerRole


class KeyToRotate(Form):
    """The role whose key is replaced, and its public key where there are several."""

    role: LedgerRole
    key: Hash | None = None


class KeyToRevoke(Form):
    """A public key of one's own, hex."""

    key: Hash


class Engine(Form):
    """The distributed engine that this organisation runs; `proof` is its consensus key's signature (`set_engine`)."""

    consensus: Hash
    node: Annotated[str, msgspec.Meta(min_length=40, max_length=40, pattern="^[0-9a-f]*" + END)]
    address: Annotated[Address, msgspec.Meta(min_length=1)]
    proof: Annotated[str, msgspec.Meta(min_length=128, max_length=128, pattern="^[0-9a-f]*" + END)]


class NameChange(Form):
    """How people call this organisation."""

    name: Annotated[Line, msgspec.Meta(min_length=1)]


@routes.add("GET", "/v1/organisations", returns=tuple[MemberView, ...])
async def list_organisations(call: Call) -> object:
    """The members of the zone."""
    return await settle(call.office.members.list())


@routes.add("GET", "/v1/organisations/{organisation}", returns=MemberView, missing=True)
async def get_organisation(call: Call) -> object:
    """One member, with its keys and address."""
    return await settle(call.office.members.show(call.path["organisation"]))


@routes.add("POST", "/v1/organisations/{organisation}/suspend", returns=Vote, roles=REGISTRATION, missing=True)
async def suspend_organisation(call: Call) -> object:
    """Vote to suspend a member."""
    call.need_scope("*")
    return await settle(call.office.members.suspend(call.path["organisation"]))


@routes.add("POST", "/v1/organisations/{organisation}/reinstate", returns=Vote, roles=REGISTRATION, missing=True)
async def reinstate_organisation(call: Call) -> object:
    """Vote to reinstate a suspended member."""
    call.need_scope("*")
    return await settle(call.office.members.reinstate(call.path["organisation"]))


@routes.add("POST", "/v1/organisations/{organisation}/promote", returns=Vote, roles=REGISTRATION, missing=True)
async def promote_validator(call: Call) -> object:
    """Vote to make a member a validator."""
    call.need_scope("*")
    return await settle(call.office.members.promote(call.path["organisation"]))


@routes.add("POST", "/v1/organisations/{organisation}/demote", returns=Vote, roles=REGISTRATION, missing=True)
async def demote_validator(call: Call) -> object:
    """Vote to take a member out of the validators; it stays a member."""
    call.need_scope("*")
    return await settle(call.office.members.demote(call.path["organisation"]))


@routes.add("POST", "/v1/zone/hand-over", returns=Vote, roles=REGISTRATION)
async def hand_over(call: Call) -> object:
    """Agree that all validators order together from now on.

    Where one organisation orders alone; the last validator that agrees makes it so.
    """
    call.need_scope("*")
    return await settle(call.office.members.hand_over())


@routes.add("GET", "/v1/applications", returns=tuple[ApplicationView, ...])
async def list_applications(call: Call) -> object:
    """Organisations that want to join, and what was voted on them."""
    return await settle(call.office.members.applications())


@routes.add(
    "POST",
    "/v1/applications/{organisation}/admit",
    returns=Vote,
    roles=REGISTRATION,
    body=Admission,
    example={"fingerprint": " ".join(["3f2a"] * 16)},
)
async def admit_organisation(call: Call) -> object:
    """Vote to admit an applicant.

    Refused where the fingerprint is not that of the card which came in: somebody else may have sent it.
    """
    call.need_scope("*")
    return await settle(call.office.members.admit(call.path["organisation"], call.body.fingerprint))


@routes.add(
    "POST",
    "/v1/own/address",
    returns=Recorded,
    roles=("system",),
    body=AddressChange,
    example={"address": "node.hospital.example:7071"},
)
async def set_address(call: Call) -> object:
    """Register where other members reach this organisation's node."""
    call.need_scope("*")
    return await settle(call.office.own.set_address(call.body.address))


@routes.add(
    "POST",
    "/v1/own/engine",
    returns=Recorded,
    roles=("system",),
    body=Engine,
    example={
        "consensus": "0" * 64,
        "node": "0" * 40,
        "address": "node.hospital.example:26656",
        "proof": "0" * 128,
    },
)
async def set_engine(call: Call) -> object:
    """Register which distributed engine this organisation runs."""
    call.need_scope("*")
    form = call.body
    return await settle(
        call.office.own.set_engine(consensus=form.consensus, node=form.node, address=form.address, proof=form.proof)
    )


@routes.add(
    "POST", "/v1/own/name", returns=Recorded, roles=REGISTRATION, body=NameChange, example={"name": "City Hospital"}
)
async def rename_organisation(call: Call) -> object:
    """Register another name for this organisation."""
    call.need_scope("*")
    return await settle(call.office.own.rename(call.body.name))


@routes.add("POST", "/v1/own/keys", returns=OwnKeyChange, roles=SECURITY, body=KeyRole, example={"role": "service"})
async def add_own_key(call: Call) -> object:
    """Make another key of a role in this node's key store, and register it."""
    call.need_scope("*")
    return await settle(call.office.own.add_key(call.body.role))


@routes.add(
    "POST", "/v1/own/keys/rotate", returns=OwnKeyChange, roles=SECURITY, body=KeyToRotate, example={"role": "service"}
)
async def rotate_own_key(call: Call) -> object:
    """Replace a key of this organisation by a fresh one."""
    call.need_scope("*")
    return await settle(call.office.own.rotate_key(call.body.role, call.body.key))


@routes.add(
    "POST", "/v1/own/keys/revoke", returns=OwnKeyChange, roles=SECURITY, body=KeyToRevoke, example={"key": "0" * 64}
)
async def revoke_own_key(call: Call) -> object:
    """Revoke a key of this organisation: from then on nothing signed by it is accepted."""
    call.need_scope("*")
    return await settle(call.office.own.revoke_key(call.body.key))
