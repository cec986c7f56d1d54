"""Key stores: what they keep, what they refuse, and what a crash leaves."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from tallystick.codec import decode_json, encode_json
from tallystick.errors import AccessError, IntegrityError, StorageError, TallystickError, UsageError
from tallystick.keys import ED25519, ROLE_KINDS, KeySource, KeyStore, OpenKeys, open_exported, public_bytes
from tests.unit.keys.conftest import FAST, PASSPHRASE

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "keys" / "files.json").read_text())


def key_file(folder: Path, role: str) -> Path:
    """Return the only file of a role."""
    (path,) = folder.glob(f"{role}-*.json")
    return path


def test_store_that_was_handed_over_opens_without_the_passphrase(folder: Path, keys: OpenKeys) -> None:
    """Another process of the node opens the same keys by what the first one hands it."""
    made = keys.create("service")

    taken = KeyStore(folder).take_over(keys.hand_over())

    assert bytes.fromhex(made.public) == taken.signer("service").public_key


def test_what_another_store_handed_over_opens_nothing(folder: Path, keys: OpenKeys) -> None:
    """A secret of another form is refused at once, and that of another store when a key is opened."""
    keys.create("service")

    for secret in ("", PASSPHRASE, keys.hand_over().upper() + "A", keys.hand_over() + "\n"):
        with pytest.raises(AccessError, match="does not open"):
            KeyStore(folder).take_over(secret)
    with pytest.raises(IntegrityError, match="damaged or was changed"):
        KeyStore(folder).take_over("00" * 32).open("service")


def test_keys_of_every_role_come_back(folder: Path, keys: OpenKeys) -> None:
    """A key of each role opens again with the passphrase, as its kind, with its public key."""
    made = [keys.create(role, created_ms=1_000) for role in ROLE_KINDS]

    opened: KeySource = KeyStore(folder).unlock(PASSPHRASE)

    assert sorted(made, key=lambda info: info.role) == opened.list() == KeyStore(folder).list()
    for info in made:
        assert ROLE_KINDS[info.role] == info.kind
        assert info.public == public_bytes(keys.open(info.id)).hex()
        if info.kind == "ed25519":
            signer = opened.signer(info.role)
            assert ED25519.verify(bytes.fromhex(info.public), b"m", signer.sign(b"m"))
    assert isinstance(opened.encryption_private(), x25519.X25519PrivateKey)
    assert isinstance(opened.tls_private(), ec.EllipticCurvePrivateKey)


def test_files_of_another_implementation_open(folder: Path, tmp_path: Path) -> None:
    """Files written from the specification alone open, and a store writes the same ones."""
    folder.mkdir(mode=0o700)
    for name, text in [("store", VECTORS["store"]), (VECTORS["id"], VECTORS["key"]), ("exported", VECTORS["exported"])]:
        path = (tmp_path if name == "exported" else folder) / f"{name}.json"
        path.write_text(text)
        path.chmod(0o600)
    signer = ED25519.from_private(bytes.fromhex(VECTORS["private"]))

    assert signer.public_key == KeyStore(folder).unlock(VECTORS["passphrase"]).signer("service").public_key
    info, key = open_exported(tmp_path / "exported.json", VECTORS["passphrase"])
    assert (VECTORS["id"], signer.public_key) == (info.id, public_bytes(key))


def test_passphrases_count_in_their_composed_form(folder: Path) -> None:
    """Another keyboard's way to type an accent opens the same store."""
    KeyStore.create(folder, "pa\u0302ssphrase", scrypt_n=FAST)

    KeyStore(folder).unlock("p\u00e2ssphrase")


def test_permissions_are_narrow(folder: Path, keys: OpenKeys) -> None:
    """The folder is of mode 0700 and every file of 0600, whatever the umask."""
    before = os.umask(0)
    try:
        keys.create("service")
        KeyStore(folder).change_passphrase(PASSPHRASE, "another passphrase")
    finally:
        os.umask(before)

    assert 0o700 == folder.stat().st_mode & 0o777
    assert [0o600, 0o600] == [path.stat().st_mode & 0o777 for path in folder.iterdir()]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o644, 0o610])
