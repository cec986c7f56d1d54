"""Offering, revising, withdrawing, finding and looking into datasets."""

import asyncio

import pytest

from tallystick.dataplane.refusals import SourceRefusedError
from tallystick.errors import PeerError, RejectedError, UsageError
from tallystick.office.refusals import NotFoundError
from tests.support.deals import DATASET, deliver, offer
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY


async def test_offer_is_on_every_copy(zone, table):
    """An offered dataset is in every member's copy, with its columns and terms, and nothing of its data."""
    made = await offer(zone, table, keywords=("wards",), licence="CC BY 4.0")
    assert (DATASET, True, 1) == (made.name, made.mine, made.latest.version)
    assert (("ward", "integer"), ("days", "integer")) == made.latest.columns
    assert 40 == made.latest.rows
    assert made.recorded is not None
    for name in (UNIVERSITY, BANK):
        shown = zone[name].datasets.show(DATASET)
        assert not shown.mine
        assert (made.latest, made.terms, made.policy) == (shown.latest, shown.terms, shown.policy)
        assert "The owner decides each request." in shown.terms_summary


async def test_schema_can_be_kept_back(zone, table):
    """An owner who does not want columns published publishes none."""
    made = await offer(zone, table, with_schema=False)
    assert ((), None) == (made.latest.columns, made.latest.rows)


async def test_offer_made_twice_is_one(zone, table):
    """A retry after a lost answer returns what is on record; the salt, and so the fingerprint, is the same."""
    zone.orders.loses = 1
    with pytest.raises(PeerError, match="went away"):
        await offer(zone, table)
    await zone.settle()
    size = zone.engine.state.frontier.size
    again = await offer(zone, table)
    assert zone[UNIVERSITY].datasets.show(DATASET).latest == again.latest
    assert size == zone.engine.state.frontier.size


async def test_offer_that_failed_before_the_ledger_can_be_made_again(zone, table):
    """Nothing was recorded; the next attempt uses what is on disk already and succeeds."""
    zone.orders.fails = 1
    with pytest.raises(PeerError):
        await offer(zone, table)
    assert 0 == zone[HOSPITAL].datasets.find().total
    assert 1 == (await offer(zone, table)).latest.version


async def test_another_offer_of_the_same_name_is_rejected(zone, table):
    """The ledger refuses a second dataset of a name, by number."""
    await offer(zone, table)
    with pytest.raises(RejectedError) as raised:
        await offer(zone, table, title="Something else")
    assert "dataset_exists" == raised.value.name


async def test_two_offers_at_once_are_one(zone, table):
    """Two identical offers made at the same time end as one dataset."""
    first, second = await asyncio.gather(offer(zone, table), offer(zone, table))
    assert first.latest == second.latest
    assert 1 == zone[HOSPITAL].datasets.find().total


@pytest.mark.parametrize("name", ["", "Big Name", "../up", f"{BANK}/theirs/x", "a" * 200, "tab\t", "slash/"])
async def test_bad_names_are_refused_before_anything_is_read(zone, table, name):
    """What cannot be a name is refused, and says what a name looks like."""
    with pytest.raises((UsageError, RejectedError)) as raised:
        await zone[HOSPITAL].datasets.offer(table, name=name, title="T", field="health")
    assert isinstance(raised.value, UsageError)
    assert "lower-case" in raised.value.remedy


async def test_a_dataset_of_another_organisation_cannot_be_offered(zone, table):
    """The ledger refuses a name under somebody else's id."""
    with pytest.raises(RejectedError):
        await zone[HOSPITAL].datasets.offer(table, name=f"{BANK}/loans", title="T", field="health")
    assert 0 == zone[HOSPITAL].datasets.find().total


async def test_unknown_field_and_terms_are_refused_with_what_there_is(zone, table):
    """A wrong field of work or preset is answered with those that exist."""
    with pytest.raises(UsageError) as raised:
        await offer(zone, table, field="astrology")
    assert "health" in raised.value.remedy
    with pytest.raises(UsageError) as raised:
        await offer(zone, table, terms="whatever")
    assert "research-90d" in raised.value.remedy


async def test_terms_of_one_s_own(zone, table):
    """A policy needs to say only what differs; what cannot be used is refused with a reason."""
    policy = {"permission": [{"action": "use"}], "approval": "automatic"}
    made = await offer(zone, table, terms=policy)
    assert ("automatic", DATASET) == (made.approval, made.policy["target"])
    for broken in ({"permission": "use"}, {"target": f"{BANK}/x"}, {"nonsense": 1}, {"permission": []}, {1: 2}):
        with pytest.raises(UsageError, match="these terms cannot be used"):
            await offer(zone, table, name="other", terms=broken)


