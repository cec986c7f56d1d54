"""Evidence: recorded once, proved file by file, refused when anything was changed."""

import json

import pytest

from tallystick.codec import decode_json, encode_json
from tallystick.errors import NodeError, PeerError, StorageError, UsageError
from tallystick.office import verify_evidence
from tallystick.office.database import EvidenceRow
from tallystick.office.refusals import EvidenceError, NotFoundError
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY


@pytest.fixture
def papers(tmp_path):
    """A folder of minutes, one of them in a folder of its own."""
    folder = tmp_path / "minutes"
    (folder / "2024").mkdir(parents=True)
    (folder / "march.txt").write_text("We met in March.")
    (folder / "2024" / "april.txt").write_text("We met in April.")
    return folder


@pytest.fixture
async def proved(zone, papers):
    """The papers, recorded and witnessed: (view, proofs by file name)."""
    view = await zone[HOSPITAL].evidence.record([papers], wait_s=0)
    await zone.witness()
    view = await zone[HOSPITAL].evidence.proofs(view.id)
    return view, {
        name: (zone.nodes[HOSPITAL].folder / "outbox" / "evidence").rglob(f"{name.rpartition('/')[2]}.proof.json")
        for name in view.names
    }


def trust(zone):
    return zone.nodes[BANK].keeper.trust


async def test_each_file_has_a_proof_that_verifies_offline(zone, papers, proved):
    """A proof and the file are enough, with the zone's trust file; the ledger has one root for all."""
    view, proofs = proved
    assert ("minutes/2024/april.txt", "minutes/march.txt") == view.names
    assert view.witnessed
    for name in view.names:
        data = next(proofs[name]).read_bytes()
        shown = verify_evidence(papers.parent / name, data, trust(zone))
        assert (name, HOSPITAL, view.id, 2) == (shown.name, shown.organisation, shown.evidence, shown.count)
        assert view.recorded_at == shown.recorded_at
        assert "witnessed" in " ".join(shown.explain())
    await zone.settle()
    assert [view.id] == [each.id for each in zone[BANK].evidence.list(all_members=True)]
    assert () == zone[BANK].evidence.list()
    assert () == zone[BANK].evidence.show(view.id).names


async def test_proof_before_it_is_witnessed_says_so(zone, papers):
    """A proof without a receipt does not verify; written again later, it does."""
    view = await zone[HOSPITAL].evidence.record([papers / "march.txt"], papers.parent / "out", wait_s=0)
    assert not view.witnessed
    path = papers.parent / "out" / "march.txt.proof.json"
    with pytest.raises(EvidenceError, match="not yet witnessed"):
        verify_evidence(papers / "march.txt", path.read_bytes(), trust(zone))
    await zone.witness()
    await zone[HOSPITAL].evidence.proofs(view.id, papers.parent / "again")
    again = papers.parent / "again" / "march.txt.proof.json"
    assert view.id == verify_evidence(papers / "march.txt", again.read_bytes(), trust(zone)).evidence


async def test_changed_file_is_refused(zone, papers, proved):
    """One byte more, one byte other, or another file: the proof does not hold for it."""
    _, proofs = proved
    data = next(proofs["minutes/march.txt"]).read_bytes()
    for text in ("We met in March. ", "We met in march.", ""):
        (papers / "march.txt").write_text(text)
        with pytest.raises(EvidenceError, match="content differs"):
            verify_evidence(papers / "march.txt", data, trust(zone))
    with pytest.raises(EvidenceError):
        verify_evidence(papers / "2024" / "april.txt", data, trust(zone))
    with pytest.raises(StorageError):
        verify_evidence(papers / "absent.txt", data, trust(zone))


async def test_any_changed_byte_of_a_proof_is_refused(zone, papers, proved):
    """Every byte of the proof file is flipped in turn: none of the results verifies."""
    _, proofs = proved
    data = next(proofs["minutes/march.txt"]).read_bytes()
    file = papers / "march.txt"
    verify_evidence(file, data, trust(zone))
    for place in range(0, len(data), 7):
        for flip in (1, 0x20):
            changed = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
            with pytest.raises(NodeError):
                verify_evidence(file, changed, trust(zone))


