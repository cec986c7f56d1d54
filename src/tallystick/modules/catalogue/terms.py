"""What terms mean to the ledger: their hash, whom they are for, from when to when, and whether they are well made.

The ledger enforces who may ask (assignee and recipient) and for how long (elapsedTime, dateTime). All else that a
policy says (purpose, spatial, industry, prohibitions, obligations) is declared and signed, not enforced.
"""

from __future__ import annotations

from tallystick.codec import (
    MalformedError,
    check_organisation_id,
    encode_json,
    iso_time,
    parse_iso_time,
    tagged_hash,
)
from tallystick.modules.catalogue.policy import ASSIGNEE, ZONE, Constraint, Policy, Rule, policy_uid
from tallystick.modules.catalogue.text import is_line

DAY_MS = 86_400_000
MAX_DURATION_MS = 100 * 365 * DAY_MS
MAX_POLICY_BYTES = 16_384

# What each left operand may be compared by.
OPERATORS: dict[str, tuple[str, ...]] = {
    "dateTime": ("gteq", "lt", "lteq"),
    "elapsedTime": ("eq", "lteq"),
    "industry": ("eq", "isAnyOf", "isNoneOf", "neq"),
    "purpose": ("eq", "isA", "isAnyOf", "isNoneOf", "neq"),
    "recipient": ("eq", "isAnyOf", "isPartOf"),
    "spatial": ("eq", "isAnyOf", "isNoneOf", "isPartOf", "neq"),
}
LIST_OPERATORS = ("isAnyOf", "isNoneOf")
# Fixed lengths: a month is 30 days and a year 365, so that a term does not depend on a calendar.
_DATE_UNITS = (("Y", 365 * DAY_MS), ("M", 30 * DAY_MS), ("W", 7 * DAY_MS), ("D", DAY_MS))
_TIME_UNITS = (("H", 3_600_000), ("M", 60_000), ("S", 1_000))


def terms_hash(policy: Policy) -> str:
    """Return the hash that both sides of an agreement sign, lower-case hex."""
    return tagged_hash(b"tallystick/terms", encode_json(policy)).hex()


def use_rule(policy: Policy) -> Rule | None:
    """Return the permission to use, or None where there is not exactly one."""
    rules = [rule for rule in policy.permission if rule.action == "use"]
    return rules[0] if len(rules) == 1 else None


def duration_ms(policy: Policy) -> int | None:
    """Return for how long an agreement on these terms holds, in ms, or None where no duration limits it."""
    lengths = [
        parse_duration(_single(constraint))
        for constraint in _use_constraints(policy)
        if constraint.left_operand == "elapsedTime"
    ]
    return min(lengths) if lengths else None


def period(policy: Policy, agreed_ms: int) -> tuple[int, int | None]:
    """Return when an agreement on these terms begins and ends.

    Args:
        policy: without fault.
        agreed_ms: block time of the agreement.

    Returns:
        (first ms, first ms no more or None); where the second is not after the first there is no such time left.
    """
    begins = agreed_ms
    ends: list[int] = []
    for constraint in _use_constraints(policy):
        if constraint.left_operand != "dateTime":
            continue
        moment = parse_time(_single(constraint))
        if constraint.operator == "gteq":
            begins = max(begins, moment)
        else:
            ends.append(moment if constraint.operator == "lt" else moment + 1)
    duration = duration_ms(policy)
    if duration is not None:
        ends.append(begins + duration)
    return begins, min(ends) if ends else None


def allows_recipient(policy: Policy, organisation: str) -> bool:
    """Tell whether these terms are open to an organisation of the zone."""
    if policy.assignee not in ("", organisation):
        return False
    for constraint in _use_constraints(policy):
        if constraint.left_operand != "recipient":
            continue
        values = constraint.right_operand
        allowed = (values,) if isinstance(values, str) else values
        if not any(name in (ASSIGNEE, ZONE, organisation) for name in allowed):
            return False
    return True


