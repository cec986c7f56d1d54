"""The golden vectors of the modules."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tallystick.modules import rulebook
from tests.vectors.generate_modules import FOLDER, find_cases, generate, replay, stored_vectors

VECTORS = stored_vectors()
MODULES = sorted({path.parent.parent.name for path in VECTORS})


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_vector_replays(path: Path) -> None:
    """The operation of a vector, on its state, has its outcome, writes and events."""
    vector = msgspec.json.decode(path.read_bytes())

    expected = {name: vector[name] for name in ("events", "rejection", "writes")}

    assert expected == replay(rulebook(), vector)


def test_vectors_are_what_their_cases_give() -> None:
    """No vector was edited by hand, none is missing, none is left over."""
    expected = generate()

    assert sorted(expected) == VECTORS
    assert expected == {path: path.read_text("utf-8") for path in VECTORS}


@pytest.mark.parametrize("module", MODULES)
def test_every_operation_and_rejection_has_a_vector(module: str) -> None:
    """Each operation of a module is accepted in some vector, and each of its rejections happens in some vector."""
    room = next(room for room in rulebook().modules if room.name == module)
    vectors = [msgspec.json.decode(path.read_bytes()) for path in VECTORS if path.parent.parent.name == module]
    accepted = {vector["operation"]["type"] for vector in vectors if vector["rejection"] is None}
    refused = {vector["rejection"]["code"] for vector in vectors if vector["rejection"] is not None}

    assert {operation.name for operation in room.operations} == accepted
    assert {rejection.code for rejection in room.rejections} <= refused


def test_vectors_are_of_modules() -> None:
    """Cases stand in folders that are named as modules are."""
    names = {room.name for room in rulebook().modules}

    assert {module for module, _ in find_cases()} <= names
