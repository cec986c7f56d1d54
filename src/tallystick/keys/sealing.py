"""The encrypted form of keys: what stands in `store.json`, in a key file, and in an exported file.

- A store has one random master key. `store.json` holds it encrypted under scrypt(passphrase): the slow function runs
  once, however many keys there are, and a new passphrase rewrites this one file.
- A key file is encrypted under HKDF(master key, key id). An exported file stands alone: scrypt(its own passphrase).
- The cipher is AES-256-GCM with a random nonce of 96 bits. Additional data is a tag and the file's own canonical JSON
  with `nonce` and `ciphertext` empty, so that nothing in a file can be changed or moved to another.
- A file is canonical JSON: every other way to write the same is refused.
"""

from __future__ import annotations

import os
import unicodedata
from typing import Annotated, Literal, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tallystick.codec import MalformedError, StrictDecoder, encode_json, sha256
from tallystick.keys.files import MAX_FILE_BYTES
from tallystick.keys.kinds import ROLE_KINDS, KeyInfo, key_id

SECRET_BYTES = 32
SALT_BYTES = 16
NONCE_BYTES = 12
# 128 MiB and about a quarter of a second: what OWASP asks for at least, and what a start can bear.
DEFAULT_SCRYPT_N = 1 << 17
_MAX_SCRYPT_N = 1 << 20
_STORE_TAG = b"tallystick/key-store-v1\x00"
_KEY_TAG = b"tallystick/key-file-v1\x00"
_SUBKEY_INFO = b"tallystick/key-file\x00"

_Hex = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f][0-9a-f])*\Z")]


class Kdf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a passphrase becomes a key: scrypt (RFC 7914).

    Attributes:
        name: `scrypt`.
        n: cost, a power of two; 1,024 bytes of memory each.
        r: 8.
        p: 1.
        salt: 16 random bytes, hex.
    """

    name: Literal["scrypt"]
    n: Annotated[int, msgspec.Meta(ge=2, le=_MAX_SCRYPT_N)]
    r: Literal[8]
    p: Literal[1]
    salt: _Hex


class StoreFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`store.json`.

    Attributes:
        v: 1.
        kdf: how its passphrase is used.
        cipher: `aes-256-gcm`.
        nonce: hex.
        ciphertext: the master key, encrypted, hex.
        checksum: SHA-256 of the file with this field empty; tells damage from a wrong passphrase, and guards nothing.
    """

    v: Literal[1]
    kdf: Kdf
    cipher: Literal["aes-256-gcm"]
    nonce: _Hex
    ciphertext: _Hex
    checksum: _Hex


