"""What a policy says, in plain sentences: the same words wherever terms are shown, so that they can be compared."""

from __future__ import annotations

from tallystick.modules.catalogue.policy import ASSIGNEE, ZONE, Constraint, Policy, Rule

_OPERATORS = {
    "eq": "is",
    "neq": "is not",
    "isA": "is a kind of",
    "isAnyOf": "is one of",
    "isNoneOf": "is none of",
    "isPartOf": "is part of",
    "lteq": "at most",
    "lt": "before",
    "gteq": "from",
}
_OPERANDS = {"dateTime": "time", "elapsedTime": "duration", "recipient": "recipient"}
_MEANINGS = {ASSIGNEE: "the organisation that the agreement names", ZONE: "the zone"}


def explain_terms(policy: Policy) -> tuple[str, ...]:
    """Return what a policy says, a sentence each."""
    lines = [
        "Approval is automatic: asking is enough."
        if policy.approval == "automatic"
        else "The owner decides each request."
    ]
    if policy.assignee:
        lines.append(f"Only for {policy.assignee}.")
    for words, rules in (
        ("May", policy.permission),
        ("Must not", policy.prohibition),
        ("Must", policy.obligation),
    ):
        lines += [f"{words} {_rule(rule)}." for rule in rules]
    return tuple(lines)


def _rule(rule: Rule) -> str:
    conditions = "; ".join(_constraint(each) for each in rule.constraint)
    return f"{rule.action} ({conditions})" if conditions else rule.action


def _constraint(constraint: Constraint) -> str:
    value = constraint.right_operand
    values = (value,) if isinstance(value, str) else value
    shown = ", ".join(_MEANINGS.get(each, each) for each in values)
    operand = _OPERANDS.get(constraint.left_operand, constraint.left_operand)
    return f"{operand} {_OPERATORS[constraint.operator]} {shown}"
