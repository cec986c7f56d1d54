"""What policies say in plain sentences."""

from __future__ import annotations

import pytest

from tallystick.modules.catalogue.presets import PRESETS
from tallystick.modules.catalogue.wording import explain_terms
from tests.support.market import terms_on


def test_the_default_is_said_plainly() -> None:
    """Who may have it, for how long, and what must not be done, in words and without identifiers."""
    assert (
        "The owner decides each request.",
        "May use (recipient is the organisation that the agreement names; duration at most P90D).",
        "Must not distribute.",
    ) == explain_terms(terms_on())


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_shows_an_identifier(name: str) -> None:
    """No sentence about a preset has an identifier of the profile in it."""
    assert not any("urn:" in line for line in explain_terms(terms_on(name=name)))
