"""One small home for all tests of the checker, and copies of it to damage."""

import shutil

import pytest

from tests.support.ledgers import make_home


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """A good home; not to be changed."""
    return make_home(tmp_path_factory.mktemp("pristine") / "home")


@pytest.fixture
def home(pristine, tmp_path):
    """A copy of the good home, to be damaged."""
    return shutil.copytree(pristine, tmp_path / "home")
