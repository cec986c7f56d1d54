"""Party-only values: sealed, held against their commitment, never lost by a crash, never given to the wrong one."""

import secrets

import msgspec
import pytest

from tallystick.codec import decode_json, encode_json
from tallystick.dataplane.refusals import PackageError
from tallystick.errors import AccessError, PeerError, RejectedError
from tallystick.merkle.commitments import commit_fields
from tallystick.office import notes as notes_module
from tallystick.office.database import NoteRow
from tallystick.office.envelopes import note_id, seal_note
from tallystick.office.refusals import NoteMismatchError, NoteRefusedError
from tests.support.deals import PURPOSE, ask, offer
from tests.support.offices import DAY, HOUR
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY


def said(office, request):
    """Return (status, fields) of what was said with a request, as an office has it."""
    first = office.requests.show(request).private[0]
    return first.status, first.fields


def forged(zone, request, fields, **changes):
    """Return a note about a request, sealed to the hospital by the university, with these values."""
    node = zone.nodes[UNIVERSITY]
    commitment = zone[UNIVERSITY].requests.show(request).private[0].commitment
    parts = {
        "chain": node.store.chain,
        "sender": UNIVERSITY,
        "recipient": HOSPITAL,
        "key": zone[HOSPITAL].keys.encryption_key,
        "subject": f"requests/{request}",
        "commitment": commitment,
        "salt": secrets.token_bytes(32),
        "fields": fields,
    } | changes
    return seal_note(**parts)


@pytest.fixture
async def request_id(zone, table):
    """A request of the university's whose note has not arrived: the hospital was cut off."""
    await offer(zone, table)
    zone.exchange.down = {HOSPITAL}
    return (await ask(zone)).id


async def test_note_waits_until_the_other_side_is_there(zone, request_id):
    """It is shown as waiting, and arrives with the next push."""
    assert ("waiting", {}) == said(zone[HOSPITAL], request_id)
    zone.exchange.down = set()
    zone[UNIVERSITY].notes.push_waiting()
    await zone.settle()
    assert ("verified", {"purpose": PURPOSE}) == said(zone[HOSPITAL], request_id)
    assert [] == zone[UNIVERSITY].notes.waiting_for(HOSPITAL)


async def test_note_that_cannot_be_pushed_is_asked_for(zone, request_id):
    """A consumer behind a firewall hands its notes out on request, and forgets them when they are acknowledged."""
    (note,) = zone[UNIVERSITY].notes.waiting_for(HOSPITAL)
    assert [] == zone[UNIVERSITY].notes.waiting_for(BANK)
    identifier = zone[HOSPITAL].notes.receive(UNIVERSITY, note)
    assert note_id(note) == identifier
    assert not zone[UNIVERSITY].notes.acknowledge(BANK, identifier)
    assert zone[UNIVERSITY].notes.acknowledge(HOSPITAL, identifier)
    assert not zone[UNIVERSITY].notes.acknowledge(HOSPITAL, identifier)
    assert [] == zone[UNIVERSITY].notes.waiting_for(HOSPITAL)
    assert "verified" == said(zone[HOSPITAL], request_id)[0]


async def test_note_delivered_twice_is_one(zone, request_id):
    """Repeating a note gives the same answer and changes nothing."""
    (note,) = zone[UNIVERSITY].notes.waiting_for(HOSPITAL)
    receive = zone[HOSPITAL].notes.receive
    assert receive(UNIVERSITY, note) == receive(UNIVERSITY, note)
    assert 1 == len(zone[HOSPITAL].requests.show(request_id).private)


async def test_values_that_are_not_what_was_committed_to(zone, request_id):
    """They are refused by name, shown as refused and not kept; the true ones, sent later, take their place."""
    (good,) = zone[UNIVERSITY].notes.waiting_for(HOSPITAL)
    with pytest.raises(NoteMismatchError) as raised:
        zone[HOSPITAL].notes.receive(UNIVERSITY, forged(zone, request_id, {"purpose": "Something harmless"}))
    assert UNIVERSITY in raised.value.message
    shown = zone[HOSPITAL].requests.show(request_id).private[0]
    assert ("refused", {}) == (shown.status, shown.fields)
    assert "committed" in shown.reason
    zone[HOSPITAL].notes.receive(UNIVERSITY, good)
    assert ("verified", {"purpose": PURPOSE}) == said(zone[HOSPITAL], request_id)


