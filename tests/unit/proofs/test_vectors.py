"""The golden vectors, checked by this room and by the stand-alone verifier of `examples/`."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tallystick.codec.cards import decode_signed_card
from tallystick.keys import ED25519
from tallystick.merkle.commitments import Disclosure, verify_field, verify_fields
from tallystick.proofs import (
    ProofError,
    TrustFile,
    verify_checkpoint,
    verify_fork_proof,
    verify_receipt,
    verify_record_proof,
)
from tests.vectors.proofs.generate import vectors

HERE = Path(__file__).parents[2] / "vectors" / "proofs"
EXAMPLE = Path(__file__).parents[3] / "examples" / "verify_receipt.py"
EXPECTED: dict[str, dict[str, Any]] = json.loads((HERE / "expected.json").read_bytes())
RECEIPTS = sorted(name for name in EXPECTED if name.endswith(".receipt.json"))


def load_example() -> ModuleType:
    """Return the example as a module, although it is no part of the package."""
    spec = importlib.util.spec_from_file_location("verify_receipt_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generator_gives_the_files_that_are_there() -> None:
    """Every vector is what its generator makes, byte for byte: a format has not changed unnoticed."""
    made = vectors()
    stored = {path.name: path.read_bytes() for path in HERE.iterdir() if path.suffix in {".json", ".txt"}}

    assert made == stored


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_vector_gives_what_is_expected(name: str) -> None:
    """Good files verify and say what is expected; bad ones are refused by the expected name."""
    expected = EXPECTED[name]
    data = (HERE / name).read_bytes()
    trust = TrustFile.parse((HERE / expected["zone"]).read_bytes())
    kind = name.split(".")[1]
    verify: Any = {"receipt": verify_receipt, "record": verify_record_proof, "fork": verify_fork_proof}[kind]

    if "reason" in expected:
        with pytest.raises(ProofError) as caught:
            verify(data, trust)
        assert expected["reason"] == caught.value.reason
        assert caught.value.remedy
        return
    found = verify(data, trust)
    for field in ("summary", "outcome", "value", "culprit"):
        if field in expected:
            assert expected[field] == getattr(found, field)


@pytest.mark.parametrize("name", RECEIPTS)
def test_the_stand_alone_verifier_agrees(name: str) -> None:
    """The verifier written from the reference page alone takes and refuses the same files, for the same reasons."""
    example = load_example()
    expected = EXPECTED[name]
    data, zone = (HERE / name).read_bytes(), (HERE / expected["zone"]).read_bytes()

    if "reason" in expected:
        with pytest.raises(example.Refused) as caught:
            example.verify_receipt(data, zone)
        # It has one word for what is not of the form, the version number included.
        assert {"unknown_format": "not_canonical"}.get(expected["reason"], expected["reason"]) == str(caught.value)
    else:
        _, outcome, _, summary = example.verify_receipt(data, zone)
        assert (expected["outcome"], expected["summary"]) == (outcome, summary)


@pytest.mark.parametrize(("name", "code"), [("accepted-1", 0), ("refused-bad_signature", 1)])
def test_the_stand_alone_verifier_runs_as_a_script(name: str, code: int) -> None:
    """As a program it ends with 0 for a good receipt and with 1 for a bad one, without Tallystick on its path."""
    command = [sys.executable, "-I", str(EXAMPLE), str(HERE / f"{name}.receipt.json"), str(HERE / "zone.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert code == done.returncode, done.stderr


def test_the_stand_alone_verifier_refuses_what_this_one_refuses() -> None:
    """Whatever byte of a receipt is changed, both verifiers refuse."""
    example = load_example()
    data, zone = bytearray((HERE / "accepted-1.receipt.json").read_bytes()), (HERE / "zone.json").read_bytes()
    example.verify_receipt(bytes(data), zone)
    for position in range(0, len(data), 3):
        data[position] ^= 1
        with pytest.raises(example.Refused):
            example.verify_receipt(bytes(data), zone)
        data[position] ^= 1


def test_the_checkpoint_vector_holds() -> None:
    """The checkpoint is signed by the orderer and two witnesses, and unknown lines would be passed over."""
    trust = TrustFile.parse((HERE / "zone.json").read_bytes())

    found = verify_checkpoint((HERE / "checkpoint.txt").read_bytes(), trust.chain, trust.latest.members)

    assert (("city",), ["bank", "port"]) == (found.signers, [each.organisation for each in found.cosignatures])


def test_the_card_vector_is_signed_by_its_own_keys() -> None:
    """The signed card is taken."""
    signed = decode_signed_card((HERE / "card.json").read_bytes(), ED25519.verify)

    assert "hospital" == signed.card.organisation


def test_the_commitment_vector_holds() -> None:
    """All fields match the root with the salt; one field matches with its disclosure alone."""
    vector = json.loads((HERE / "commitment.json").read_bytes())
    disclosure = Disclosure.from_json(vector["disclosure"])

    assert verify_fields(vector["root"], bytes.fromhex(vector["salt"]), vector["fields"])
    assert verify_field(vector["root"], "purpose", "epidemiology", disclosure)
    assert not verify_field(vector["root"], "purpose", "marketing", disclosure)