def policy_fault(policy: Policy, dataset: str) -> str | None:
    """Return what is wrong with a policy as the terms of a dataset, or None.

    Args:
        policy: of the right types already.
        dataset: its name; the part before the slash is the owner.
    """
    if policy.target != dataset or policy.uid != policy_uid(dataset):
        return "target and uid must name the dataset"
    if policy.assigner != dataset.partition("/")[0]:
        return "the assigner must be the owner of the dataset"
    if policy.assignee and not _is_organisation(policy.assignee):
        return "the assignee must be an organisation id"
    if use_rule(policy) is None:
        return "exactly one permission must be to use"
    for rule in (*policy.permission, *policy.prohibition, *policy.obligation):
        for constraint in rule.constraint:
            fault = _constraint_fault(constraint)
            if fault is not None:
                return fault
    if len(encode_json(policy)) > MAX_POLICY_BYTES:
        return "longer than 16 KiB"
    return None


def parse_duration(text: str) -> int:
    """Return the ms of an ISO 8601 duration of whole units: `P90D`, `P1Y`, `P2W`, `P1DT12H`.

    Raises:
        MalformedError: another form, nothing, or more than 100 years.
    """
    if text[:1] != "P":
        raise MalformedError("not a duration")
    date, separator, time = text[1:].partition("T")
    if separator and not time:
        raise MalformedError("not a duration")
    total = _sum_units(date, _DATE_UNITS) + _sum_units(time, _TIME_UNITS)
    if not 0 < total <= MAX_DURATION_MS:
        raise MalformedError("not a duration")
    return total


def parse_time(text: str) -> int:
    """Return the ms of a time written exactly as `2026-01-01T00:00:00Z`.

    Raises:
        MalformedError: any other form, or before 1970.
    """
    if len(text) != 20:
        raise MalformedError("not a time")
    moment = parse_iso_time(text)
    # The way back settles it: what the library accepts differs from one version of Python to the next.
    if moment < 0 or iso_time(moment) != f"{text[:19]}.000Z" or text[19] != "Z":
        raise MalformedError("not a time")
    return moment


def _sum_units(text: str, units: tuple[tuple[str, int], ...]) -> int:
    total = 0
    for letter, length_ms in units:
        number, found, rest = text.partition(letter)
        if not found:
            continue
        if not 1 <= len(number) <= 5 or not all("0" <= digit <= "9" for digit in number):
            raise MalformedError("not a duration")
        total += int(number) * length_ms
        text = rest
    if text:
        raise MalformedError("not a duration")
    return total


def _use_constraints(policy: Policy) -> tuple[Constraint, ...]:
    rule = use_rule(policy)
    return () if rule is None else rule.constraint


def _single(constraint: Constraint) -> str:
    value = constraint.right_operand
    if not isinstance(value, str):
        raise MalformedError("one value expected")
    return value


def _constraint_fault(constraint: Constraint) -> str | None:
    operand, value = constraint.left_operand, constraint.right_operand
    if constraint.operator not in OPERATORS[operand]:
        return f"{operand} cannot be compared by {constraint.operator}"
    if isinstance(value, str) == (constraint.operator in LIST_OPERATORS):
        return "isAnyOf and isNoneOf take a list, all else one value"
    values = (value,) if isinstance(value, str) else value
    if len(dict.fromkeys(values)) != len(values):
        return "a list names a value twice"
    try:
        for item in values:
            _check_value(constraint, item)
    except MalformedError:
        return f"the right operand of {operand} is not of its form"
    return None


def _check_value(constraint: Constraint, value: str) -> None:
    if constraint.left_operand == "elapsedTime":
        parse_duration(value)
    elif constraint.left_operand == "dateTime":
        parse_time(value)
    elif constraint.left_operand == "recipient":
        if (value == ZONE) != (constraint.operator == "isPartOf"):
            raise MalformedError("a recipient is part of the zone or one of it")
        if value not in (ASSIGNEE, ZONE):
            check_organisation_id(value)
    elif not is_line(value):
        raise MalformedError("not a line of text")


def _is_organisation(text: str) -> bool:
    try:
        check_organisation_id(text)
    except MalformedError:
        return False
    return True
