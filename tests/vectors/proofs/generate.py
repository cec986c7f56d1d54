"""Golden vectors of the proofs room: `python -m tests.vectors.proofs.generate` writes them beside this file.

`expected.json` says of every file what checking it must give; a change of any byte here is a change of a format.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tallystick.codec import encode_json, sha256
from tallystick.codec.cards import sign_card
from tallystick.codec.payloads import Seen
from tallystick.merkle import consistency_path, inclusion_path, state_key, tree_root
from tallystick.merkle.commitments import commit_fields, disclose_field
from tallystick.proofs import (
    build_headers_fork,
    build_histories_fork,
    build_record_proof,
    build_seen_fork,
    checkpoint_statement,
    cosignature_line,
    cosignature_statement,
    header_statement,
    sign_checkpoint,
)
from tests.vectors.proofs.zone import Zone, evidence, make_card, signer, small_zone

HERE = Path(__file__).parent
SALT = bytes(range(32))
TOGETHER = ("bank", "city", "hospital", "port")
FIELDS = {"price": 1_250_000, "purpose": "epidemiology", "reason": None}


def main() -> None:
    """Write all vectors."""
    for name, data in vectors().items():
        (HERE / name).write_bytes(data)


def vectors() -> dict[str, bytes]:
    """Return every vector file by name."""
    files: dict[str, bytes] = {}
    expected: dict[str, Any] = {}
    _receipts(files, expected)
    _links(files, expected)
    _alone(files, expected)
    _together(files, expected)
    _refused(files, expected)
    _records(files, expected)
    _forks(files, expected)
    _others(files)
    files["expected.json"] = json.dumps(expected, indent=1, sort_keys=True).encode() + b"\n"
    return files


def _receipts(files: dict[str, bytes], expected: dict[str, Any]) -> None:
    zone, entries = small_zone()
    files["zone.json"] = zone.trust.encode()
    for entry in entries:
        name = f"accepted-{entry.index}.receipt.json"
        files[name] = zone.receipt(entry, at=0)
        expected[name] = {"zone": "zone.json", "summary": "ordered by 1, witnessed by 3 of 4", "outcome": 0}
    files["later-header.receipt.json"] = zone.receipt(entries[1], ("bank", "hospital", "port", "university"))
    expected["later-header.receipt.json"] = {
        "zone": "zone.json", "summary": "ordered by 1, witnessed by 4 of 4", "outcome": 0,
    }  # fmt: skip
    refused = Zone()
    operations = [evidence()]
    entry = refused.record(refused.transaction("port", operations), operations, outcome=5003)[0]
    refused.block()
    files["rejected.receipt.json"] = refused.receipt(entry)
    expected["rejected.receipt.json"] = {
        "zone": "zone.json", "summary": "ordered by 1, witnessed by 3 of 4", "outcome": 5003,
    }  # fmt: skip


def grown_zone() -> Zone:
    """Return a zone of two that became one of three, and then one of three others with another orderer."""
    zone = Zone(("city", "hospital"))
    operations = [evidence()]
    zone.record(zone.transaction("hospital", operations), operations)
    zone.block()
    zone.change_members(("bank", "city", "hospital"), ("city", "hospital"))
    zone.record(zone.transaction("hospital", operations, nonce=2), operations)
    zone.block()
    zone.change_members(("bank", "city", "port"), ("bank", "city", "hospital"), orderers=("bank",))
    return zone


def _links(files: dict[str, bytes], expected: dict[str, Any]) -> None:
    zone = grown_zone()
    first = Zone(("city", "hospital")).trust
    operations = [evidence(4)]
    entry = zone.record(zone.transaction("port", operations, nonce=3), operations)[0]
    zone.block()
    links = zone.trust.links_since(1, zone.size)
    files["grown-first.zone.json"] = first.encode()
    files["grown.zone.json"] = zone.trust.encode()
    files["links.receipt.json"] = zone.receipt(entry, ("city", "port"), links=links)
    files["no-links.receipt.json"] = zone.receipt(entry, ("city", "port"))
    good = {"summary": "ordered by 1, witnessed by 2 of 2", "outcome": 0}
    expected["links.receipt.json"] = {"zone": "grown-first.zone.json", **good}
    expected["no-links.receipt.json"] = {"zone": "grown.zone.json", **good}
    files["old-zone.receipt.json"] = files["no-links.receipt.json"]
    expected["old-zone.receipt.json"] = {"zone": "grown-first.zone.json", "reason": "bad_header_signature"}


def _alone(files: dict[str, bytes], expected: dict[str, Any]) -> None:
    zone = Zone(("clinic",), orderers=("clinic",), chain="clinic-00000001")
    operations = [evidence()]
    entry = zone.record(zone.transaction("clinic", operations), operations)[0]
    zone.block()
    files["alone.zone.json"] = zone.trust.encode()
    files["alone.receipt.json"] = zone.receipt(entry, ())
    expected["alone.receipt.json"] = {
        "zone": "alone.zone.json", "summary": "ordered by 1, witnessed by nobody yet", "outcome": 0,
    }  # fmt: skip


def _together(files: dict[str, bytes], expected: dict[str, Any]) -> None:
    """Four that order together, of which three are enough, and two members more."""
    zone = Zone(("bank", "city", "hospital", "museum", "port", "university"), orderers=TOGETHER, chain="bay-00000002")
    operations = [evidence(5)]
    entry = zone.record(zone.transaction("museum", operations), operations)[0]
    header, _, _ = zone.block()
    files["together.zone.json"] = zone.trust.encode()
    for signers, witnesses in ((3, ("museum",)), (4, ())):
        name = f"together-{signers}.receipt.json"
        files[name] = zone.receipt(entry, witnesses, header_signatures=zone.sign(header, *TOGETHER[:signers]))
        expected[name] = {
            "zone": "together.zone.json",
            "summary": f"ordered by {signers} of 4, witnessed by {len(witnesses)} of 2",
            "outcome": 0,
        }
    cases = {
        "too_few_header_signatures": zone.sign(header, *TOGETHER[:2]),
        "bad_header_signature": zone.sign(header, *TOGETHER[:3], "museum"),
    }
    for reason, signatures in cases.items():
        name = f"refused-together-{reason}.receipt.json"
        files[name] = zone.receipt(entry, (), header_signatures=signatures)
        expected[name] = {"zone": "together.zone.json", "reason": reason}


def _refused(files: dict[str, bytes], expected: dict[str, Any]) -> None:
    """Receipts that must be refused, one for each reason that a finished file can have."""
    zone, entries = small_zone()
    good = zone.receipt(entries[1], at=0)
    header, _, size = zone.headers[0]
    other_zone = Zone(filler=6, orderers=("bank",))
    foreign = other_zone.transaction("hospital", [evidence(number) for number in range(3)])
    whole = zone.cosign(size, ("bank", "hospital", "port"))
    cases: dict[str, bytes] = {
        "not_yet_witnessed": zone.receipt(entries[1], ("bank", "port"), at=0),
        "bad_cosignature": zone.receipt(
            entries[1], at=0, cosignatures=[*whole, *zone.cosign(size, ("university",), root=bytes(32))]
        ),
        "cosignatures_out_of_order": zone.receipt(entries[1], at=0, cosignatures=[*whole, whole[0]]),
        "unknown_member": zone.receipt(entries[1], ("bank", "city", "hospital", "port"), at=0),
        "bad_header_signature": zone.receipt(entries[1], at=0, header_signatures=zone.sign(header, "bank")),
        "app_hash_mismatch": zone.receipt(entries[1], at=0, state_root=bytes(32)[:-1] + b"\1"),
        "not_in_history": zone.receipt(entries[1], at=0, path=[]),
        "not_in_transaction": good.replace(b"building 4", b"building 5"),
        "field_mismatch": zone.receipt(entries[1], at=0, height=7),
        "bad_signature": zone.receipt(entries[1], at=0, transaction=foreign),
        "not_canonical": good.replace(b'"chain":', b'"chain": '),
        "unknown_format": good[:-2] + b"2}",
        "other_zone": good.replace(b"riverside-1a2b3c4d", b"riverside-1a2b3c4e"),
    }
    for reason, data in cases.items():
        name = f"refused-{reason}.receipt.json"
        files[name] = data
        expected[name] = {"zone": "zone.json", "reason": reason}


def _records(files: dict[str, bytes], expected: dict[str, Any]) -> None:
    zone, _ = small_zone()
    header, signatures, size = zone.headers[-1]
    values: dict[str, dict[str, Any] | None] = {
        "ev-1": {"organisation": "hospital", "root": "00" * 32}, "ev-3": None,
    }  # fmt: skip
    for key, value in values.items():
        name = f"{'absent' if value is None else 'present'}.record.json"
        files[name] = build_record_proof(
            collection="evidence",
            key=key,
            value=value,
            proof=zone.state.proof(state_key("evidence", key), zone.values.__getitem__),
            state_root=zone.state.root,
            history_root=zone.tree.root(size),
            size=size,
            header=header,
            header_signatures=signatures,
            cosignatures=zone.cosign(size, ("bank", "port", "university")),
        )
        expected[name] = {"zone": "zone.json", "value": value, "summary": "ordered by 1, witnessed by 3 of 4"}


def _forks(files: dict[str, bytes], expected: dict[str, Any]) -> None:
    zone, entries = small_zone()
    other = Zone(filler=6)
    operations = [evidence(7)]
    other.record(other.transaction("port", operations), operations)
    other.block()
    size, smaller = zone.size, other.size
    prefix = zone.tree.root(smaller)
    path = consistency_path(smaller, size, zone.tree.node)
    header, signatures, _ = zone.headers[-1]
    truth = header_statement(header, signatures[0], zone.state.root, zone.tree.root(size), size)
    lie = checkpoint_statement(
        zone.chain, smaller, other.tree.root(smaller), organisation="city", signer=zone.key("city")
    )
    witness = cosignature_statement(smaller, other.tree.root(smaller), other.cosign(smaller, ("port",))[0])
    same = checkpoint_statement(zone.chain, smaller, prefix, organisation="city", signer=zone.key("city"))
    proofs = {
        "sizes": (build_histories_fork(zone.chain, lie, truth, prefix_root=prefix, path=path), "city"),
        "roots": (build_histories_fork(zone.chain, lie, same), "city"),
        "members": (build_histories_fork(zone.chain, witness, truth, prefix_root=prefix, path=path), None),
        "headers": (build_headers_fork(*zone.headers[0][:2], *other.headers[0][:2]) or b"", "city"),
        "seen": (_seen_fork(), "city"),
    }
    for name, (data, culprit) in proofs.items():
        files[f"{name}.fork.json"] = data
        expected[f"{name}.fork.json"] = {"zone": "zone.json", "culprit": culprit}
    files["refused-agreeing.fork.json"] = build_histories_fork(zone.chain, same, truth, prefix_root=prefix, path=path)
    expected["refused-agreeing.fork.json"] = {"zone": "zone.json", "reason": "no_contradiction"}


def _seen_fork() -> bytes:
    """Return the proof that a transaction is in a history which its author had not seen."""
    zone = Zone(filler=6)
    operations = [evidence(3)]
    elsewhere = Seen(root=tree_root([b"another", b"history"]).hex(), size=2)
    transaction = zone.transaction("hospital", operations, seen=elsewhere)
    entry = zone.record(transaction, operations)[0]
    header, signatures, size = zone.block()
    leaf = {
        "height": entry.height, "index": 0, "operation": sha256(operations[0]).hex(), "outcome": 0, "time": entry.time,
    }  # fmt: skip
    frame_end = len(transaction) - len(operations[0]) - 3
    return build_seen_fork(
        zone.chain,
        header_statement(header, signatures[0], zone.state.root, zone.tree.root(size), size),
        transaction=transaction[1:frame_end],
        leaf=leaf,
        leaf_index=entry.leaf_index,
        leaf_path=inclusion_path(entry.leaf_index, size, zone.tree.node),
        prefix_root=zone.tree.root(2),
        path=consistency_path(2, size, zone.tree.node),
    )


def _others(files: dict[str, bytes]) -> None:
    zone, _ = small_zone()
    root = zone.tree.root(zone.size)
    lines = [
        cosignature_line(zone.chain, each, zone.key(each.organisation).public_key)
        for each in zone.cosign(zone.size, ("bank", "port"))
    ]
    files["checkpoint.txt"] = sign_checkpoint(
        zone.chain, zone.size, root, organisation="city", signer=zone.key("city"), cosignatures=lines
    )
    card = make_card("hospital")
    files["card.json"] = encode_json(
        sign_card(card, signer("hospital/security").sign, signer("hospital/recovery").sign)
    )
    files["commitment.json"] = encode_json(
        {
            "disclosure": disclose_field(SALT, FIELDS, "purpose").to_json(),
            "fields": FIELDS,
            "root": commit_fields(SALT, FIELDS),
            "salt": SALT.hex(),
        }
    )


if __name__ == "__main__":
    main()
