"""Ready-made terms, as data.

- `default`: the recipient that the agreement names, manual approval, 90 days, no onward sharing.
- `research-90d`: the same for research, with attribution, and deletion at the end.
- `internal-use-1y`: one year of the recipient's own internal use, no onward sharing.
- `open-within-zone`: any organisation of the zone, without asking, until terminated; onward only within the zone.
"""

from __future__ import annotations

from dataclasses import dataclass

from tallystick.modules.catalogue.policy import (
    ASSIGNEE,
    CONTEXT,
    PROFILE,
    ZONE,
    Approval,
    Constraint,
    Policy,
    Rule,
    policy_uid,
)


@dataclass(frozen=True, slots=True)
class Preset:
    """Terms without the dataset that they are on.

    Attributes:
        summary: one line for people.
        approval: manual or automatic.
        permission: what may be done.
        prohibition: what may not.
        obligation: what must.
    """

    summary: str
    approval: Approval
    permission: tuple[Rule, ...]
    prohibition: tuple[Rule, ...] = ()
    obligation: tuple[Rule, ...] = ()


_NAMED = Constraint(left_operand="recipient", operator="eq", right_operand=ASSIGNEE)
_WITHIN_ZONE = Constraint(left_operand="recipient", operator="isPartOf", right_operand=ZONE)
_90_DAYS = Constraint(left_operand="elapsedTime", operator="lteq", right_operand="P90D")
_1_YEAR = Constraint(left_operand="elapsedTime", operator="lteq", right_operand="P1Y")
_RESEARCH = Constraint(left_operand="purpose", operator="eq", right_operand="research")
_INTERNAL = Constraint(left_operand="purpose", operator="eq", right_operand="internal-use")
_NO_ONWARD_SHARING = Rule(action="distribute")

PRESETS: dict[str, Preset] = {
    "default": Preset(
        summary="named recipient, manual approval, 90 days, no onward sharing",
        approval="manual",
        permission=(Rule(action="use", constraint=(_NAMED, _90_DAYS)),),
        prohibition=(_NO_ONWARD_SHARING,),
    ),
    "research-90d": Preset(
        summary="research by a named recipient, 90 days, with attribution, then deletion; no onward sharing",
        approval="manual",
        permission=(Rule(action="use", constraint=(_RESEARCH, _NAMED, _90_DAYS)), Rule(action="derive")),
        prohibition=(_NO_ONWARD_SHARING,),
        obligation=(Rule(action="attribute"), Rule(action="delete")),
    ),
    "internal-use-1y": Preset(
        summary="internal use by a named recipient, one year, no onward sharing",
        approval="manual",
        permission=(Rule(action="use", constraint=(_INTERNAL, _NAMED, _1_YEAR)), Rule(action="derive")),
        prohibition=(_NO_ONWARD_SHARING,),
    ),
    "open-within-zone": Preset(
        summary="every organisation of the zone, without asking; onward sharing within the zone only",
        approval="automatic",
        permission=(
            Rule(action="use", constraint=(_WITHIN_ZONE,)),
            Rule(action="derive"),
            Rule(action="distribute", constraint=(_WITHIN_ZONE,)),
        ),
    ),
}


def preset(name: str, assigner: str, target: str) -> Policy:
    """Return ready-made terms for a dataset.

    Args:
        name: a key of `PRESETS`.
        assigner: the owner's organisation id.
        target: the dataset's name.

    Raises:
        KeyError: no such preset.
    """
    chosen = PRESETS[name]
    return Policy(
        context=CONTEXT,
        type="Offer",
        uid=policy_uid(target),
        profile=PROFILE,
        assigner=assigner,
        target=target,
        approval=chosen.approval,
        permission=chosen.permission,
        prohibition=chosen.prohibition,
        obligation=chosen.obligation,
    )
