"""Write state.json beside this file: the state tree by its definition alone, sharing no code with the package.

python tests/vectors/merkle/generate_state.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

RECORDS = [
    (f"{collection}", f"key-{number}", f'{{"number":{number}}}')
    for collection in ("agreements", "datasets")
    for number in range(8)
] + [("a", "bc", "1"), ("ab", "c", "1"), ("ünïcode", "鍵", "{}")]
SIZES = [0, 1, 2, 3, 5, 8, 13, 19]


def _sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def place(collection: str, key: str) -> bytes:
    """Return the place of a record."""
    parts = [text.encode() for text in (collection, key)]
    return _sha(b"\x02" + b"".join(len(part).to_bytes(4, "big") + part for part in parts))


def leaf(where: bytes, value: bytes) -> bytes:
    """Return the leaf of a value."""
    return _sha(b"\x00" + where + _sha(value))


def root(leaves: dict[bytes, bytes], depth: int = 0) -> bytes:
    """Return the hash of a set of leaves at a depth."""
    if not leaves:
        return bytes(32)
    if len(leaves) == 1:
        return next(iter(leaves.values()))
    halves: list[dict[bytes, bytes]] = [{}, {}]
    for where, value in leaves.items():
        halves[where[depth // 8] >> (7 - depth % 8) & 1][where] = value
    return _sha(b"\x01" + root(halves[0], depth + 1) + root(halves[1], depth + 1))


def main() -> None:
    """Write the vectors."""
    places = [place(collection, key) for collection, key, _ in RECORDS]
    leaves = {where: leaf(where, record[2].encode()) for where, record in zip(places, RECORDS, strict=True)}
    document = {
        "records": [
            {"collection": collection, "key": key, "leaf": leaves[where].hex(), "place": where.hex(), "value": value}
            for where, (collection, key, value) in zip(places, RECORDS, strict=True)
        ],
        "roots": [{"root": root({p: leaves[p] for p in places[:size]}).hex(), "size": size} for size in SIZES],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True)
    Path(__file__).with_name("state.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