@pytest.mark.parametrize("which", ["store", "key"])
def test_files_that_others_can_touch_are_refused(folder: Path, keys: OpenKeys, mode: int, which: str) -> None:
    """A file that group or others can read, write or execute is refused, and the remedy is the chmod."""
    keys.create("service")
    path = folder / "store.json" if which == "store" else key_file(folder, "service")
    path.chmod(mode)

    with pytest.raises(AccessError, match="other users") as caught:
        KeyStore(folder).unlock(PASSPHRASE).signer("service")
    assert f"Type: chmod 600 {path}" == caught.value.remedy
    path.chmod(0o600)
    KeyStore(folder).unlock(PASSPHRASE).signer("service")


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_can_write_to_is_refused(folder: Path, keys: OpenKeys, mode: int) -> None:
    """Nobody else may be able to put a file there."""
    folder.chmod(mode)

    for refuse in (lambda: KeyStore(folder).unlock(PASSPHRASE), KeyStore(folder).list, lambda: keys.create("service")):
        with pytest.raises(AccessError, match="can write to") as caught:
            refuse()
        assert f"Type: chmod 700 {folder}" == caught.value.remedy


@pytest.mark.parametrize("wrong", ["correct horse batterY", "", " " + PASSPHRASE, PASSPHRASE + "\n", "\ud800"])
def test_a_wrong_passphrase_is_named(folder: Path, keys: OpenKeys, wrong: str) -> None:
    """A wrong passphrase opens nothing and changes nothing, and the error says so without repeating it."""
    with pytest.raises(AccessError, match="this passphrase does not open") as caught:
        KeyStore(folder).unlock(wrong)
    assert PASSPHRASE not in caught.value.message + caught.value.remedy
    with pytest.raises(AccessError, match="this passphrase does not open"):
        KeyStore(folder).change_passphrase(wrong, "another passphrase")
    KeyStore(folder).unlock(PASSPHRASE)


@pytest.mark.parametrize("short", ["", "1234567", "a\u0302" * 7])
def test_short_passphrases_are_refused(folder: Path, tmp_path: Path, short: str) -> None:
    """Nothing is made or exported under fewer than eight characters."""
    with pytest.raises(UsageError, match="8 to 1,024 characters"):
        KeyStore.create(folder, short)
    assert not folder.exists()
    keys = KeyStore.create(folder, PASSPHRASE, scrypt_n=FAST)
    keys.create("recovery")
    with pytest.raises(UsageError, match="characters"):
        keys.export("recovery", tmp_path / "recovery.json", short)
    with pytest.raises(UsageError, match="characters"):
        KeyStore(folder).change_passphrase(PASSPHRASE, short)


def test_a_new_passphrase_replaces_the_old(folder: Path, keys: OpenKeys) -> None:
    """After a change the new passphrase opens the same keys, the old one none; a running node goes on."""
    info = keys.create("service")
    before = key_file(folder, "service").read_bytes()

    KeyStore(folder).change_passphrase(PASSPHRASE, "another passphrase")

    assert info.public == KeyStore(folder).unlock("another passphrase").signer("service").public_key.hex()
    assert info.public == keys.signer("service").public_key.hex()
    assert before == key_file(folder, "service").read_bytes()
    with pytest.raises(AccessError):
        KeyStore(folder).unlock(PASSPHRASE)


def test_secrets_are_not_in_the_files(folder: Path, keys: OpenKeys) -> None:
    """No private key stands in a file, and equal contents look different in every store."""
    keys.create("encryption")
    private = keys.encryption_private().private_bytes_raw()

    text = b"".join(path.read_bytes() for path in folder.iterdir())

    assert private not in text
    assert private.hex().encode() not in text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(keys)