async def test_sources_that_cannot_be_offered(zone, tmp_path):
    """What is not there, holds no file, or holds a link to somewhere else is refused by name."""
    empty = tmp_path / "empty"
    empty.mkdir()
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "passwords").symlink_to("/etc/passwd")
    for path in (tmp_path / "absent.csv", empty, linked):
        with pytest.raises(SourceRefusedError) as raised:
            await offer(zone, path)
        assert raised.value.remedy


async def test_new_version_has_its_own_fingerprint(zone, table):
    """A revision with data is the next version; the one before stays on record."""
    first = await offer(zone, table)
    table.write_text(table.read_text() + "41,3\n")
    revised = await zone[HOSPITAL].datasets.revise("discharges", source=table)
    assert (2, 41) == (revised.latest.version, revised.latest.rows)
    assert revised.latest.fingerprint != first.latest.fingerprint
    assert {1, 2} == {version.version for version in revised.versions}


async def test_revision_of_words_leaves_the_data(zone, table):
    """Words and terms change without a new version; nothing to change is a rejection."""
    first = await offer(zone, table)
    revised = await zone[HOSPITAL].datasets.revise(
        DATASET, title="Corrected", keywords=("wards",), terms="research-90d"
    )
    assert ("Corrected", ("wards",), first.latest) == (revised.title, revised.keywords, revised.latest)
    assert revised.terms != first.terms
    with pytest.raises(RejectedError) as raised:
        await zone[HOSPITAL].datasets.revise(DATASET, title="Corrected")
    assert "nothing_to_revise" == raised.value.name


async def test_withdrawn_dataset_is_not_found_any_more(zone, table):
    """It is out of the search unless asked for, and stays readable by name."""
    await offer(zone, table)
    withdrawn = await zone[HOSPITAL].datasets.withdraw("discharges")
    assert "withdrawn" == withdrawn.status
    assert 0 == zone[HOSPITAL].datasets.find().total
    assert 1 == zone[HOSPITAL].datasets.find(withdrawn=True).total
    with pytest.raises(RejectedError):
        await zone[HOSPITAL].datasets.withdraw("discharges")


async def test_search_ranks_by_where_words_occur(zone, table):
    """A word in the name counts more than one in the description; all words must occur; writing does not matter."""
    await offer(zone, table, name="tariffs", title="Tariffs", description="Discharges of capacitors", field="energy")
    await offer(zone, table, name="discharges", title="Entlassungen Zürich", keywords=("wards",))
    datasets = zone[UNIVERSITY].datasets
    await zone.settle()
    assert [DATASET, f"{HOSPITAL}/tariffs"] == [each.name for each in datasets.find("DISCHARGES").datasets]
    assert [DATASET] == [each.name for each in datasets.find("zurich discharges").datasets]
    assert 0 == datasets.find("discharges nowhere").total
    assert [f"{HOSPITAL}/tariffs"] == [each.name for each in datasets.find(field="energy").datasets]
    assert [DATASET] == [each.name for each in datasets.find(keyword="wards").datasets]
    assert 0 == datasets.find(owner=BANK).total


async def test_search_is_paged_and_counts_all(zone, table):
    """A page is a part; total and facets are of everything that was found."""
    for number in range(5):
        await offer(zone, table, name=f"part-{number}", field="energy" if number % 2 else "health")
    found = zone[UNIVERSITY].datasets.find("part", limit=2, offset=4)
    assert (1, 5) == (len(found.datasets), found.total)
    assert {"health": 3, "energy": 2} == found.facets["field"]
    assert {HOSPITAL: 5} == found.facets["owner"]
    assert () == zone[UNIVERSITY].datasets.find(limit=0).datasets


async def test_preview_of_own_and_of_received_data(zone, table):
    """The first rows are shown where the data is, and nowhere else."""
    await deliver(zone, table)
    own = await zone[HOSPITAL].datasets.preview(DATASET, 3)
    assert ("own", (("0", "0"), ("1", "1"), ("2", "2"))) == (own.origin, own.rows)
    received = await zone[UNIVERSITY].datasets.preview(DATASET, 3)
    assert ("received", own.rows) == (received.origin, received.rows)
    with pytest.raises(NotFoundError, match="not on this machine"):
        await zone[BANK].datasets.preview(DATASET)
    with pytest.raises(NotFoundError, match="there is no dataset"):
        await zone[BANK].datasets.preview(f"{HOSPITAL}/nothing")


async def test_preview_of_what_is_no_table(zone, tmp_path):
    """A file that is no table is refused with what to do instead."""
    path = tmp_path / "scan.bin"
    path.write_bytes(bytes(range(256)) * 10)
    await offer(zone, path)
    with pytest.raises(UsageError, match="no table"):
        await zone[HOSPITAL].datasets.preview(DATASET)
