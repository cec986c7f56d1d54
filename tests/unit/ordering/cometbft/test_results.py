"""Outcomes in a few bytes: one form, and it comes back as it went."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.codec import MalformedError
from tallystick.ordering.cometbft.results import decode_outcomes, encode_outcomes


@given(st.integers(0, 2**40), st.lists(st.sampled_from([0, 10, 9001]), min_size=1, max_size=1_000))
def test_outcomes_come_back(first_leaf, codes):
    """Leaf and outcomes are read as they were written."""
    result = decode_outcomes(encode_outcomes(first_leaf, codes))
    assert (first_leaf, codes) == (result.first_leaf, result.codes())


def test_thousand_equal_outcomes_are_a_few_bytes():
    """A large transaction of which all is accepted costs no more than a small one."""
    assert len(encode_outcomes(123_456, [0] * 1_000)) < 50


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"first_leaf":-1,"outcomes":[[0,1]]}',
        b'{"first_leaf":1,"outcomes":[]}',
        b'{"first_leaf":1,"outcomes":[[0,1],[0,1]]}',
        b'{"first_leaf":1,"outcomes":[[0,0]]}',
        b'{"first_leaf":1,"outcomes":[[0,1001]]}',
        b'{"first_leaf": 1,"outcomes":[[0,1]]}',
    ],
)
def test_other_forms_are_refused(data):
    """Runs that could be longer, empty or too long ones, and other spellings are malformed."""
    with pytest.raises(MalformedError):
        decode_outcomes(data)
