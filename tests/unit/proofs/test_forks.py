"""Fork proofs: what proves two histories, and what does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tallystick.codec import encode_json, sha256
from tallystick.codec.payloads import Seen
from tallystick.merkle import consistency_path, inclusion_path, tree_root
from tallystick.proofs import (
    ForkProofError,
    build_headers_fork,
    build_histories_fork,
    build_seen_fork,
    checkpoint_statement,
    cosignature_statement,
    header_statement,
    verify_fork_proof,
)
from tests.vectors.proofs.generate import grown_zone
from tests.vectors.proofs.zone import Zone, evidence, small_zone


def refusal(data: bytes, zone: Zone) -> str:
    """Return the reason why a fork proof is refused."""
    with pytest.raises(ForkProofError) as caught:
        verify_fork_proof(data, zone.trust)
    return caught.value.reason


def said(zone: Zone, organisation: str, size: int, root: bytes) -> Any:
    """Return a member's checkpoint as a statement."""
    return checkpoint_statement(zone.chain, size, root, organisation=organisation, signer=zone.key(organisation))


def headers_fork(*parts: Any) -> bytes:
    """Return the file for two headers that somebody signed both."""
    data = build_headers_fork(*parts)
    assert data is not None
    return data


@pytest.mark.parametrize("smaller", range(1, 10))
def test_statements_about_any_two_sizes(smaller: int) -> None:
    """Another root at any smaller size is a fork; the true root is none."""
    zone, _ = small_zone()
    prefix, path = zone.tree.root(smaller), consistency_path(smaller, zone.size, zone.tree.node)
    truth = said(zone, "city", zone.size, zone.tree.root(zone.size))

    lie = build_histories_fork(zone.chain, said(zone, "city", smaller, bytes(32)), truth, prefix_root=prefix, path=path)
    same = build_histories_fork(zone.chain, said(zone, "city", smaller, prefix), truth, prefix_root=prefix, path=path)

    found = verify_fork_proof(lie, zone.trust)
    assert ("histories", "city", ("city",), smaller) == (found.kind, found.culprit, found.involved, found.size)
    assert "no_contradiction" == refusal(same, zone)


def test_two_members_that_differ_are_both_named() -> None:
    """When two members witnessed different histories, the proof names both and accuses neither alone."""
    zone, _ = small_zone()
    root, size = zone.tree.root(zone.size), zone.size
    one = cosignature_statement(size, root, zone.cosign(size, ("bank",))[0])
    other = cosignature_statement(size, bytes(32), zone.cosign(size, ("port",), root=bytes(32))[0])

    found = verify_fork_proof(build_histories_fork(zone.chain, one, other), zone.trust)

    assert (None, ("bank", "port")) == (found.culprit, found.involved)
    assert "two histories" in found.text


def test_a_path_cannot_be_made_up() -> None:
    """A made-up prefix, a path that does not fit, and sizes in the wrong order prove nothing."""
    zone, _ = small_zone()
    size = zone.size
    truth = said(zone, "city", size, zone.tree.root(size))
    early = said(zone, "city", 4, zone.tree.root(4))
    path = consistency_path(4, size, zone.tree.node)
    root = zone.tree.root(4)

    made_up = build_histories_fork(zone.chain, early, truth, prefix_root=bytes(32), path=path)
    assert "bad_statement" == refusal(made_up, zone)
    assert "bad_statement" == refusal(
        build_histories_fork(zone.chain, early, truth, prefix_root=root, path=path[1:]), zone
    )
    assert "bad_statement" == refusal(build_histories_fork(zone.chain, truth, early), zone)


def test_statements_that_nobody_signed_prove_nothing() -> None:
    """Wrong signatures, strangers, the wrong opening of a header and impossible roots are refused."""
    zone, _ = small_zone()
    size, root = zone.size, zone.tree.root(zone.size)
    truth = said(zone, "city", size, root)
    header, signatures, _ = zone.headers[-1]
    replace = msgspec.structs.replace
    good = header_statement(header, signatures[0], zone.state.root, root, size)
    cosigned = cosignature_statement(size, bytes(32), zone.cosign(size, ("port",), root=bytes(32))[0])
    bad = (
        replace(said(zone, "city", size, bytes(32)), root="11" * 32),
        replace(said(zone, "bank", size, bytes(32)), organisation="city"),
        replace(said(zone, "bank", size, bytes(32)), organisation="stranger"),
        replace(cosigned, time=1),
        replace(good, root="11" * 32),
        replace(good, state_root="11" * 32),
        replace(good, signature=zone.sign(header, "bank")[0].signature),
        replace(good, organisation="bank"),
        said(zone, "city", 0, bytes(32)),
    )
    for statement in bad:
        assert "bad_statement" == refusal(build_histories_fork(zone.chain, statement, truth), zone)
    assert "not_canonical" == refusal(build_histories_fork(zone.chain, replace(truth, root="AB" * 32), truth), zone)


