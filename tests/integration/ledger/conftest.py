"""One home with all operations of the house for all tests here, and copies of it to damage."""

import shutil

import pytest

from tests.support.recorded import make_recorded_home


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A good home of about sixty blocks; not to be changed."""
    return make_recorded_home(tmp_path_factory.mktemp("recorded") / "home")


@pytest.fixture
def home(recorded, tmp_path):
    """A copy of the good home, to be damaged."""
    return shutil.copytree(recorded, tmp_path / "home")