async def test_note_from_the_wrong_node_zone_or_for_another(zone, request_id):
    """A note counts only from the node that it names, for the one that it names, in this zone."""
    (note,) = zone[UNIVERSITY].notes.waiting_for(HOSPITAL)
    with pytest.raises(NoteRefusedError):
        zone[HOSPITAL].notes.receive(BANK, note)
    with pytest.raises(NoteRefusedError):
        zone[BANK].notes.receive(UNIVERSITY, note)
    with pytest.raises(NoteRefusedError):
        zone[HOSPITAL].notes.receive(UNIVERSITY, forged(zone, request_id, {"purpose": "x"}, chain="other-00000000"))
    assert "waiting" == said(zone[HOSPITAL], request_id)[0]


async def test_note_relabelled_as_about_something_else_does_not_open(zone, request_id):
    """Subject and commitment are bound into the seal: a note cannot be moved to another record."""
    (note,) = zone[UNIVERSITY].notes.waiting_for(HOSPITAL)
    fields = decode_json(note)
    for changes in ({"subject": "requests/req-other"}, {"commitment": "0" * 64}):
        with pytest.raises(NoteRefusedError):
            zone[HOSPITAL].notes.receive(UNIVERSITY, encode_json(fields | changes))


async def test_note_sealed_to_a_key_that_is_not_here(zone, request_id):
    """It is refused with a remedy."""
    note = forged(zone, request_id, {"purpose": "x"}, key=zone[BANK].keys.encryption_key)
    with pytest.raises(PackageError) as raised:
        zone[HOSPITAL].notes.receive(UNIVERSITY, note)
    assert raised.value.remedy


async def test_note_sealed_before_the_key_was_rotated_still_opens(zone, request_id):
    """The old key is kept to open what was sealed to it."""
    (note,) = zone[UNIVERSITY].notes.waiting_for(HOSPITAL)
    await zone[HOSPITAL].own.rotate_encryption_key()
    await zone.settle()
    zone[HOSPITAL].notes.receive(UNIVERSITY, note)
    assert "verified" == said(zone[HOSPITAL], request_id)[0]


async def test_note_before_the_step_that_commits_to_it(zone, table):
    """A copy that is behind takes a note of a later step, shows nothing of it yet, and shows it when the step is there."""
    await offer(zone, table)
    request = await ask(zone)
    zone.hold(UNIVERSITY)
    await zone[HOSPITAL].requests.counter(request.id, "research-90d", "Ninety days will do")
    await zone[HOSPITAL].notes.settle()
    assert [] == zone[HOSPITAL].notes.waiting_for(UNIVERSITY)
    assert ["own"] == [each.status for each in zone[UNIVERSITY].requests.show(request.id).private]
    await zone.release(UNIVERSITY)
    shown = zone[UNIVERSITY].requests.show(request.id).private
    assert ["own", "verified"] == [each.status for each in shown]
    assert {"comment": "Ninety days will do"} == shown[1].fields


async def test_note_about_nothing_on_the_ledger(zone, table):
    """It waits unseen for a day of the ledger's time, and is then forgotten."""
    await offer(zone, table)
    request = await ask(zone)
    salt = secrets.token_bytes(32)
    for subject in ("deliveries/dlv-later", f"requests/{request.id}", "nonsense", "requests/"):
        fields = {"purpose": "another", "about": subject}
        commitment = commit_fields(salt, fields)
        note = forged(zone, request.id, fields, salt=salt, subject=subject, commitment=commitment)
        assert note_id(note) == zone[HOSPITAL].notes.receive(UNIVERSITY, note)
    shown = zone[HOSPITAL].requests.show(request.id).private
    assert [("verified", {"purpose": PURPOSE})] == [(each.status, each.fields) for each in shown]
    database = zone[HOSPITAL]._database
    assert 4 == database.count(NoteRow, direction="in", state="early")
    zone.clock.advance(DAY + HOUR)
    await zone.heartbeat()
    zone[HOSPITAL].notes.resume()
    assert 0 == database.count(NoteRow, direction="in", state="early")


async def test_values_of_another_s_commitment(zone, table):
    """Whoever did not make a commitment cannot give the values of it, even the true ones."""
    await offer(zone, table)
    request = await ask(zone)
    (row,) = zone[UNIVERSITY]._database.rows(NoteRow, direction="out")
    note = forged(zone, request.id, row.fields, salt=row.salt, sender=BANK)
    with pytest.raises(NoteMismatchError):
        zone[HOSPITAL].notes.receive(BANK, note)
    assert 1 == zone[HOSPITAL]._database.count(NoteRow, direction="in")