def test_every_flipped_byte_of_a_key_file_is_refused(folder: Path, keys: OpenKeys) -> None:
    """Whatever byte of a key file changes, in whichever way of three, the key does not open."""
    keys.create("service")
    path = key_file(folder, "service")
    good = path.read_bytes()
    for place in range(len(good)):
        for change in (0x01, 0x20, 0x80):
            path.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
            with pytest.raises(TallystickError):
                keys.signer("service")
    path.write_bytes(good)
    keys.signer("service")


def test_every_flipped_byte_of_the_store_file_is_refused(folder: Path, keys: OpenKeys) -> None:
    """Whatever byte of store.json changes, it is called damaged and not a wrong passphrase."""
    path = folder / "store.json"
    good = path.read_bytes()
    for place in range(len(good)):
        for change in (0x01, 0x20, 0x80):
            path.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
            with pytest.raises(IntegrityError, match="damaged"):
                KeyStore(folder).unlock(PASSPHRASE)


@pytest.mark.parametrize("which", ["store", "key"])
def test_torn_and_longer_files_are_refused(folder: Path, keys: OpenKeys, which: str) -> None:
    """A file that ends early, or has anything behind it, is called damaged by its name."""
    keys.create("service")
    path = folder / "store.json" if which == "store" else key_file(folder, "service")
    good = path.read_bytes()
    for data in [good[:length] for length in range(0, len(good), 7)] + [good + b"\n", b" " + good, good + good]:
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match=path.name):
            KeyStore(folder).unlock(PASSPHRASE).signer("service")
    path.write_bytes(good + b" " * 70_000)
    with pytest.raises(StorageError, match="64 KiB"):
        KeyStore(folder).unlock(PASSPHRASE).signer("service")


@pytest.mark.parametrize(
    "changes",
    [
        {"created": 5},
        {"retired": 5},
        {"offline": True},
        {"role": "system"},
        {"role": "owner"},
        {"kind": "x25519"},
        {"v": 2},
        {"cipher": "none"},
        {"public": "ab" * 32},
        {"nonce": "ab" * 12},
        {"nonce": ""},
        {"ciphertext": ""},
        {"note": "x"},
    ],
    ids=repr,
)
def test_changed_metadata_is_refused(folder: Path, keys: OpenKeys, changes: dict[str, object]) -> None:
    """What is readable in a key file is bound to the key: any change, well formed or not, and it does not open."""
    info = keys.create("service", created_ms=1_000)
    path = key_file(folder, "service")
    path.write_bytes(encode_json({**decode_json(path.read_bytes()), **changes}))

    with pytest.raises(IntegrityError):
        keys.open(info.id)


def test_key_files_cannot_be_swapped(folder: Path, keys: OpenKeys, tmp_path: Path) -> None:
    """A key of another store, or one under another name, is refused."""
    ours = keys.create("service")
    other = KeyStore.create(tmp_path / "other", PASSPHRASE, scrypt_n=FAST)
    theirs = other.create("service")
    (folder / f"{theirs.id}.json").write_bytes((tmp_path / "other" / f"{theirs.id}.json").read_bytes())
    (folder / f"{theirs.id}.json").chmod(0o600)

    with pytest.raises(IntegrityError, match="damaged or was changed"):
        keys.open(theirs.id)
    keys.open(ours.id)
    (folder / f"{theirs.id}.json").write_bytes((folder / f"{ours.id}.json").read_bytes())
    with pytest.raises(IntegrityError):
        keys.open(ours.id)


def test_other_files_in_the_folder_are_left_alone(folder: Path, keys: OpenKeys) -> None:
    """What an ordering engine keeps there, and leftovers of a crash, are not taken for keys."""
    for name in ("priv_validator_state.json", ".service-0123456789.json.ab12.tmp", "notes.txt", ".service-x.json"):
        (folder / name).write_text("{}")

    assert [] == keys.list()


