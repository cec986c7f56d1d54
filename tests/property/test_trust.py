"""A trust file is what its members signed: no byte of it can be changed, and no chain of it can be forged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.proofs import TrustError, TrustFile, sign_entry
from tests.vectors.proofs.generate import grown_zone
from tests.vectors.proofs.zone import ORGANISATIONS, Zone

GOOD = grown_zone().trust.encode()
CHAIN = b'"chain":"'


def test_every_byte_of_a_trust_file_counts() -> None:
    """Each byte, changed, spoils the file; the chain id alone is bound by the genesis and not by the signatures."""
    data = bytearray(GOOD)
    name = range(GOOD.index(CHAIN) + len(CHAIN), GOOD.index(b'","genesis"'))
    for position, byte in enumerate(GOOD):
        if position in name:
            continue
        for other in {byte ^ 0x01, byte ^ 0x20, (byte + 7) % 256}:
            data[position] = other
            with pytest.raises(TrustError):
                TrustFile.parse(bytes(data))
        data[position] = byte


@given(st.binary(max_size=120))
def test_garbage_is_refused(data: bytes) -> None:
    """Bytes of no meaning are refused by name."""
    with pytest.raises(TrustError):
        TrustFile.parse(data)


_members = st.lists(st.sampled_from([*ORGANISATIONS, "mill", "school"]), min_size=1, unique=True)


@given(st.lists(st.tuples(_members, _members, st.integers(0, 2)), min_size=1, max_size=4))
def test_only_a_quorum_moves_the_zone(steps: list[tuple[list[str], list[str], int]]) -> None:
    """A version is taken exactly if who ordered and enough other members of the one before signed, and nobody else."""
    zone = Zone(("bank", "city", "hospital"))
    for number, (members, signers, which) in enumerate(steps, start=1):
        before = zone.trust.latest
        orderers = sorted(members)[which % len(members) :][: 1 + which % 5]
        keys = {name: zone.key(name).public_key for name in members}
        entry = zone.trust.next_entry(keys, validators=orderers, height=number, since=number)
        for name in signers:
            entry = sign_entry(before.hash, entry, name, zone.key(name))
        ordering = set(signers) & set(before.validators)
        others = set(signers) - ordering
        enough = 3 * len(ordering) > 2 * len(before.validators) and len(others) >= before.needed
        allowed = enough and others <= set(before.members)
        if allowed:
            zone.trust = TrustFile.parse(zone.trust.extend([entry]).encode())
            assert keys == dict(zone.trust.latest.members)
        else:
            with pytest.raises(TrustError):
                zone.trust.extend([entry])
