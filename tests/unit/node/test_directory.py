"""Who is who among peers: what this copy of the ledger says now, read anew when it says something else."""

from contextlib import closing

from tallystick.modules.organisations.ops import SuspendOrganisation
from tallystick.node.peers.directory import Directory
from tests.support.seated import SeatedZone
from tests.support.zones import BANK, CITY, HOSPITAL, UNIVERSITY
from tests.vectors.organisations.seats import demote, promote

THREE = (HOSPITAL, UNIVERSITY, BANK)


def test_members_and_those_who_order_are_those_of_the_last_block(tmp_path):
    """A handover, promotion, demotion and suspension are seen with their blocks; other blocks change nothing."""
    zone = SeatedZone(tmp_path / "home", (*THREE, CITY), validators=THREE)
    with closing(zone.store):
        directory = Directory(zone.store)
        assert 1 == len(directory.orderers)
        zone.hand_over(*THREE)
        assert tuple(sorted(THREE)) == directory.orderers
        handed_over = zone.height
        zone.execute([])
        assert tuple(sorted(THREE)) == directory.orderers
        zone.run(CITY, zone.engine(CITY))
        for voter in THREE:
            zone.run(voter, promote(CITY))
        assert tuple(sorted((*THREE, CITY))) == directory.orderers
        needed = directory.quorums()
        assert (1, 3, 3) == (needed(handed_over), needed(handed_over + 1), needed(zone.height + 1))

        for voter in THREE:
            zone.run(voter, demote(CITY))
        assert tuple(sorted(THREE)) == directory.orderers
        assert directory.find(CITY) is not None
        for voter in THREE:
            zone.run(voter, SuspendOrganisation(organisation=CITY))
        assert directory.find(CITY) is None
        assert CITY not in {peer.organisation for peer in directory.peers()}