async def test_crash_between_ledger_and_note(zone, table):
    """The answer got lost and the office died: what was committed to is on disk, and is sent after the start."""
    await offer(zone, table)
    zone.orders.loses = 1
    with pytest.raises(PeerError):
        await ask(zone)
    await zone.settle()
    request = zone[HOSPITAL].requests.list("received")[0].id
    assert "waiting" == said(zone[HOSPITAL], request)[0]
    office = await zone.nodes[UNIVERSITY].crash()
    assert [] == office.notes.waiting_for(HOSPITAL)
    await office.resume()
    await zone.settle()
    assert ("verified", {"purpose": PURPOSE}) == said(zone[HOSPITAL], request)


async def test_crash_before_the_ledger(zone, table):
    """What was never recorded is never sent, and is forgotten once no transaction can bring it any more."""
    await offer(zone, table)
    zone.orders.fails = 1
    with pytest.raises(PeerError):
        await ask(zone)
    office = await zone.nodes[UNIVERSITY].crash()
    await office.resume()
    assert [] == office.notes.waiting_for(HOSPITAL)
    assert 1 == office._database.count(NoteRow, direction="out", state="draft")
    zone.clock.advance(2 * HOUR)
    await zone.heartbeat()
    await office.resume()
    assert 0 == office._database.count(NoteRow, direction="out")


async def test_rejected_operation_leaves_no_note(zone, table):
    """What was said with a step that the ledger refuses is forgotten at once."""
    await offer(zone, table)
    request = await ask(zone)
    await zone[UNIVERSITY].requests.cancel(request.id)
    await zone.settle()
    with pytest.raises(RejectedError):
        await zone[HOSPITAL].requests.reject(request.id, "Too late")
    assert 0 == zone[HOSPITAL]._database.count(NoteRow, direction="out")


async def test_refusal_of_the_other_side_keeps_the_note(zone, request_id):
    """A note that was refused on its way stays here and is sent again."""
    zone.exchange.down = set()
    zone.exchange.tamper = lambda sender, recipient, note: note[:-2] + b"2}"
    zone[UNIVERSITY].notes.push_waiting()
    await zone.settle()
    assert 1 == len(zone[UNIVERSITY].notes.waiting_for(HOSPITAL))
    zone.exchange.tamper = lambda sender, recipient, note: note
    zone[UNIVERSITY].notes.push_waiting()
    await zone.settle()
    assert "verified" == said(zone[HOSPITAL], request_id)[0]


async def test_lost_values_are_said_to_be_lost(zone, request_id, table):
    """A restored office that has lost what it committed to says so rather than showing nothing."""
    zone[UNIVERSITY]._database.remove(NoteRow, direction="out")
    assert ("lost", {}) == said(zone[UNIVERSITY], request_id)


async def test_too_many_early_notes_of_one_sender(zone, request_id, monkeypatch):
    """A peer cannot fill this node's disk with notes about records that nobody has."""
    monkeypatch.setattr(notes_module, "MAX_EARLY", 3)
    database = zone[HOSPITAL]._database
    for number in range(3):
        database.put(
            NoteRow(
                direction="in",
                commitment=f"{number:064x}",
                author=UNIVERSITY,
                recipient=HOSPITAL,
                subject="requests/req-later",
                state="early",
                created=zone.clock.now,
            )
        )
    (note,) = zone[UNIVERSITY].notes.waiting_for(HOSPITAL)
    row = zone[UNIVERSITY]._database.rows(NoteRow, direction="out")[0]
    later = forged(zone, request_id, row.fields, salt=row.salt, subject="requests/req-later")
    with pytest.raises(AccessError, match="too many notes"):
        zone[HOSPITAL].notes.receive(UNIVERSITY, later)
    zone[HOSPITAL].notes.receive(UNIVERSITY, note)
    assert "verified" == said(zone[HOSPITAL], request_id)[0]
    zone.clock.advance(2 * DAY)
    await zone.heartbeat()
    zone[HOSPITAL].notes.resume()
    assert 0 == database.count(NoteRow, direction="in", state="early")


async def test_notes_hold_their_values_sealed_on_the_way(zone, request_id):
    """Nothing of what is said can be read in a note, nor on the ledger."""
    (note,) = zone[UNIVERSITY].notes.waiting_for(HOSPITAL)
    assert PURPOSE.encode() not in note
    assert PURPOSE not in str([event.body for event in zone[HOSPITAL].ledger.events()])
    assert msgspec.json.decode(note)["v"] == 1
