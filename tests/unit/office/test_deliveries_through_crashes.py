"""Deliveries through crashes, cuts, lost answers and copies that are behind: nothing twice, nothing half, nothing lost."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from tallystick.dataplane.refusals import TransferCutError
from tallystick.errors import PeerError, RejectedError
from tallystick.office.database import TransferRow
from tests.support.deals import agree, offer
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY


def transfers(office, direction="in"):
    return office._database.rows(TransferRow, direction=direction)


async def test_provider_that_has_not_heard_of_the_end_is_stopped_by_the_ledger(zone, table):
    """The provider's copy is behind: the sending itself is rejected, and no key package leaves."""
    await zone[UNIVERSITY].datasets.offer(table, name="readings", title="Readings", field="energy")
    await zone.settle()
    request = await zone[BANK].requests.send(f"{UNIVERSITY}/readings", "Pricing")
    await zone.settle()
    agreement = (await zone[UNIVERSITY].requests.approve(request.id)).agreement
    await zone.settle()
    zone.hold(UNIVERSITY)
    await zone[BANK].agreements.terminate(agreement)
    opening = asyncio.ensure_future(zone[UNIVERSITY].deliveries.open_for(BANK, agreement))
    while not zone.nodes[UNIVERSITY].behind[1:]:
        await asyncio.sleep(0.001)
    await zone.release(UNIVERSITY)
    with pytest.raises(RejectedError) as raised:
        await opening
    assert (4006, "agreement_not_in_force") == (raised.value.code, raised.value.name)
    assert [] == transfers(zone[UNIVERSITY], "out")


async def test_opening_twice_is_one_delivery(zone, table):
    """Asking again, also after a restart of the provider, gives the same delivery and key package."""
    await offer(zone, table)
    agreement = await agree(zone)
    first, second = await asyncio.gather(
        zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id),
        zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id),
    )
    assert first == second
    office = await zone.nodes[HOSPITAL].crash()
    assert first == await office.deliveries.open_for(UNIVERSITY, agreement.id)
    assert 1 == len(office.deliveries.list())


async def test_answer_of_the_ledger_lost_while_opening(zone, table):
    """The sending was recorded and the answer lost: the next opening finds it by its nonce and makes no second one."""
    await offer(zone, table)
    agreement = await agree(zone)
    zone.orders.loses = 1
    with pytest.raises(PeerError):
        await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)
    await zone.settle()
    office = await zone.nodes[HOSPITAL].crash()
    opened = await office.deliveries.open_for(UNIVERSITY, agreement.id)
    assert [opened.delivery] == [each.id for each in office.deliveries.list()]
    assert (await zone[UNIVERSITY].deliveries.fetch(agreement.id)).delivery == opened.delivery


async def test_fetch_goes_on_after_cut_and_crash(zone, folder):
    """Cut in the middle, office killed, started again: the rest is fetched, in the same place, as the same delivery."""
    await offer(zone, folder)
    agreement = await agree(zone)
    zone.exchange.cut_after = 2
    with pytest.raises(TransferCutError):
        await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    assert "fetching" == transfers(zone[UNIVERSITY])[0].state
    zone.exchange.cut_after = None
    batches = []
    zone.exchange.on_batch = lambda: batches.append(1)
    office = await zone.nodes[UNIVERSITY].crash()
    (fetched,) = await office.resume()
    assert 0 < len(batches) < 6
    assert "received" == office.deliveries.show(fetched.delivery).state
    assert 1 == len(office.deliveries.list())
    assert [] == await office.resume()


async def test_crash_after_the_rename_before_the_ledger(zone, table):
    """What arrived whole is recorded as received after the start, without fetching it again."""
    await offer(zone, table)
    agreement = await agree(zone)
    await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)
    zone.orders.fails = 1
    with pytest.raises(PeerError):
        await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    assert "arrived" == transfers(zone[UNIVERSITY])[0].state
    zone.exchange.down = {HOSPITAL}
    office = await zone.nodes[UNIVERSITY].crash()
    (fetched,) = await office.resume()
    assert "received" == office.deliveries.show(fetched.delivery).state


async def test_crash_between_rename_and_its_own_note(zone, table):
    """The file is in its place but this node did not note it: it is found, verified and recorded, not fetched twice."""
    await offer(zone, table)
    agreement = await agree(zone)
    await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)
    zone.orders.fails = 1
    with pytest.raises(PeerError):
        await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    row = transfers(zone[UNIVERSITY])[0]
    before = msgspec.structs.replace(row, state="fetching", path=str(Path(row.path).parent), root="")
    zone[UNIVERSITY]._database.put(before)
    office = await zone.nodes[UNIVERSITY].crash()
    (fetched,) = await office.resume()
    assert not isinstance(fetched, Exception)
    assert "received" == office.deliveries.show(fetched.delivery).state


async def test_lost_answer_to_received(zone, table):
    """The receipt was recorded and the answer lost: the start after that finds it on the ledger."""
    await offer(zone, table)
    agreement = await agree(zone)
    await zone[HOSPITAL].deliveries.open_for(UNIVERSITY, agreement.id)
    zone.orders.loses = 1
    with pytest.raises(PeerError):
        await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    await zone.settle()
    size = zone.engine.state.frontier.size
    office = await zone.nodes[UNIVERSITY].crash()
    (fetched,) = await office.resume()
    assert not isinstance(fetched, Exception)
    assert size == zone.engine.state.frontier.size


async def test_unreachable_provider_leaves_the_fetch_for_later(zone, table):
    """Nothing is given up because somebody's node is down; a refusal is final and says why."""
    await offer(zone, table)
    agreement = await agree(zone)
    zone.exchange.down = {HOSPITAL}
    with pytest.raises(PeerError):
        await zone[UNIVERSITY].deliveries.fetch(agreement.id)
    assert "opening" == transfers(zone[UNIVERSITY])[0].state
    zone.exchange.down = set()
    (fetched,) = await zone[UNIVERSITY].resume()
    assert "received" == zone[UNIVERSITY].deliveries.show(fetched.delivery).state


async def test_copy_that_is_behind_waits_for_the_record(zone, table):
    """A consumer whose copy lags waits for the delivery to be in it rather than taking the provider's word."""
    await offer(zone, table)
    agreement = await agree(zone)
    zone.hold(UNIVERSITY)
    fetching = asyncio.ensure_future(zone[UNIVERSITY].deliveries.fetch(agreement.id))
    while not zone.nodes[UNIVERSITY].behind:
        await asyncio.sleep(0.001)
    assert not fetching.done()
    await zone.release(UNIVERSITY)
    assert "received" == zone[HOSPITAL].deliveries.show((await fetching).delivery).state