def test_the_newest_key_in_use_answers_for_its_role(keys: OpenKeys) -> None:
    """By role the newest key that is not retired is found, by id any."""
    first = keys.create("service", created_ms=1)
    second = keys.create("service", created_ms=2)
    assert second == keys.find("service")

    retired = keys.retire("service", retired_ms=3)

    assert (second.id, 3) == (retired.id, retired.retired)
    assert first == keys.find("service")
    assert second.public == keys.signer(second.id).public_key.hex()
    assert retired == keys.retire(second.id, retired_ms=9)
    keys.retire(first.id)
    with pytest.raises(AccessError, match="no key service in use"):
        keys.signer("service")
    assert 2 == len(keys.list())


def test_retired_encryption_keys_still_decrypt(keys: OpenKeys) -> None:
    """An encryption key is found by its public key also when retired; an unknown one is not."""
    old = keys.create("encryption", created_ms=1)
    new = keys.create("encryption", created_ms=2)
    keys.retire(old.id)

    assert new.public == keys.encryption_private().public_key().public_bytes_raw().hex()
    assert old.public == keys.encryption_private(bytes.fromhex(old.public)).public_key().public_bytes_raw().hex()
    with pytest.raises(AccessError, match="no encryption key"):
        keys.encryption_private(bytes(32))


def test_keys_that_do_not_sign_are_no_signers(keys: OpenKeys) -> None:
    """Asking an encryption or TLS key to sign for the ledger is refused, as is an unknown role."""
    keys.create("encryption")
    keys.create("tls")

    for role in ("encryption", "tls"):
        with pytest.raises(AccessError, match="does not sign"):
            keys.signer(role)
    with pytest.raises(AccessError, match="no key system"):
        keys.signer("system")
    with pytest.raises(UsageError, match="no role 'owner'"):
        keys.create("owner")


def test_the_recovery_key_goes_offline(folder: Path, keys: OpenKeys, tmp_path: Path) -> None:
    """Exported and taken out, the recovery key opens from its own file only, and the store keeps its public half."""
    made = keys.create("recovery")
    private = tmp_path / "recovery.json"

    info = keys.export("recovery", private, "offline passphrase", keep=False, scrypt_n=FAST)

    assert info.offline
    assert [info] == KeyStore(folder).list()
    assert made.public == info.public
    with pytest.raises(AccessError, match="kept offline"):
        keys.signer("recovery")
    with pytest.raises(AccessError, match="kept offline"):
        keys.export("recovery", tmp_path / "again.json", "offline passphrase", scrypt_n=FAST)
    _, key = open_exported(private, "offline passphrase")
    assert made.public == public_bytes(key).hex()
    assert 0o600 == private.stat().st_mode & 0o777


def test_exported_files_are_guarded(folder: Path, keys: OpenKeys, tmp_path: Path) -> None:
    """An exported file needs its own passphrase and narrow permissions; damage, overwriting and mixing up are refused."""
    keys.create("recovery")
    path = tmp_path / "recovery.json"
    keys.export("recovery", path, "offline passphrase", scrypt_n=FAST)
    good = path.read_bytes()

    keys.signer("recovery")
    with pytest.raises(UsageError, match="there already"):
        keys.export("recovery", path, "offline passphrase")
    with pytest.raises(AccessError, match="does not open"):
        open_exported(path, PASSPHRASE)
    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises((AccessError, IntegrityError)):
            open_exported(path, "offline passphrase")
    path.write_bytes(good)
    path.chmod(0o644)
    with pytest.raises(AccessError, match="other users"):
        open_exported(path, "offline passphrase")
    with pytest.raises(UsageError, match="key store"):
        open_exported(key_file(folder, "recovery"), "offline passphrase")
    with pytest.raises(StorageError, match="not there"):
        open_exported(tmp_path / "none.json", "offline passphrase")


