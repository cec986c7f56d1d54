"""Write files.json beside this file: a store, a key and an exported key by the README of the keys room alone.

python tests/vectors/keys/generate_files.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PASSPHRASE = "pâssphrase of the vectors"
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
MASTER = bytes(range(32, 64))
PRIVATE = bytes(range(32))


def characters(tag: bytes, parts: list[bytes], length: int) -> str:
    """Return the first characters of a tagged hash."""
    text = bytes([len(tag)]) + tag + b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(text).digest())
    return "".join(CROCKFORD[int(bits[5 * i : 5 * i + 5], 2)] for i in range(length))


def sealed(tag: bytes, key: bytes, secret: bytes, nonce: bytes, file: dict[str, Any]) -> dict[str, Any]:
    """Return a file with a secret in it."""
    additional = tag + b"\x00" + rfc8785.dumps({**file, "nonce": "", "ciphertext": ""})
    return {**file, "nonce": nonce.hex(), "ciphertext": AESGCM(key).encrypt(nonce, secret, additional).hex()}


def slow(salt: bytes) -> tuple[dict[str, Any], bytes]:
    """Return scrypt at a low cost and the key that it gives."""
    key = hashlib.scrypt(PASSPHRASE.encode(), salt=salt, n=1024, r=8, p=1, dklen=32)
    return {"name": "scrypt", "n": 1024, "r": 8, "p": 1, "salt": salt.hex()}, key


def main() -> None:
    """Write the file."""
    public = Ed25519PrivateKey.from_private_bytes(PRIVATE).public_key().public_bytes_raw()
    identifier = "service-" + characters(b"tallystick/short-id", [public], 10)
    kdf, key = slow(b"s" * 16)
    store = {"v": 1, "cipher": "aes-256-gcm", "kdf": kdf, "checksum": ""}
    store = sealed(b"tallystick/key-store-v1", key, MASTER, b"n" * 12, store)
    store["checksum"] = hashlib.sha256(rfc8785.dumps(store)).hexdigest()

    info = {
        "v": 1,
        "cipher": "aes-256-gcm",
        "id": identifier,
        "kind": "ed25519",
        "role": "service",
        "public": public.hex(),
        "created": 1_700_000_000_000,
    }
    under = HKDF(SHA256(), 32, salt=None, info=b"tallystick/key-file\x00" + identifier.encode()).derive(MASTER)
    stored = sealed(b"tallystick/key-file-v1", under, PRIVATE, b"m" * 12, info)
    kdf, key = slow(b"t" * 16)
    exported = sealed(b"tallystick/key-file-v1", key, PRIVATE, b"o" * 12, {**info, "kdf": kdf})
    groups = characters(b"tallystick/fingerprint", [b"card"], 25)
    content = {
        "passphrase": PASSPHRASE,
        "private": PRIVATE.hex(),
        "id": identifier,
        "store": rfc8785.dumps(store).decode(),
        "key": rfc8785.dumps(stored).decode(),
        "exported": rfc8785.dumps(exported).decode(),
        "fingerprint_of_card": "-".join(groups[start : start + 5] for start in range(0, 25, 5)),
    }
    Path(__file__).with_name("files.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
