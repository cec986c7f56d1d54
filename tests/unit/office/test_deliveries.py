"""Fetching and serving: under an agreement in force and not otherwise, whole or not at all, through cuts and crashes."""

import asyncio

import pytest

from tallystick.dataplane.refusals import (
    AccessRefusedError,
    PackageError,
    SourceChangedError,
)
from tallystick.errors import NodeError, RejectedError, StorageError, UsageError
from tallystick.office.database import SourceRow, TransferRow
from tallystick.office.ports import OpenedDelivery
from tallystick.office.refusals import DeliveryMismatchError, NotFoundError, NotInForceError
from tests.support.deals import DATASET, agree, deliver, offer
from tests.support.offices import DAY
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY


def transfers(office, direction="in"):
    return office._database.rows(TransferRow, direction=direction)


async def test_fetched_data_is_what_was_offered(zone, table):
    """The file arrives under its name, byte for byte, and both sides and the ledger say so."""
    fetched = await deliver(zone, table)
    path = zone.nodes[UNIVERSITY].folder / "inbox"
    assert table.read_bytes() == (next(path.rglob("discharges.csv"))).read_bytes()
    assert fetched.path.startswith(str(path))
    for name, direction in ((HOSPITAL, "sent"), (UNIVERSITY, "received"), (BANK, "other")):
        shown = zone[name].deliveries.show(fetched.delivery)
        assert ("received", direction) == (shown.state, shown.direction)
        assert shown.fingerprint == shown.root == fetched.root
    assert zone[BANK].deliveries.list() == ()
    assert [fetched.delivery] == [each.id for each in zone[HOSPITAL].deliveries.list("sent")]
    assert () == zone[HOSPITAL].deliveries.list("received")


async def test_folder_arrives_whole(zone, folder, tmp_path):
    """A folder keeps its shape, into the place that was asked for; the bytes are counted as they come."""
    await offer(zone, folder, name="scans", field="health")
    agreement = await agree(zone, dataset=f"{HOSPITAL}/scans")
    counted = []
    fetched = await zone[UNIVERSITY].deliveries.fetch(
        f"{HOSPITAL}/scans", tmp_path / "here", lambda done, total: counted.append(total)
    )
    assert str(tmp_path / "here" / "scans") == fetched.path
    assert 5 == fetched.files
    for number in range(5):
        assert (tmp_path / "here" / "scans" / f"ward-{number}" / "scan.bin").stat().st_size == 1 << 20
    assert {5 << 20} == set(counted)
    assert [agreement.id] == [each.agreement for each in zone[UNIVERSITY].deliveries.list()]


async def test_latest_version_is_delivered_each_time(zone, table, tmp_path):
    """Without a fixed version each delivery is of the latest; with one, of that one."""
    await offer(zone, table)
    latest = await agree(zone)
    fixed = await agree(zone, BANK, version=1)
    first = await zone[UNIVERSITY].deliveries.fetch(latest.id, tmp_path / "first")
    old = table.read_bytes()
    revised = tmp_path / "revised" / "discharges.csv"
    revised.parent.mkdir()
    revised.write_text("ward,days\n1,1\n")
    await zone[HOSPITAL].datasets.revise("discharges", source=revised)
    await zone.settle()
    second = await zone[UNIVERSITY].deliveries.fetch(latest.id, tmp_path / "second")
    third = await zone[BANK].deliveries.fetch(fixed.id, tmp_path / "third")
    assert (1, 2, 1) == (first.version, second.version, third.version)
    assert revised.read_bytes() == (tmp_path / "second" / "discharges.csv").read_bytes()
    assert old == (tmp_path / "third" / "discharges.csv").read_bytes()


async def test_nothing_is_delivered_without_an_agreement(zone, table):
    """No agreement, somebody else's, or a mere request: nothing leaves, on either side."""
    await offer(zone, table)
    agreement = await agree(zone)
    with pytest.raises(NotInForceError, match="no agreement in force"):
        await zone[BANK].deliveries.fetch(DATASET)
    with pytest.raises(UsageError, match="not the consumer"):
        await zone[BANK].deliveries.fetch(agreement.id)
    with pytest.raises(NotFoundError):
        await zone[BANK].deliveries.fetch("agr-nothing")
    with pytest.raises(NotInForceError, match="no agreement"):
        await zone[HOSPITAL].deliveries.open_for(BANK, agreement.id)
    with pytest.raises(NotInForceError, match="no agreement"):
        await zone[HOSPITAL].deliveries.open_for(BANK, "agr-nothing")
    assert 0 == len(zone[HOSPITAL].deliveries.list())


