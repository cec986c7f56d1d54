"""Terms: the profile of ODRL, what it refuses, and what the ledger reads from it."""

import msgspec
import pytest

from tallystick.codec import MalformedError, StrictDecoder, decode_json, encode_json, parse_iso_time
from tallystick.modules.catalogue.policy import Constraint, Policy, Rule
from tallystick.modules.catalogue.presets import PRESETS, preset
from tallystick.modules.catalogue.terms import (
    DAY_MS,
    allows_recipient,
    duration_ms,
    parse_duration,
    parse_time,
    period,
    policy_fault,
    terms_hash,
)
from tests.support.market import DATASET, terms_on, use_under
from tests.support.zones import BANK, CITY, HOSPITAL, UNIVERSITY

NOW = parse_iso_time("2024-06-01T00:00:00Z")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_well_made(name):
    """Every preset is without fault, for its dataset only, and comes back from its canonical bytes."""
    policy = preset(name, HOSPITAL, DATASET)
    assert policy_fault(policy, DATASET) is None
    assert policy_fault(policy, f"{HOSPITAL}/other") is not None
    assert policy == StrictDecoder(Policy, max_bytes=20_000).decode(encode_json(policy))


@pytest.mark.parametrize(
    ("name", "approval", "days"),
    [("default", "manual", 90), ("research-90d", "manual", 90), ("internal-use-1y", "manual", 365)],
)
def test_presets_last_as_long_as_their_names_say(name, approval, days):
    """The presets that end do so after 90 or 365 days, and need approval."""
    policy = preset(name, HOSPITAL, DATASET)
    assert (approval, days * DAY_MS) == (policy.approval, duration_ms(policy))


def test_open_within_zone_is_automatic_and_without_end():
    """The open preset needs no approval and has no end."""
    policy = preset("open-within-zone", HOSPITAL, DATASET)
    assert ("automatic", None) == (policy.approval, duration_ms(policy))
    assert (NOW, None) == period(policy, NOW)


def test_default_preset_is_this_json():
    """The default terms are exactly this JSON-LD."""
    expected = {
        "@context": "http://www.w3.org/ns/odrl.jsonld",
        "@type": "Offer",
        "approval": "manual",
        "assigner": HOSPITAL,
        "permission": [
            {
                "action": "use",
                "constraint": [
                    {"leftOperand": "recipient", "operator": "eq", "rightOperand": "urn:tallystick:assignee"},
                    {"leftOperand": "elapsedTime", "operator": "lteq", "rightOperand": "P90D"},
                ],
            }
        ],
        "profile": "urn:tallystick:terms:1",
        "prohibition": [{"action": "distribute"}],
        "target": DATASET,
        "uid": f"urn:tallystick:offer:{DATASET}",
    }
    assert expected == decode_json(encode_json(terms_on()))


def test_unknown_preset_is_a_key_error():
    """There are no other presets."""
    with pytest.raises(KeyError):
        preset("anything-goes", HOSPITAL, DATASET)


def test_hash_changes_with_the_terms():
    """Other terms have another hash."""
    assert 64 == len(terms_hash(terms_on()))
    assert terms_hash(terms_on()) != terms_hash(terms_on(approval="automatic"))


@pytest.mark.parametrize(
    ("text", "days"), [("P90D", 90), ("P1Y", 365), ("P2W", 14), ("P1M", 30), ("P1Y2M3W4D", 450), ("PT48H", 2)]
)
def test_durations_have_fixed_lengths(text, days):
    """A year is 365 days and a month 30."""
    assert days * DAY_MS == parse_duration(text)


@pytest.mark.parametrize(
    "text",
    ["", "P", "PT", "90D", "P0D", "P-1D", "P1.5D", "P1D2Y", "P1DT", "P1H", "p90d", "P90D ", "P123456D", "P101Y", "P٣D"],
)
def test_other_durations_are_malformed(text):
    """Only whole units in order, more than nothing and at most 100 years."""
    with pytest.raises(MalformedError):
        parse_duration(text)


def test_times_are_read_in_one_form():
    """A time is written in UTC to the second."""
    assert NOW == parse_time("2024-06-01T00:00:00Z")


@pytest.mark.parametrize(
    "text",
    [
        "2024-06-01",
        "2024-06-01T00:00:00",
        "2024-06-01 00:00:00Z",
        "2024-06-01T00:00:00z",
        "2024-06-01T24:00:00Z",
        "2024-06-31T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2024-06-01T02:00+02:0",
        "20240601T000000.000Z",
    ],
)
def test_other_times_are_malformed(text):
    """Every other way to write a time is refused."""
    with pytest.raises(MalformedError):
        parse_time(text)