def test_two_headers_of_one_height() -> None:
    """Two blocks of one height accuse the orderer; the same block, other heights and other signers do not."""
    zone, other = Zone(), Zone(filler=1)
    header, signatures, _ = zone.block()
    second, second_signatures, _ = other.block()
    later, later_signatures, _ = zone.block()

    found = verify_fork_proof(headers_fork(header, signatures, second, second_signatures), zone.trust)
    assert ("headers", "city") == (found.kind, found.culprit)
    assert "no_contradiction" == refusal(headers_fork(header, signatures, header, signatures), zone)
    assert "no_contradiction" == refusal(headers_fork(header, signatures, later, later_signatures), zone)
    by_bank = headers_fork(header, zone.sign(header, "bank"), second, zone.sign(second, "bank"))
    assert "bad_statement" == refusal(by_bank, zone)
    foreign = msgspec.structs.replace(second, chain="elsewhere-00000000")
    assert "other_zone" == refusal(headers_fork(header, signatures, foreign, zone.sign(foreign, "city")), zone)
    assert build_headers_fork(header, signatures, second, zone.sign(second, "bank")) is None


def test_headers_are_judged_by_who_ordered_then() -> None:
    """After the orderer changed, headers of the old one at a later height prove nothing against anybody."""
    zone = grown_zone()
    header, _, _ = zone.block()
    second = msgspec.structs.replace(header, time=header.time + 1)
    high = [msgspec.structs.replace(each, height=9) for each in (header, second)]
    for name, reason in (("bank", None), ("city", "bad_statement")):
        data = headers_fork(high[0], zone.sign(high[0], name), high[1], zone.sign(high[1], name))
        if reason is None:
            assert "bank" == verify_fork_proof(data, zone.trust).culprit
        else:
            assert reason == refusal(data, zone)


def seen_proof(seen: Seen | None, **changed: Any) -> tuple[Zone, bytes]:
    """Return a zone and the claim that one of its transactions had seen another history."""
    zone = Zone(filler=6)
    operations = [evidence(3)]
    transaction = zone.transaction("hospital", operations, seen=seen)
    entry = zone.record(transaction, operations)[0]
    header, signatures, size = zone.block()
    seen_size = 6 if seen is None else seen.size
    inside = seen_size <= entry.leaf_index
    parts: dict[str, Any] = {
        "transaction": transaction[1 : len(transaction) - len(operations[0]) - 3],
        "leaf": {
            "height": 1, "index": 0, "operation": sha256(operations[0]).hex(), "outcome": 0, "time": entry.time,
        },
        "leaf_index": entry.leaf_index,
        "leaf_path": inclusion_path(entry.leaf_index, size, zone.tree.node),
        "prefix_root": zone.tree.root(seen_size) if inside else None,
        "path": consistency_path(seen_size, size, zone.tree.node) if inside else (),
    }  # fmt: skip
    statement = changed.pop("statement", None) or header_statement(
        header, signatures[0], zone.state.root, zone.tree.root(size), size
    )
    return zone, build_seen_fork(zone.chain, statement, **{**parts, **changed})


@pytest.mark.parametrize("size", [0, 1, 2, 5, 6, 7, 100])
def test_an_included_transaction_that_saw_another_history(size: int) -> None:
    """Whatever size was seen, another root than the history's own accuses the orderer that included it."""
    zone, data = seen_proof(Seen(root=tree_root([b"another"]).hex(), size=size))

    found = verify_fork_proof(data, zone.trust)

    assert ("seen", "city", size) == (found.kind, found.culprit, found.size)


def test_an_honest_transaction_accuses_nobody() -> None:
    """A transaction whose author had seen this very history proves nothing."""
    zone, data = seen_proof(None)

    assert "no_contradiction" == refusal(data, zone)


def test_a_seen_proof_needs_the_transaction_in_the_orderers_history() -> None:
    """Another leaf, another transaction, or a statement of another member proves nothing."""
    elsewhere = Seen(root=tree_root([b"another"]).hex(), size=2)
    zone, data = seen_proof(elsewhere)
    verify_fork_proof(data, zone.trust)
    form = msgspec.json.decode(data)

    for changed in ({"outcome": 1}, {"height": 2}, {"leaf_index": 5}, {"leaf_path": []}, {"path": []}):
        assert "bad_statement" == refusal(encode_json({**form, **changed}), zone)
    by_bank = said(zone, "bank", 7, zone.tree.root(7))
    assert "bad_statement" == refusal(seen_proof(elsewhere, statement=by_bank)[1], zone)
    assert "bad_statement" == refusal(encode_json({**form, "transaction": "00"}), zone)
    assert "other_zone" == refusal(encode_json({**form, "chain": "elsewhere-00000000"}), zone)
    assert "unknown_format" == refusal(encode_json({**form, "v": 2}), zone)
    assert "not_canonical" == refusal(encode_json({**form, "kind": "other"}), zone)
