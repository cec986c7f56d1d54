"""Write frames.json beside this file: hashes, short ids and COSE frames by other libraries, without the package.

python tests/vectors/codec/generate_frames.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CONTENT_TYPE = "application/vnd.tallystick.transaction+json"
PAYLOADS = [b"", b"x", b"p" * 23, b"p" * 24, b"p" * 255, b"p" * 256, b"p" * 65_535, b"p" * 65_536]
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def tagged(tag: bytes, *parts: bytes) -> bytes:
    """Return the hash of parts behind a tag, all with their lengths."""
    text = bytes([len(tag)]) + tag
    return hashlib.sha256(text + b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


def short(prefix: str, seed: bytes, length: int) -> str:
    """Return a short id, through its bits as text."""
    bits = "".join(f"{byte:08b}" for byte in tagged(b"tallystick/short-id", seed))
    return prefix + "-" + "".join(CROCKFORD[int(bits[5 * i : 5 * i + 5], 2)] for i in range(length))


def frame(payload: bytes) -> dict[str, str]:
    """Return one signed frame; long payloads by their hash."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = private.public_key().public_bytes_raw()
    aad = hashlib.sha256(b"genesis").digest()
    protected = cbor2.dumps({1: -8, 3: CONTENT_TYPE, 4: key}, canonical=True)
    signed = cbor2.dumps(["Signature1", protected, aad, payload], canonical=True)
    signature = private.sign(signed)
    encoded = cbor2.dumps([protected, {}, payload, signature], canonical=True)
    return {
        "payload_bytes": str(len(payload)),
        "payload_character": payload[:1].decode(),
        "external_aad": aad.hex(),
        "key": key.hex(),
        "protected": protected.hex(),
        "signature": signature.hex(),
        "sig_structure_sha256": hashlib.sha256(signed).hexdigest(),
        "frame_sha256": hashlib.sha256(encoded).hexdigest(),
        **({"frame": encoded.hex()} if len(payload) < 300 else {}),
    }


def main() -> None:
    """Write the file."""
    hashes = [
        (b"t", []),
        (b"t", [b""]),
        (b"t", [b"", b""]),
        (b"tallystick/x", [b"ab", b"c"]),
        (b"tallystick/x", [b"a", b"bc"]),
    ]
    content = {
        "tagged_hashes": [
            {"tag": tag.decode(), "parts": [part.hex() for part in parts], "hash": tagged(tag, *parts).hex()}
            for tag, parts in hashes
        ],
        "short_ids": [
            {"prefix": prefix, "seed": seed.hex(), "length": length, "id": short(prefix, seed, length)}
            for prefix, seed, length in [("req", b"one", 4), ("req", b"one", 8), ("agr", b"two", 50)]
        ],
        "frames": [frame(payload) for payload in PAYLOADS],
    }
    Path(__file__).with_name("frames.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