async def test_proof_written_otherwise_is_refused(zone, papers, proved):
    """Spaces, another order, duplicate and unknown fields, other types: only the one spelling counts."""
    _, proofs = proved
    data = next(proofs["minutes/march.txt"]).read_bytes()
    value = json.loads(data)
    others = [
        json.dumps(value).encode(),
        data + b"\n",
        data[:-1] + b',"x":1}',
        data.replace(b'"v":1', b'"v":1,"v":1'),
        b"",
        b"[]",
        b"null",
        b"{" * 50_000,
    ]
    changes = (
        ("name", "minutes/april.txt"),
        ("organisation", BANK),
        ("chain", "other-00000000"),
        ("evidence", "ev-00000000"),
        ("root", "0" * 64),
        ("sha256", value["sha256"].upper()),
        ("size", value["size"] + 1),
        ("size", -1),
        ("v", 2),
        ("receipt", {}),
        ("receipt", None),
        ("disclosure", {}),
        ("disclosure", {"path": []}),
    )
    others += [encode_json({**decode_json(data), name: changed}) for name, changed in changes]
    for other in others:
        with pytest.raises(NodeError) as raised:
            verify_evidence(papers / "march.txt", other, trust(zone))
        assert raised.value.remedy


async def test_proof_of_one_record_with_the_receipt_of_another(zone, papers, proved):
    """A receipt vouches for the root that it is about, and for no other."""
    _, proofs = proved
    mine = decode_json(next(proofs["minutes/march.txt"]).read_bytes())
    theirs = await zone[UNIVERSITY].evidence.record([papers / "march.txt"], papers.parent / "theirs", wait_s=0)
    await zone.witness()
    await zone[UNIVERSITY].evidence.proofs(theirs.id)
    other = decode_json((papers.parent / "theirs" / "march.txt.proof.json").read_bytes())
    for fields in (mine | {"receipt": other["receipt"]}, mine | {"disclosure": other["disclosure"]}):
        with pytest.raises(EvidenceError):
            verify_evidence(papers / "march.txt", encode_json(fields), trust(zone))


async def test_crash_before_the_answer(zone, papers):
    """The record is on the ledger and the answer was lost: after the start its id and proofs are there."""
    zone.orders.loses = 1
    with pytest.raises(PeerError):
        await zone[HOSPITAL].evidence.record([papers], wait_s=0)
    await zone.witness()
    office = await zone.nodes[HOSPITAL].crash()
    assert "" == office._database.rows(EvidenceRow)[0].evidence
    await office.resume()
    (view,) = office.evidence.list()
    assert view.witnessed and view.recorded is not None
    proof = next((zone.nodes[HOSPITAL].folder / "outbox").rglob("march.txt.proof.json"))
    assert view.id == verify_evidence(papers / "march.txt", proof.read_bytes(), trust(zone)).evidence


async def test_failure_before_the_ledger(zone, papers):
    """Nothing was recorded; nothing is claimed, and recording again is a new record with a new salt."""
    zone.orders.fails = 1
    with pytest.raises(PeerError):
        await zone[HOSPITAL].evidence.record([papers], wait_s=0)
    office = await zone.nodes[HOSPITAL].crash()
    await office.resume()
    assert () == office.evidence.list()
    view = await office.evidence.record([papers], wait_s=0)
    assert 2 == office._database.count(EvidenceRow)
    assert view.root != office._database.rows(EvidenceRow)[0].root


async def test_what_cannot_be_recorded(zone, papers, tmp_path):
    """Nothing, two files of one name, what is not there: refused before anything is signed."""
    twin = tmp_path / "twin" / "march.txt"
    twin.parent.mkdir()
    twin.write_text("another")
    for paths in ([], [papers / "march.txt", twin], [tmp_path / "absent"]):
        with pytest.raises(UsageError) as raised:
            await zone[HOSPITAL].evidence.record(paths, wait_s=0)
        assert raised.value.remedy
    assert 0 == zone.engine.state.frontier.size


async def test_proofs_of_what_is_not_here(zone, papers):
    """Another node's evidence has no proofs here; the record itself can be shown."""
    view = await zone[HOSPITAL].evidence.record([papers], wait_s=0)
    await zone.settle()
    with pytest.raises(NotFoundError):
        await zone[BANK].evidence.proofs(view.id)
    with pytest.raises(NotFoundError):
        zone[BANK].evidence.show("ev-nothing")


async def test_folder_for_proofs_that_cannot_be_written(zone, papers, tmp_path):
    """The record stands; the refusal names it, so that its proofs can be written elsewhere."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError) as raised:
        await zone[HOSPITAL].evidence.record([papers], tmp_path / "taken", wait_s=0)
    (view,) = zone[HOSPITAL].evidence.list()
    assert view.id in raised.value.remedy
    await zone[HOSPITAL].evidence.proofs(view.id, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "minutes" / "march.txt.proof.json").is_file()