async def test_terminated_agreement_ends_delivery_at_once(zone, table):
    """After the end nothing is opened, and what was open before gives no more content; the reason reaches the party."""
    await offer(zone, table)
    agreement = await agree(zone)
    opened = await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)
    await zone[HOSPITAL].agreements.terminate(agreement.id, "The study has ended")
    await zone.settle()
    for attempt in (
        zone[UNIVERSITY].deliveries.fetch(agreement.id),
        zone[UNIVERSITY].deliveries.fetch(DATASET),
        zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id),
        zone[HOSPITAL].deliveries.authorise(UNIVERSITY, opened.delivery),
    ):
        with pytest.raises(NotInForceError):
            await attempt
    shown = zone[UNIVERSITY].agreements.show(agreement.id)
    assert ("terminated", HOSPITAL, {"why": "The study has ended"}) == (
        shown.state,
        shown.terminated_by,
        shown.private[0].fields,
    )
    with pytest.raises(RejectedError) as raised:
        await zone[UNIVERSITY].agreements.terminate(agreement.id)
    assert "agreement_not_in_force" == raised.value.name


async def test_agreement_that_has_ended_by_its_terms(zone, table):
    """Ninety days later nothing is delivered, whichever of the two clocks says so."""
    await offer(zone, table)
    agreement = await agree(zone)
    zone.clock.advance(90 * DAY)
    assert "ended" == zone[UNIVERSITY].agreements.show(agreement.id).state
    with pytest.raises(NotInForceError, match="ended"):
        await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    with pytest.raises(NotInForceError, match="ended"):
        await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)
    await zone.heartbeat()
    zone.clock.now -= 90 * DAY
    with pytest.raises(NotInForceError, match="ended"):
        await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)


async def test_suspended_consumer_gets_nothing(zone, table):
    """An organisation that the zone has suspended is refused, agreement or not."""
    await offer(zone, table)
    agreement = await agree(zone)
    assert (await zone[HOSPITAL].members.suspend(UNIVERSITY)).carried
    with pytest.raises(NotInForceError, match="suspended"):
        await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)


async def test_changed_source_is_not_sent(zone, table):
    """A file that is not what was fingerprinted leaves no byte, and the consumer keeps none."""
    await offer(zone, table)
    agreement = await agree(zone)
    table.write_text(table.read_text().replace("0", "1"))
    with pytest.raises(SourceChangedError):
        await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    assert [] == list((zone.nodes[UNIVERSITY].folder / "inbox").rglob("discharges.csv"))
    assert "sent" == zone[HOSPITAL].deliveries.list()[0].state


async def test_source_that_is_gone(zone, table):
    """A provider that lost its notes of where the data is says so, with a remedy."""
    await offer(zone, table)
    agreement = await agree(zone)
    zone[HOSPITAL]._database.remove(SourceRow, dataset=DATASET)
    with pytest.raises(StorageError, match="does not know where"):
        await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)


async def test_rotated_encryption_key_makes_a_new_delivery(zone, table):
    """A package sealed to the old key is not handed out any more."""
    await offer(zone, table)
    agreement = await agree(zone)
    first = await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)
    await zone[UNIVERSITY].own.rotate_encryption_key()
    await zone.settle()
    second = await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)
    assert first.delivery != second.delivery
    assert (await zone[UNIVERSITY].deliveries.fetch(agreement.id)).delivery == second.delivery


async def test_provider_that_hands_out_another_delivery(zone, table):
    """A package that is not the recorded one, or a delivery of somebody else, is refused before anything is fetched."""
    await offer(zone, table)
    agreement, other = await agree(zone), await agree(zone, BANK)
    theirs = await zone[HOSPITAL].deliveries.open_for(BANK, other.id)
    await zone.settle()
    swaps = (
        lambda opened: OpenedDelivery(opened.delivery, opened.package[:-1] + b"\0"),
        lambda opened: theirs,
        lambda opened: OpenedDelivery(theirs.delivery, opened.package),
    )
    for swap in swaps:
        zone.exchange.swap = swap
        with pytest.raises(DeliveryMismatchError):
            await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    assert {"failed"} == {row.state for row in transfers(zone[UNIVERSITY])}


