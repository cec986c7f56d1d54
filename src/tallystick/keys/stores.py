"""Key stores: a folder of encrypted files, one a key, opened by one passphrase.

    keys/store.json                    the store's master key under the passphrase
    keys/<role>-<10 characters>.json   one key, under the master key and its own id

Rules:

- `KeyStore` is the folder: what it holds can be listed without a passphrase. `OpenKeys` is the folder unlocked.
- The folder is of mode 0700, files of 0600; a file that others can read, or a folder they can write to, is refused.
- Nothing is ever deleted: a retired key stays, to decrypt what was encrypted to it; an exported recovery key leaves
  its public half.
- Every write is whole or not at all, so that a crash leaves the store as it was before or after.
- What is listed without a passphrase is what the files say; what is opened was checked by the cipher.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NoReturn, cast

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from tallystick.codec import MalformedError
from tallystick.errors import AccessError, IntegrityError, UsageError
from tallystick.keys import sealing
from tallystick.keys.files import make_private_folder, read_private, write_private
from tallystick.keys.folders import FROM_BACKUP, check_folder, checked_key, damaged, is_key_file, key_files
from tallystick.keys.kinds import ENCRYPTION, ROLE_KINDS, TLS, KeyInfo, PrivateKey, describe, new_private
from tallystick.keys.passphrases import check_new_passphrase
from tallystick.keys.suites import Signer

STORE_FILE = "store.json"


class KeyStore:
    """A folder of encrypted keys, locked."""

    def __init__(self, folder: Path) -> None:
        """Name a folder; nothing is read yet."""
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, passphrase: str, *, scrypt_n: int = sealing.DEFAULT_SCRYPT_N) -> OpenKeys:
        """Make an empty store and return it unlocked.

        Args:
            folder: made if it is missing.
            passphrase: at least 8 characters.
            scrypt_n: cost of trying a passphrase, a power of two.

        Raises:
            UsageError: there is a store already, or the passphrase is too short.
            StorageError: the folder cannot be written.
        """
        composed = check_new_passphrase(passphrase)
        if folder.is_dir() and any(path.name == STORE_FILE or is_key_file(path) for path in folder.iterdir()):
            raise UsageError(f"{folder} holds keys already", remedy="Name an empty folder, or use the keys there.")
        make_private_folder(folder)
        master = new_private("x25519")
        write_private(folder / STORE_FILE, sealing.seal_store(master, composed, sealing.new_kdf(scrypt_n)))
        return OpenKeys(folder, master)

    def exists(self) -> bool:
        """Tell whether there is a store in the folder."""
        return (self.folder / STORE_FILE).exists()

    def list(self) -> list[KeyInfo]:
        """Return all keys, sorted by role, time and id; needs no passphrase.

        Raises:
            AccessError: others can read a file or write to the folder.
            IntegrityError: a file is damaged.
        """
        return [file.info() for file in key_files(self.folder)]

    def unlock(self, passphrase: str) -> OpenKeys:
        """Open the store; takes about a quarter of a second, whatever the number of keys.

        Raises:
            AccessError: a wrong passphrase, or others can read the files.
            IntegrityError: `store.json` is damaged.
            StorageError: there is no store.
        """
        return OpenKeys(self.folder, self._open_master(passphrase)[0])

    def take_over(self, secret: str) -> OpenKeys:
        """Open the store by what `OpenKeys.hand_over` gave; costs nothing, as no passphrase is tried.

        Raises:
            AccessError: it is no such secret; whether it is this store's shows when a key is opened.
        """
        master = bytes.fromhex(secret) if re.fullmatch(f"[0-9a-f]{{{2 * sealing.SECRET_BYTES}}}", secret) else b""
        if not master:
            raise AccessError(
                f"what was handed over does not open the keys in {self.folder}",
                remedy="Start the node with `tally node run`.",
            )
        return OpenKeys(self.folder, master)

    def change_passphrase(self, old: str, new: str) -> None:
        """Let a new passphrase open the store, and the old one no longer; the keys stay the same.

        Whoever has an old copy of `store.json` and the old passphrase can still read the keys: if that may have
        happened, rotate the keys.

        Raises:
            AccessError: the old passphrase is wrong.
            UsageError: the new one is too short.
        """
        composed = check_new_passphrase(new)
        master, kdf = self._open_master(old)
        write_private(self.folder / STORE_FILE, sealing.seal_store(master, composed, sealing.new_kdf(kdf.n)))

    def _open_master(self, passphrase: str) -> tuple[bytes, sealing.Kdf]:
        """Return the master key and how the passphrase was used."""
        check_folder(self.folder)
        path = self.folder / STORE_FILE
        try:
            file = sealing.read_store(read_private(path))
        except MalformedError:
            raise IntegrityError(f"{path} is damaged", remedy=FROM_BACKUP) from None
        try:
            return sealing.open_store(file, passphrase), file.kdf
        except sealing.WrongKeyError:
            raise AccessError(
                f"this passphrase does not open the keys in {self.folder}",
                remedy="Check the passphrase and where it comes from (TALLY_PASSPHRASE, TALLY_PASSPHRASE_FILE).",
            ) from None


class OpenKeys:
    """A store that was unlocked; a `KeySource`. Holds the master key in memory as long as it lives."""

    def __init__(self, folder: Path, master: bytes) -> None:
        """Use `KeyStore.unlock` or `KeyStore.create`."""
        self.folder = folder
        self._master = master

    def __reduce__(self) -> NoReturn:
        raise TypeError("an unlocked key store is not pickled")

    def hand_over(self) -> str:
        """Return what opens this store in another process of the same node, by `KeyStore.take_over`.

        It is the master key: it goes through a pipe, and never to a file, an argument, the environment or a log.
        """
        return self._master.hex()

    def list(self) -> list[KeyInfo]:
        """Return all keys, sorted by role, time and id."""
        return [file.info() for file in key_files(self.folder)]

    def create(self, role: str, *, created_ms: int | None = None) -> KeyInfo:
        """Make a key for a role; it is on the disk when this returns.

        Args:
            role: one of `ROLE_KINDS`.
            created_ms: time; by default now.

        Raises:
            UsageError: an unknown role.
            StorageError: it could not be written.
        """
        if role not in ROLE_KINDS:
            raise UsageError(f"there is no role {role!r}", remedy=f"Use one of: {', '.join(ROLE_KINDS)}.")
        private = new_private(ROLE_KINDS[role])
        info = describe(role, private, _now_ms() if created_ms is None else created_ms)
        self._write(info, private)
        return info

    def find(self, name: str) -> KeyInfo:
        """Return the key of an id, or the newest of a role that is in use.

        Raises:
            AccessError: there is none.
        """
        return self._find_file(name).info()

    def open(self, name: str) -> PrivateKey:
        """Return the private key of an id, or of the newest key in use of a role.

        Raises:
            AccessError: there is none, or it is kept offline.
            IntegrityError: its file is damaged or was changed.
        """
        return self._open_file(self._find_file(name))[1]

    def signer(self, name: str) -> Signer:
        """Return the Ed25519 key of an id, or the newest of a role that is in use.

        Raises:
            AccessError: there is none, it is kept offline, or it does not sign.
            IntegrityError: its file is damaged or was changed.
        """
        key = self.open(name)
        if isinstance(key, (x25519.X25519PrivateKey, ec.EllipticCurvePrivateKey)):
            raise AccessError(f"the key {name} does not sign", remedy="Name a key of a ledger role.")
        return key

    def encryption_private(self, public: bytes | None = None) -> x25519.X25519PrivateKey:
        """Return the newest encryption key in use, or the one of a public key, also when retired.

        Raises:
            AccessError: there is none.
            IntegrityError: its file is damaged or was changed.
        """
        name = ENCRYPTION if public is None else self._id_of(ENCRYPTION, public)
        return cast(x25519.X25519PrivateKey, self.open(name))

    def tls_private(self) -> ec.EllipticCurvePrivateKey:
        """Return the newest TLS key in use.

        Raises:
            AccessError: there is none.
            IntegrityError: its file is damaged or was changed.
        """
        return cast(ec.EllipticCurvePrivateKey, self.open(TLS))

    def retire(self, name: str, *, retired_ms: int | None = None) -> KeyInfo:
        """Mark a key as no longer used for anything new; it stays and can be opened by its id.

        Raises:
            AccessError: there is none.
            IntegrityError: its file is damaged or was changed.
        """
        file = self._find_file(name)
        if file.retired:
            return file.info()
        private = self._open_secret(file)
        info = msgspec.structs.replace(file.info(), retired=_now_ms() if retired_ms is None else retired_ms)
        self._write(info, private)
        return info

    def export(
        self,
        name: str,
        path: Path,
        passphrase: str,
        *,
        keep: bool = True,
        scrypt_n: int = sealing.DEFAULT_SCRYPT_N,
    ) -> KeyInfo:
        """Write a key to a file of its own, with a passphrase of its own, to be kept elsewhere.

        The file is read back and opened before anything else is done, so that no key is lost to a bad stick.

        Args:
            name: id or role.
            path: must not be there yet.
            passphrase: at least 8 characters.
            keep: False takes the private key out of this store: it is then offline.
            scrypt_n: cost of trying a passphrase, a power of two.

        Raises:
            UsageError: the file is there already, or the passphrase is too short.
            AccessError: there is no such key, or it is offline already.
        """
        composed = check_new_passphrase(passphrase)
        if path.exists():
            raise UsageError(f"{path} is there already", remedy="Name another file.")
        file = self._find_file(name)
        private, _ = self._open_file(file)
        kdf = sealing.new_kdf(scrypt_n)
        write_private(path, sealing.seal_key(file.info(), private, sealing.derive(kdf, composed), kdf))
        info, _ = open_exported(path, composed)
        if not keep:
            info = msgspec.structs.replace(info, offline=True)
            self._write(info, b"")
        return info

    def _id_of(self, role: str, public: bytes) -> str:
        """Return the id of a public key in a role."""
        for info in self.list():
            if info.role == role and info.public == public.hex():
                return info.id
        raise AccessError(
            f"there is no {role} key {public.hex()[:16]}… in {self.folder}",
            remedy="It may have been made on another node: restore the keys from a backup.",
        )

    def _find_file(self, name: str) -> sealing.KeyFile:
        """Return the file of an id, or of the newest key of a role that is in use."""
        files = [file for file in key_files(self.folder) if file.id == name or (file.role == name and not file.retired)]
        if not files:
            raise AccessError(
                f"there is no key {name} in use in {self.folder}", remedy="Type: tally key list, or tally key create"
            )
        return files[-1]

    def _open_secret(self, file: sealing.KeyFile) -> bytes:
        """Return the private bytes of a file, or nothing where the key is offline."""
        try:
            return sealing.open_key(file, sealing.subkey(self._master, file.id))
        except sealing.WrongKeyError:
            raise damaged(self.folder / f"{file.id}.json") from None

    def _open_file(self, file: sealing.KeyFile) -> tuple[bytes, PrivateKey]:
        """Return the private bytes of a file, and the key."""
        secret = self._open_secret(file)
        if file.offline:
            raise AccessError(
                f"the key {file.id} is kept offline", remedy="Name the file it was exported to, and its passphrase."
            )
        return secret, checked_key(file, secret, self.folder / f"{file.id}.json")

    def _write(self, info: KeyInfo, private: bytes) -> None:
        """Write the file of a key."""
        check_folder(self.folder)
        data = sealing.seal_key(info, private, sealing.subkey(self._master, info.id))
        write_private(self.folder / f"{info.id}.json", data)


def open_exported(path: Path, passphrase: str) -> tuple[KeyInfo, PrivateKey]:
    """Open a key in a file of its own.

    Raises:
        AccessError: a wrong passphrase, or others can read the file.
        IntegrityError: the file is damaged.
        StorageError: it is missing.
        UsageError: it is a file of a store.
    """
    try:
        file = sealing.read_key(read_private(path))
    except MalformedError:
        raise damaged(path) from None
    if file.kdf is None:
        raise UsageError(f"{path} is a file of a key store", remedy="Open the store that it belongs to.")
    try:
        secret = sealing.open_key(file, sealing.derive(file.kdf, passphrase))
    except sealing.WrongKeyError:
        raise AccessError(
            f"this passphrase does not open {path}, or the file is damaged",
            remedy="Check the passphrase: an exported key has one of its own.",
        ) from None
    return file.info(), checked_key(file, secret, path)


def _now_ms() -> int:
    """Return the time of this machine."""
    return time.time_ns() // 1_000_000
