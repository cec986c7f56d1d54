"""The API of the hospital's node, in a zone of three offices that is made once and copied for each test."""

from __future__ import annotations

import pytest

from tests.support.office_api import NodeApi
from tests.support.offices import make_blueprint, open_zone
from tests.support.zones import HOSPITAL


@pytest.fixture(scope="session")
def blueprint(tmp_path_factory):
    """What a zone of hospital, university and bank begins with; the hospital orders and votes alone."""
    return make_blueprint(tmp_path_factory.mktemp("blueprint"))


@pytest.fixture
async def zone(blueprint, tmp_path):
    """A running zone."""
    async with open_zone(blueprint, tmp_path / "zone") as made:
        yield made


@pytest.fixture
async def api(zone):
    """The hospital's API."""
    made = NodeApi(zone.nodes[HOSPITAL])
    yield made
    await made.app.state.jobs.stop()


@pytest.fixture
def table(tmp_path):
    """A small table on the provider's disk."""
    path = tmp_path / "discharges.csv"
    path.write_text("ward,days\n" + "".join(f"{ward},{ward % 9}\n" for ward in range(40)))
    return path
