"""Who witnesses what: the signatures that a node keeps of itself are such that the checker accepts its home."""

import pytest

from tallystick.ledger.trustkeeper import TrustKeeper
from tallystick.ledger.witness import Witness
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.modules.organisations.ops import AdmitOrganisation
from tallystick.node.inspection import check
from tallystick.proofs.trust import TrustFile
from tests.support.market import digest
from tests.support.recorded import SCHOOL, RecordedZone
from tests.support.zones import HOSPITAL, make_card


@pytest.fixture
def zone(tmp_path):
    made = RecordedZone(tmp_path / "home")
    yield made
    made.close()


def witness_of(zone, organisation):
    """Return what cosigns for an organisation, over the zone's ledger as its copy."""
    trust = TrustKeeper(
        TrustFile.parse((zone.folder / "zone.json").read_bytes()),
        zone.store,
        organisation=organisation,
        signer=zone.system(organisation),
        on_change=lambda _: None,
    )
    return Witness(
        zone.store,
        trust,
        organisation=organisation,
        signer=zone.system(organisation),
        clock_s=lambda: zone.time // 1_000,
        nodes=lambda _: None,
    )


def test_new_member_witnesses_only_what_comes_after_it(zone):
    """The checkpoint that ends with a member's admission is kept by it and not cosigned; the next one is."""
    zone.run(HOSPITAL, AdmitOrganisation(card=make_card(SCHOOL)))
    zone.publish()
    size, _, _, note = zone.store.latest_checkpoint()
    assert 1 == size
    assert None is witness_of(zone, SCHOOL).cosign(note.encode())
    assert check(zone.folder).ok

    zone.run(HOSPITAL, RecordEvidence(root=digest("after"), count=1))
    zone.publish()
    size, _, _, note = zone.store.latest_checkpoint()
    made = witness_of(zone, SCHOOL).cosign(note.encode())
    assert (2, SCHOOL) == (made.size, made.cosignature.organisation)
    report = check(zone.folder)
    assert report.ok, report.findings
