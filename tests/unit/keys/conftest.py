"""Stores that open quickly: the cost of scrypt is not what these tests are about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.keys import KeyStore, OpenKeys

PASSPHRASE = "correct horse battery"
FAST = 1 << 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a store."""
    return tmp_path / "keys"


@pytest.fixture
def keys(folder: Path) -> OpenKeys:
    """An empty store, unlocked."""
    return KeyStore.create(folder, PASSPHRASE, scrypt_n=FAST)
