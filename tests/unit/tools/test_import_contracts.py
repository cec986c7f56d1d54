"""The import contracts say what the design says, about every room there is."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tools.tracked import ROOT

# Section 3 of the design, "Who may import whom", with the rooms of ADR 0005; `errors`, `codec` and `lazy` are
# open to all.
MAY_IMPORT = {
    "errors": "",
    "codec": "errors",
    "lazy": "",
    "keys": "",
    "merkle": "",
    "proofs": "keys merkle",
    "machine": "merkle keys",
    "modules": "machine merkle",
    "store": "machine merkle",
    "ordering": "machine keys merkle proofs",
    "ledger": "machine modules merkle proofs keys",
    "dataplane": "keys merkle",
    "views": "",
    "office": "views ledger dataplane keys merkle proofs machine modules",
    "api": "views office ledger dataplane",
    "sdk": "views keys merkle proofs machine modules dataplane",
    "fsck": "keys merkle proofs machine modules store",
    "node": "views office keys merkle proofs machine modules store ordering ledger dataplane api sdk fsck",
    "cli": "views sdk node fsck",
}


def _contracts() -> dict[str, dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["id"]: contract for contract in project["tool"]["importlinter"]["contracts"]}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_contract_forbids_all_that_the_design_does_not_allow(room: str) -> None:
    """A room's contract names each room that it may not import, and no other."""
    allowed = {room, *MAY_IMPORT[room].split(), *(() if room == "errors" else ("errors",))}
    allowed |= set() if room in ("errors", "codec") else {"codec"}
    allowed.add("lazy")  # says how names are loaded, and knows no room
    contract = _contracts()[room]

    assert [f"tallystick.{room}"] == contract["source_modules"]
    assert {f"tallystick.{other}" for other in MAY_IMPORT if other not in allowed} == set(contract["forbidden_modules"])


def test_every_room_has_a_contract() -> None:
    """A new room cannot be forgotten: each folder or file of the package is in the table."""
    package = ROOT / "src" / "tallystick"
    rooms = {path.name for path in package.iterdir() if path.is_dir() and not path.name.startswith(("__", "."))}
    rooms |= {path.stem for path in package.glob("*.py") if path.stem != "__init__"}

    assert set() == rooms - MAY_IMPORT.keys()