async def test_package_for_a_key_that_is_not_here(zone, table):
    """A consumer that lost its encryption key is told so."""
    await offer(zone, table)
    agreement = await agree(zone)
    zone[UNIVERSITY].keys.encryption_secrets = lambda: []
    with pytest.raises(PackageError, match="does not open"):
        await zone[UNIVERSITY].deliveries.fetch(agreement.id)


async def test_dispute_and_its_answer(zone, table):
    """What is wrong and what is answered go between the two parties alone; each is said once."""
    fetched = await deliver(zone, table)
    disputed = await zone[UNIVERSITY].deliveries.dispute(fetched.delivery, "Column days is wrong")
    await zone.settle()
    assert "open" == disputed.dispute
    seen = zone[HOSPITAL].deliveries.show(fetched.delivery)
    assert ("disputed", {"why": "Column days is wrong"}) == (seen.private[0].about, seen.private[0].fields)
    with pytest.raises(UsageError, match="says something"):
        await zone[HOSPITAL].deliveries.answer(fetched.delivery, " ")
    answered = await zone[HOSPITAL].deliveries.answer(fetched.delivery, "Version 2 is right")
    await zone.settle()
    assert "answered" == answered.dispute
    assert {"answer": "Version 2 is right"} == zone[UNIVERSITY].deliveries.show(fetched.delivery).private[1].fields
    assert ["other", "other"] == [each.status for each in zone[BANK].deliveries.show(fetched.delivery).private]
    for again in (
        zone[UNIVERSITY].deliveries.dispute(fetched.delivery, "Again"),
        zone[HOSPITAL].deliveries.answer(fetched.delivery, "Again"),
        zone[BANK].deliveries.dispute(fetched.delivery, "Me too"),
    ):
        with pytest.raises(RejectedError):
            await again


async def test_given_up_delivery_gives_no_content(zone, table):
    """Either party can give up what never finished; the next fetch is a new delivery."""
    await offer(zone, table)
    agreement = await agree(zone)
    opened = await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)
    await zone[HOSPITAL].deliveries.give_up(opened.delivery, "Wrong version")
    await zone.settle()
    with pytest.raises(NotInForceError, match="given up"):
        await zone[HOSPITAL].deliveries.authorise(UNIVERSITY, opened.delivery)
    assert {"why": "Wrong version"} == zone[UNIVERSITY].deliveries.show(opened.delivery).private[0].fields
    fetched = await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    assert fetched.delivery != opened.delivery


async def test_content_goes_to_its_consumer_alone(zone, table):
    """Whoever asks for another's delivery, or for one that is done, gets nothing."""
    fetched = await deliver(zone, table)
    for asker, delivery in ((BANK, fetched.delivery), (UNIVERSITY, "dlv-nothing"), (UNIVERSITY, fetched.delivery)):
        with pytest.raises(NotInForceError):
            await zone[HOSPITAL].deliveries.authorise(asker, delivery)


async def test_one_agreement_fetched_twice_at_once(zone, table, tmp_path):
    """Two fetches of one agreement do not disturb each other."""
    await offer(zone, table)
    agreement = await agree(zone)
    deliveries = zone[UNIVERSITY].deliveries
    first, second = await asyncio.gather(
        deliveries.fetch(agreement.id, tmp_path / "a"), deliveries.fetch(agreement.id, tmp_path / "b")
    )
    assert (tmp_path / "a" / "discharges.csv").read_bytes() == (tmp_path / "b" / "discharges.csv").read_bytes()
    assert first.root == second.root


async def test_name_that_is_taken_in_the_target(zone, table, tmp_path):
    """Nothing is overwritten: something else of that name is a refusal."""
    await offer(zone, table)
    agreement = await agree(zone)
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "discharges.csv").write_text("something else")
    with pytest.raises(NodeError, match="already there"):
        await zone[UNIVERSITY].deliveries.fetch(agreement.id, tmp_path / "to")
    assert "something else" == (tmp_path / "to" / "discharges.csv").read_text()


async def test_refusal_at_the_other_end_arrives_with_its_words(zone, table):
    """What the provider refuses is told to the consumer's officer, with a remedy."""
    await offer(zone, table)
    agreement = await agree(zone)
    zone.hold(UNIVERSITY)
    await zone[HOSPITAL].agreements.terminate(agreement.id)
    with pytest.raises(AccessRefusedError, match="terminated") as raised:
        await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    assert raised.value.remedy
