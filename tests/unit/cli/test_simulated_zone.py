"""The simulated zone is asked as the real client is."""

from __future__ import annotations

import inspect

import pytest

from tallystick.sdk import Zone
from tests.unit.cli.simulated_zone import SimulatedZone

METHODS = sorted(name for name, _ in inspect.getmembers(SimulatedZone, inspect.isfunction) if not name.startswith("_"))


@pytest.mark.parametrize("name", METHODS)
def test_a_simulated_method_takes_what_the_real_one_takes(name: str) -> None:
    """Names, kinds and defaults of the parameters are those of the client, so that the simulator cannot drift."""
    simulated = inspect.signature(getattr(SimulatedZone, name)).parameters.values()
    real = inspect.signature(getattr(Zone, name)).parameters.values()

    assert [(each.name, each.kind, each.default) for each in simulated] == [
        (each.name, each.kind, each.default) for each in real
    ]
