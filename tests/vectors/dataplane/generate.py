"""Make the golden delivery of this folder from fixed inputs: python -m tests.vectors.dataplane.generate.

The expected values are computed here by other means than the data plane's own code: HKDF and AES-GCM of `cryptography`
over whole byte strings, and the recursive definition of RFC 9162's tree.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = Path(__file__).parent / "delivery"
SALT = bytes(range(32))
KEY = bytes(range(32, 64))
DELIVERY = "0123456789abcdef0123456789abcdef"
FILES = {"a.csv": b"a,b\n1,2\n", "b/empty.txt": b"", "b/long.bin": bytes(index % 251 for index in range(1_200_000))}
MIB, SEGMENT = 1 << 20, 1 << 16


def tree(leaves: list[bytes]) -> bytes:
    """Return MTH as RFC 9162 section 2.1.1 defines it."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return hashlib.sha256(b"\x01" + tree(leaves[:middle]) + tree(leaves[middle:])).digest()


def cut(data: bytes, size: int) -> list[bytes]:
    """Cut into pieces; what is empty is one empty piece."""
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


def build() -> dict[str, Any]:
    """Return the case: inputs and every value that follows from them."""
    kinds = {"csv": "text/csv", "txt": "text/plain", "bin": "application/octet-stream"}
    listed = [
        f'{{"media_type":"{kinds[path.rpartition(".")[2]]}","path":"{path}","size":{len(data)}}}'
        for path, data in FILES.items()
    ]
    manifest = f'{{"files":[{",".join(listed)}],"kind":"folder","name":"golden","v":1}}'.encode()
    chunks = [chunk for part in (manifest, *FILES.values()) for chunk in cut(part, MIB)]
    leaves = [
        HKDF(SHA256(), 32, None, b"tallystick/leaf" + index.to_bytes(8, "big")).derive(SALT)
        + hashlib.sha256(chunk).digest()
        for index, chunk in enumerate(chunks)
    ]
    segments = [segment for chunk in chunks for segment in cut(chunk, SEGMENT)]
    stream = b""
    for index, segment in enumerate(segments):
        tail = index.to_bytes(4, "big") + bytes((index == len(segments) - 1,))
        bound = b"tallystick/segment-v1\x00" + bytes((len(DELIVERY),)) + DELIVERY.encode() + tail
        stream += AESGCM(KEY).encrypt(bytes(7) + tail, segment, bound)
    return {
        "salt": SALT.hex(),
        "content_key": KEY.hex(),
        "delivery": DELIVERY,
        "manifest": manifest.decode(),
        "leaf_hashes": [hashlib.sha256(b"\x00" + leaf).hexdigest() for leaf in leaves],
        "fingerprint": tree(leaves).hex(),
        "segments": len(segments),
        "stream_bytes": len(stream),
        "stream_sha256": hashlib.sha256(stream).hexdigest(),
    }


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    (HERE / "folder.json").write_text(json.dumps(build(), indent=1) + "\n")
