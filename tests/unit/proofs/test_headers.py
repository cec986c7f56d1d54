"""Headers and their signatures."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tallystick.codec import MalformedError, encode_json, sha256
from tallystick.proofs import (
    app_hash,
    check_chain_id,
    check_signatures,
    decode_header,
    decode_signatures,
    encode_header,
    encode_signatures,
    header_hash,
    quorum,
    sign_header,
    transactions_root,
    verify_signature,
)
from tests.vectors.proofs.zone import Zone, signer


def test_headers_go_both_ways_and_are_chained() -> None:
    """A header is read from its bytes, names the hash of the one before, and the first names the genesis."""
    zone = Zone()
    first, second = zone.block()[0], zone.block()[0]

    assert first == decode_header(encode_header(first))
    assert zone.genesis_hash.hex() == first.previous
    assert header_hash(first).hex() == second.previous
    assert first.app_hash == second.app_hash
    assert app_hash(zone.state.root, zone.tree.root(0), 0).hex() == first.app_hash
    assert sha256(b"").hex() == first.transactions_root == transactions_root([]).hex()


def test_a_signature_is_of_one_header_by_one_key() -> None:
    """The signature is of this header by this key; anything else is not, and nothing raises."""
    zone = Zone()
    header, signatures, _ = zone.block()
    signature, key = signatures[0].signature, zone.key("city").public_key

    assert verify_signature(header, signature, key)
    assert not verify_signature(header, signature, zone.key("bank").public_key)
    assert not verify_signature(msgspec.structs.replace(header, height=2), signature, key)
    for bad in (signature.upper(), signature[:-2], "", "zz" * 64, " " + signature):
        assert not verify_signature(header, bad, key)


@pytest.mark.parametrize(("validators", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (100, 67)])
def test_a_quorum_is_more_than_two_thirds(validators: int, needed: int) -> None:
    """With one fewer, two quorums need not share an honest member."""
    assert needed == quorum(validators)
    assert 3 * needed > 2 * validators >= 3 * (needed - 1)


def test_signatures_go_both_ways_in_one_form() -> None:
    """Signatures are read from their own bytes only, and each must be a validator's and good."""
    zone = Zone(orderers=("bank", "city", "port"))
    header, signatures, _ = zone.block()
    validators = zone.trust.latest.validators
    data = encode_signatures(signatures[::-1])

    assert tuple(signatures) == decode_signatures(data)
    assert ("bank", "city", "port") == check_signatures(header, signatures, validators)
    assert () == check_signatures(header, [], validators)
    doubled = encode_json([*msgspec.to_builtins(signatures), msgspec.to_builtins(signatures[-1])])
    for bad in (
        data + b" ",
        data.replace(b"bank", b"Bank"),
        encode_json(msgspec.to_builtins(signatures[::-1])),
        doubled,
    ):
        with pytest.raises(MalformedError):
            decode_signatures(bad)
    stranger = sign_header(header, "university", zone.key("university"))
    forged = msgspec.structs.replace(signatures[1], signature=signatures[0].signature)
    for wrong in ([*signatures, stranger], [signatures[0], forged], signatures[::-1], [signatures[0]] * 2):
        with pytest.raises(MalformedError):
            check_signatures(header, wrong, validators)


@pytest.mark.parametrize(
    "changed",
    [{"app_hash": "AB" * 32}, {"previous": "ab"}, {"chain": "x"}, {"height": 0}, {"time": -1}, {"time": 2**53}],
)
def test_headers_not_of_their_form_are_refused(changed: dict[str, Any]) -> None:
    """Such a header is neither signed nor read."""
    header = msgspec.structs.replace(Zone().block()[0], **changed)
    with pytest.raises(MalformedError):
        decode_header(encode_json(msgspec.to_builtins(header)))
    if isinstance(next(iter(changed.values())), str):
        with pytest.raises(MalformedError):
            sign_header(header, "city", signer("city/system"))


@pytest.mark.parametrize("text", ["", "x", "zone", "zone-1234567", "zone-1234567G", "Zone-12345678", "-12345678"])
def test_chain_ids_have_one_form(text: str) -> None:
    """A chain id is a slug, a hyphen and eight hex characters."""
    assert "my.zone-2-0123abcd" == check_chain_id("my.zone-2-0123abcd")
    with pytest.raises(MalformedError):
        check_chain_id(text)