def test_period_is_bounded_by_all_constraints():
    """The earliest end and the latest begin hold."""
    policy = use_under(
        ("dateTime", "gteq", "2024-07-01T00:00:00Z"),
        ("elapsedTime", "lteq", "P30D"),
        ("dateTime", "lt", "2024-07-11T00:00:00Z"),
    )
    begins = parse_iso_time("2024-07-01T00:00:00Z")
    assert policy_fault(policy, DATASET) is None
    assert (begins, begins + 10 * DAY_MS) == period(policy, NOW)
    assert (begins + DAY_MS, begins + 10 * DAY_MS) == period(policy, begins + DAY_MS)


def test_lteq_includes_its_moment():
    """An end by `lteq` is one ms after its time; by `lt` it is its time."""
    moment = NOW + DAY_MS
    assert moment + 1 == period(use_under(("dateTime", "lteq", "2024-06-02T00:00:00Z")), NOW)[1]
    assert moment == period(use_under(("dateTime", "lt", "2024-06-02T00:00:00Z")), NOW)[1]


def test_recipients_are_those_that_every_constraint_allows():
    """Assignee and recipients decide who may ask."""
    assert allows_recipient(terms_on(), BANK)
    assert allows_recipient(terms_on(name="open-within-zone"), BANK)
    assert not allows_recipient(terms_on(assignee=UNIVERSITY), BANK)
    listed = use_under(("recipient", "isAnyOf", (BANK, CITY)), ("recipient", "eq", CITY))
    assert [False, True] == [allows_recipient(listed, name) for name in (BANK, CITY)]


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        (terms_on(target=f"{HOSPITAL}/other"), "target and uid must name the dataset"),
        (terms_on(uid="urn:x"), "target and uid must name the dataset"),
        (terms_on(assigner=BANK), "the assigner must be the owner of the dataset"),
        (terms_on(assignee="No One"), "the assignee must be an organisation id"),
        (terms_on(permission=(Rule(action="read"),)), "exactly one permission must be to use"),
        (terms_on(permission=(Rule(action="use"), Rule(action="use"))), "exactly one permission must be to use"),
        (use_under(("elapsedTime", "gteq", "P1D")), "elapsedTime cannot be compared by gteq"),
        (use_under(("purpose", "isAnyOf", "research")), "isAnyOf and isNoneOf take a list, all else one value"),
        (use_under(("purpose", "eq", ("research",))), "isAnyOf and isNoneOf take a list, all else one value"),
        (use_under(("purpose", "isAnyOf", ("a", "a"))), "a list names a value twice"),
        (use_under(("elapsedTime", "eq", "90 days")), "the right operand of elapsedTime is not of its form"),
        (use_under(("dateTime", "lt", "tomorrow")), "the right operand of dateTime is not of its form"),
        (use_under(("recipient", "eq", "urn:tallystick:zone")), "the right operand of recipient is not of its form"),
        (use_under(("recipient", "isPartOf", BANK)), "the right operand of recipient is not of its form"),
        (use_under(("spatial", "eq", "a\nb")), "the right operand of spatial is not of its form"),
    ],
)
def test_faults_are_named(policy, fault):
    """What is wrong with a policy is told in words of our own."""
    assert fault == policy_fault(policy, DATASET)


def test_policies_are_bounded():
    """A policy of more than 16 KiB is refused."""
    values = tuple(f"{number:03d}" + "x" * 117 for number in range(50))
    many = Rule(
        action="derive",
        constraint=tuple(
            Constraint(left_operand="industry", operator="isAnyOf", right_operand=values) for _ in range(4)
        ),
    )
    policy = terms_on(permission=(Rule(action="use"), many))
    assert "longer than 16 KiB" == policy_fault(policy, DATASET)


@pytest.mark.parametrize(
    "change",
    [
        {"@type": "Agreement"},
        {"@context": "http://www.w3.org/ns/odrl/2/"},
        {"profile": "urn:other"},
        {"approval": "whoever asks"},
        {"permission": [{"action": "sell"}]},
        {"permission": [{"action": "use", "constraint": [{"leftOperand": "count"}]}]},
        {"permission": [{"action": "use"}] * 11},
        {"inheritFrom": "urn:x"},
        {"prohibition": []},
    ],
)
def test_what_is_not_of_the_profile_does_not_decode(change):
    """Other words, unknown fields, too many rules and explicit empty lists are malformed."""
    document = decode_json(encode_json(terms_on())) | change
    with pytest.raises(MalformedError):
        StrictDecoder(Policy, max_bytes=20_000).decode(encode_json(document))


def test_policies_cannot_be_changed():
    """A policy is frozen."""
    policy = terms_on()
    with pytest.raises(AttributeError):
        policy.target = "x"
    assert policy is not msgspec.structs.replace(policy)
