"""What holds for every test: bounded, repeatable, and blind to the settings of whoever runs it."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.support.components import left_out

# Examples are the same in every run, so that a failure seen once is seen again; `thorough` is for looking further.
_SLOW_MACHINES = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "ci", max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=_SLOW_MACHINES
)
settings.register_profile(
    "thorough", max_examples=2_000, deadline=None, database=None, suppress_health_check=_SLOW_MACHINES
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure() -> None:
    """Leave the tester's own node and proxy out of it, and refuse a misspelt component at once."""
    for name in [
        name
        for name in os.environ
        if name.startswith("TALLY_") and not name.startswith(("TALLY_TEST_", "TALLY_FAULT_"))
    ]:
        del os.environ[name]
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = "127.0.0.1,localhost"
    try:
        left_out()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