class KeyFile(KeyInfo, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key; beside what `KeyInfo` says:

    Attributes:
        v: 1.
        cipher: `aes-256-gcm`.
        nonce: hex.
        ciphertext: the private key, encrypted, hex; of nothing where it is offline.
        kdf: only in an exported file: how its own passphrase is used.
    """

    v: Literal[1]
    cipher: Literal["aes-256-gcm"]
    nonce: _Hex
    ciphertext: _Hex
    kdf: Kdf | None = None

    def info(self) -> KeyInfo:
        """Return what is public about the key."""
        return KeyInfo(**{name: getattr(self, name) for name in KeyInfo.__struct_fields__})


_File = TypeVar("_File", StoreFile, KeyFile)
_store_decoder: StrictDecoder[StoreFile] = StrictDecoder(StoreFile, max_bytes=MAX_FILE_BYTES)
_key_decoder: StrictDecoder[KeyFile] = StrictDecoder(KeyFile, max_bytes=MAX_FILE_BYTES)


class WrongKeyError(Exception):
    """The cipher refuses: a wrong passphrase, or something was changed. Who calls knows which to say."""


def new_kdf(n: int = DEFAULT_SCRYPT_N) -> Kdf:
    """Return scrypt at a cost, with a new salt."""
    return Kdf(name="scrypt", n=n, r=8, p=1, salt=os.urandom(SALT_BYTES).hex())


def derive(kdf: Kdf, passphrase: str) -> bytes:
    """Return the 32-byte key of a passphrase; takes as long and as much memory as `kdf` says."""
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return Scrypt(salt=bytes.fromhex(kdf.salt), length=SECRET_BYTES, n=kdf.n, r=kdf.r, p=kdf.p).derive(text)


def subkey(master: bytes, identifier: str) -> bytes:
    """Return the key that encrypts one key file of a store."""
    return HKDF(SHA256(), SECRET_BYTES, salt=None, info=_SUBKEY_INFO + identifier.encode()).derive(master)


def seal_store(master: bytes, passphrase: str, kdf: Kdf, nonce: bytes | None = None) -> bytes:
    """Return the bytes of `store.json`.

    Args:
        master: the store's master key.
        passphrase: what will open it.
        kdf: with a new salt.
        nonce: 12 bytes that were never used with this salt; by default random ones.
    """
    empty = StoreFile(v=1, kdf=kdf, cipher="aes-256-gcm", nonce="", ciphertext="", checksum="")
    file = _encrypt(empty, _STORE_TAG, derive(kdf, passphrase), master, nonce)
    return encode_json(msgspec.structs.replace(file, checksum=_checksum(file)))


def read_store(data: bytes) -> StoreFile:
    """Read `store.json` as far as that needs no passphrase.

    Raises:
        MalformedError: damaged, or no such file.
    """
    file = _store_decoder.decode(data)
    if _checksum(file) != file.checksum or len(file.nonce) != 2 * NONCE_BYTES or file.kdf.n & (file.kdf.n - 1):
        raise MalformedError("damaged")
    return file


def open_store(file: StoreFile, passphrase: str) -> bytes:
    """Return the master key.

    Raises:
        WrongKeyError: another passphrase.
    """
    bare = msgspec.structs.replace(file, checksum="")
    master = _decrypt(bare, _STORE_TAG, derive(file.kdf, passphrase))
    if len(master) != SECRET_BYTES:
        raise WrongKeyError
    return master


def seal_key(info: KeyInfo, private: bytes, key: bytes, kdf: Kdf | None = None, nonce: bytes | None = None) -> bytes:
    """Return the bytes of a key file.

    Args:
        info: what stands in it unencrypted.
        private: the private key, or nothing where it is offline.
        key: from `subkey`, or from `derive` for an exported file.
        kdf: for an exported file.
        nonce: 12 bytes never used with this key before; by default random ones.
    """
    fields = msgspec.structs.asdict(info)
    empty = KeyFile(**fields, v=1, cipher="aes-256-gcm", nonce="", ciphertext="", kdf=kdf)
    return encode_json(_encrypt(empty, _KEY_TAG, key, private, nonce))


def read_key(data: bytes) -> KeyFile:
    """Read a key file as far as that needs no passphrase.

    Raises:
        MalformedError: damaged, or no such file.
    """
    file = _key_decoder.decode(data)
    if ROLE_KINDS.get(file.role) != file.kind or len(file.nonce) != 2 * NONCE_BYTES:
        raise MalformedError("not a key file")
    if file.kdf is not None and file.kdf.n & (file.kdf.n - 1):
        raise MalformedError("not a key file")
    try:
        public = bytes.fromhex(file.public)
    except ValueError:
        raise MalformedError("public key is not hex") from None
    if public.hex() != file.public or key_id(file.role, public) != file.id:
        raise MalformedError("id does not follow from the public key")
    return file


def open_key(file: KeyFile, key: bytes) -> bytes:
    """Return the private key of a key file; nothing where it is offline.

    Raises:
        WrongKeyError: another key, or something in the file was changed.
    """
    return _decrypt(file, _KEY_TAG, key)


def _additional(file: StoreFile | KeyFile, tag: bytes) -> bytes:
    """Return what the cipher binds beside the secret."""
    return tag + encode_json(msgspec.structs.replace(file, nonce="", ciphertext=""))


def _encrypt(empty: _File, tag: bytes, key: bytes, secret: bytes, nonce: bytes | None) -> _File:
    """Return the file with the secret in it."""
    fresh = os.urandom(NONCE_BYTES) if nonce is None else nonce
    ciphertext = AESGCM(key).encrypt(fresh, secret, _additional(empty, tag))
    return msgspec.structs.replace(empty, nonce=fresh.hex(), ciphertext=ciphertext.hex())


def _decrypt(file: StoreFile | KeyFile, tag: bytes, key: bytes) -> bytes:
    """Return the secret of a file."""
    try:
        return AESGCM(key).decrypt(bytes.fromhex(file.nonce), bytes.fromhex(file.ciphertext), _additional(file, tag))
    except InvalidTag:
        raise WrongKeyError from None


def _checksum(file: StoreFile) -> str:
    """Return the checksum of `store.json`."""
    return sha256(encode_json(msgspec.structs.replace(file, checksum=""))).hex()
