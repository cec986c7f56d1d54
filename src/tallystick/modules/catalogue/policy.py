"""The terms of a dataset: an ODRL 2.2 policy in one fixed, compact JSON-LD profile.

Rules:

- A policy is a typed struct with fixed vocabularies and bounds; nothing of ODRL beyond them is accepted.
- The profile `urn:tallystick:terms:1` defines what ODRL does not: `approval`, and the right operands
  `urn:tallystick:assignee` (the organisation that the agreement names) and `urn:tallystick:zone` (any of this zone).
- Names of organisations and datasets stand as they are on the ledger; as IRIs they are relative to the zone.

Source: ODRL Information Model 2.2, sections 2.1 to 2.6; ODRL Vocabulary & Expression 2.2, section 4.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from tallystick.machine import Record

CONTEXT: Final = "http://www.w3.org/ns/odrl.jsonld"
PROFILE: Final = "urn:tallystick:terms:1"
ASSIGNEE: Final = "urn:tallystick:assignee"
ZONE: Final = "urn:tallystick:zone"

Action = Literal[
    "aggregate",
    "anonymize",
    "archive",
    "attribute",
    "delete",
    "derive",
    "distribute",
    "index",
    "inform",
    "modify",
    "obtainConsent",
    "read",
    "reproduce",
    "use",
]
LeftOperand = Literal["dateTime", "elapsedTime", "industry", "purpose", "recipient", "spatial"]
Operator = Literal["eq", "gteq", "isA", "isAnyOf", "isNoneOf", "isPartOf", "lt", "lteq", "neq"]
Approval = Literal["automatic", "manual"]

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]


class Constraint(Record, kw_only=True):
    """A condition under which a rule holds.

    Attributes:
        left_operand: what is compared.
        operator: how.
        right_operand: with what: a duration (`P90D`), a time (`2026-01-01T00:00:00Z`), organisations or words.
    """

    left_operand: LeftOperand = msgspec.field(name="leftOperand")
    operator: Operator
    right_operand: Word | Annotated[tuple[Word, ...], msgspec.Meta(min_length=1, max_length=50)] = msgspec.field(
        name="rightOperand"
    )


class Rule(Record, kw_only=True):
    """A permission, a prohibition or an obligation: an action, under conditions that must all hold."""

    action: Action
    constraint: Annotated[tuple[Constraint, ...], msgspec.Meta(max_length=10)] = ()


Rules = Annotated[tuple[Rule, ...], msgspec.Meta(max_length=10)]


class Policy(Record, kw_only=True):
    """The terms under which a dataset may be used; identified by the hash of its canonical bytes.

    Attributes:
        context: the JSON-LD context, always ODRL's.
        type: always an offer; signed by both sides it is what an agreement rests on.
        uid: `urn:tallystick:offer:` and the dataset's name.
        profile: of this vocabulary.
        assigner: the dataset's owner.
        assignee: the only organisation that the terms are for, or "".
        target: the dataset's name.
        approval: `manual`, or `automatic`: whoever requests it on these terms has an agreement at once.
        permission: exactly one of them is to `use`; its conditions decide who may ask and for how long.
        prohibition: what may not be done.
        obligation: what must be done.
    """

    context: Literal["http://www.w3.org/ns/odrl.jsonld"] = msgspec.field(name="@context")
    type: Literal["Offer"] = msgspec.field(name="@type")
    uid: Annotated[str, msgspec.Meta(max_length=160)]
    profile: Literal["urn:tallystick:terms:1"]
    assigner: Annotated[str, msgspec.Meta(max_length=40)]
    assignee: Annotated[str, msgspec.Meta(max_length=40)] = ""
    target: Annotated[str, msgspec.Meta(max_length=120)]
    approval: Approval
    permission: Rules
    prohibition: Rules = ()
    obligation: Rules = ()


def policy_uid(dataset: str) -> str:
    """Return the uid of the policies on a dataset."""
    return f"urn:tallystick:offer:{dataset}"
