"""A zone of three offices, made once and copied for each test."""

from __future__ import annotations

import pytest

from tests.support.offices import make_blueprint, open_zone


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
def table(tmp_path):
    """A small table on the provider's disk."""
    path = tmp_path / "discharges.csv"
    path.write_text("ward,days\n" + "".join(f"{ward},{ward % 9}\n" for ward in range(40)))
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder of five files of a MiB: a delivery of several batches."""
    path = tmp_path / "scans"
    for number in range(5):
        (path / f"ward-{number}").mkdir(parents=True)
        (path / f"ward-{number}" / "scan.bin").write_bytes(bytes([number]) * (1 << 20))
    return path
