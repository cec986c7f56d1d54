"""Zones with engines and seats, whose ledgers lie in homes, for what a node reads of them."""

import pytest

from tests.support.seated import SeatedZone


@pytest.fixture
def make_zone(tmp_path):
    """Return a function that begins a zone; its store is closed afterwards."""
    made = []

    def make(*arguments, **options):
        made.append(SeatedZone(tmp_path / f"home-{len(made)}", *arguments, **options))
        return made[-1]

    yield make
    for zone in made:
        zone.store.close()
