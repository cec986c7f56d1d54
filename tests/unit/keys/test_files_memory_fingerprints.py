"""Secret files, keys in memory, and fingerprints for people."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.codec import cards
from tallystick.errors import AccessError, StorageError, UsageError
from tallystick.keys import (
    ED25519,
    LEDGER_ROLES,
    ROLE_KINDS,
    KeySource,
    MemoryKeys,
    fingerprint,
    make_private_folder,
    parse_fingerprint,
    read_private,
    write_private,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "keys" / "files.json").read_text())


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    """Writing again replaces the file and narrows its permissions; nothing else is left."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o666)

    write_private(path, b"new")

    assert b"new" == read_private(path)
    assert 0o600 == path.stat().st_mode & 0o777
    assert [path] == list(tmp_path.iterdir())


def test_a_private_folder_is_narrowed(tmp_path: Path) -> None:
    """A folder is made with its parents, and one that is there loses the permissions of others."""
    (tmp_path / "wide").mkdir(mode=0o777)
    for path in (tmp_path / "wide", tmp_path / "a" / "b"):
        make_private_folder(path)

        assert 0o700 == path.stat().st_mode & 0o777


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to, and nothing at all are storage errors."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, reason in [
        ("pipe", "not a file"),
        (".", "not a file"),
        ("none", "not there"),
        ("none/none", "not there"),
    ]:
        with pytest.raises(StorageError, match=reason):
            read_private(tmp_path / name)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot make the folder"):
        make_private_folder(tmp_path / "file" / "keys")
    with pytest.raises(StorageError, match="cannot write"):
        write_private(tmp_path / "none" / "file", b"x")


def test_remedies_can_be_pasted(tmp_path: Path) -> None:
    """A path with spaces and quotes is quoted in the command that repairs it."""
    path = tmp_path / "it's a file"
    path.write_text("x")
    path.chmod(0o644)

    with pytest.raises(AccessError) as caught:
        read_private(path)
    os.system(caught.value.remedy.removeprefix("Type: "))
    assert b"x" == read_private(path)


def test_memory_offers_what_a_store_offers() -> None:
    """Keys in memory sign, decrypt and serve TLS like those of a store."""
    keys: KeySource = MemoryKeys.generate()

    assert sorted(ROLE_KINDS) == [info.role for info in keys.list()]
    for info in keys.list():
        if info.kind == "ed25519":
            assert info.public == keys.signer(info.role).public_key.hex() == keys.signer(info.id).public_key.hex()
            assert ED25519.verify(bytes.fromhex(info.public), b"m", keys.signer(info.role).sign(b"m"))
    private = keys.encryption_private()
    assert private is keys.encryption_private(private.public_key().public_bytes_raw())
    assert "secp256r1" == keys.tls_private().curve.name


def test_memory_refuses_what_it_has_not() -> None:
    """A missing role, another encryption key, or a signature by a key that does not sign are refused."""
    keys = MemoryKeys.generate(("system", "encryption"))

    for refuse in (
        lambda: keys.signer("service"),
        lambda: keys.signer("encryption"),
        lambda: keys.encryption_private(bytes(32)),
        keys.tls_private,
    ):
        with pytest.raises(AccessError):
            refuse()


def test_keys_from_a_seed_are_always_the_same() -> None:
    """One seed gives the same keys, another others, and no two roles share one."""
    first, again, other = (MemoryKeys.from_seed(seed).list() for seed in (b"a", b"a", b"b"))

    assert first == again
    assert not {info.public for info in first} & {info.public for info in other}
    assert len(first) == len({info.public for info in first})


def test_roles_are_those_of_the_ledger() -> None:
    """Every ledger role has an Ed25519 key."""
    assert cards.ROLES == LEDGER_ROLES
    assert {"ed25519"} == {ROLE_KINDS[role] for role in (*LEDGER_ROLES, "recovery")}


def test_fingerprint_is_the_specified_one() -> None:
    """A fingerprint is 25 characters of a tagged hash in 5 groups."""
    assert VECTORS["fingerprint_of_card"] == fingerprint(b"card")
    assert fingerprint(b"card") != fingerprint(b"Card")


@given(
    st.binary(max_size=40),
    st.sampled_from(["upper", "title", "lower"]),
    st.sampled_from(["", " ", "-", "  -  ", "\u2013", "\n"]),
)
def test_fingerprints_are_read_as_people_type_them(data: bytes, case: str, between: str) -> None:
    """Case, spaces, dashes and letters that look like digits do not matter."""
    right = fingerprint(data)
    typed = getattr(between.join(right.split("-")), case)()

    assert right == parse_fingerprint(typed)
    assert right == parse_fingerprint(f"  {typed}\n".replace("0", "o").replace("1", "L"))


@pytest.mark.parametrize("text", ["", "4hpy7", "u" * 25, "a" * 24, "a" * 26, "é" * 25, "a" * 24 + "!", "\u0664" * 25])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    """Other lengths and characters outside the alphabet are refused with an example."""
    with pytest.raises(UsageError, match="not a fingerprint") as caught:
        parse_fingerprint(text)
    example = caught.value.remedy.removesuffix(".").split()[-1]
    assert example == parse_fingerprint(example)