def test_a_store_is_made_once(folder: Path, keys: OpenKeys) -> None:
    """Making a store where one is, or where keys without a store are, is refused."""
    assert KeyStore(folder).exists()
    keys.create("service")
    with pytest.raises(UsageError, match="holds keys already"):
        KeyStore.create(folder, PASSPHRASE)
    (folder / "store.json").unlink()
    assert not KeyStore(folder).exists()
    with pytest.raises(UsageError, match="holds keys already"):
        KeyStore.create(folder, PASSPHRASE)


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    """A folder that is not there, or holds no store, is a storage error with its path."""
    for refuse in (KeyStore(tmp_path / "none").list, lambda: KeyStore(tmp_path / "none").unlock(PASSPHRASE)):
        with pytest.raises(StorageError, match="no keys at"):
            refuse()
    tmp_path.chmod(0o700)
    with pytest.raises(StorageError, match=r"store\.json is not there"):
        KeyStore(tmp_path).unlock(PASSPHRASE)


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_crash_before_the_rename_leaves_the_old_files(
    folder: Path, keys: OpenKeys, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Failed, not persisted: whichever step before the rename fails, the old passphrase and keys are as they were."""
    info = keys.create("service")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    real_open = os.open
    with monkeypatch.context() as patch:
        if step == "open":
            patch.setattr(
                os, "open", lambda path, flags, *rest: fail() if flags & os.O_CREAT else real_open(path, flags, *rest)
            )
        else:
            patch.setattr(os, step, fail)
        with pytest.raises(StorageError, match="No space left on device"):
            KeyStore(folder).change_passphrase(PASSPHRASE, "another passphrase")
        with pytest.raises(StorageError, match="No space left on device"):
            keys.retire("service")
        with pytest.raises(StorageError, match="No space left on device"):
            keys.create("system")

    assert [info] == KeyStore(folder).unlock(PASSPHRASE).list()
    assert 2 == len(list(folder.iterdir()))


def test_a_crash_after_the_rename_leaves_the_new_files(
    folder: Path, keys: OpenKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed, but persisted: what was renamed is whole, and opens."""
    keys.create("service")
    real, calls = os.fsync, []

    def fail_second(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) % 2 == 0:
            raise OSError(5, "Input/output error")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_second)
        with pytest.raises(StorageError, match="Input/output error"):
            KeyStore(folder).change_passphrase(PASSPHRASE, "another passphrase")
        with pytest.raises(StorageError, match="Input/output error"):
            keys.retire("service", retired_ms=5)

    assert [5] == [info.retired for info in KeyStore(folder).unlock("another passphrase").list()]


def test_a_kill_between_write_and_rename_leaves_the_old_files(folder: Path, keys: OpenKeys) -> None:
    """A process that ends there leaves a leftover that nothing reads."""
    info = keys.create("service")
    child = os.fork()
    if child == 0:
        os.replace = lambda *_: os._exit(9)  # type: ignore[assignment]
        KeyStore(folder).change_passphrase(PASSPHRASE, "another passphrase")
        os._exit(0)

    assert 9 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 1 == len(list(folder.glob(".store.json.*.tmp")))
    assert [info] == KeyStore(folder).unlock(PASSPHRASE).list()


def test_an_export_that_cannot_be_read_back_takes_nothing_out(
    folder: Path, keys: OpenKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad stick costs no key: it is taken out only when the exported file opened."""
    keys.create("recovery")
    target = tmp_path / "stick.json"

    def torn(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2] if path == target else data)
        path.chmod(0o600)

    with monkeypatch.context() as patch:
        patch.setattr("tallystick.keys.stores.write_private", torn)
        with pytest.raises(IntegrityError, match=r"stick\.json"):
            keys.export("recovery", target, "offline passphrase", keep=False, scrypt_n=FAST)

    KeyStore(folder).unlock(PASSPHRASE).signer("recovery")
