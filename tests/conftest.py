"""What holds for every test: bounded, repeatable, and blind to the settings of whoever runs it."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.components import left_out
from tests.support.last_words import last_words

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what nodes wrote meanwhile: where it happens once in a hundred runs, nothing else is left."""
    report = yield
    if report.failed:
        folder = item.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        report.sections += last_words(folder, since=call.start)
    return report
