"""Canonical bytes, identifiers, hashes and COSE envelopes.

Rules of this room:

- One value has one byte sequence. What does not re-encode to the very bytes it came from is refused.
- Nothing here reads a clock, a file or a source of randomness.
- Every refusal is a `MalformedError`; text of a library never leaves this room.
"""

from tallystick.codec.canonical import (
    JSON,
    MAX_DEPTH,
    MalformedError,
    StrictDecoder,
    decode_json,
    encode_json,
    encode_own,
)
from tallystick.codec.cose import CONTENT_TYPE, Sign1, decode_sign1, encode_sign1, protected_header, sig_structure
from tallystick.codec.hashes import sha256, tagged_hash
from tallystick.codec.identifiers import (
    DATASET_NAME_LENGTH,
    check_dataset_name,
    check_hash,
    check_organisation_id,
    check_slug,
    short_id,
)
from tallystick.codec.times import iso_time, parse_iso_time

__all__ = [
    "CONTENT_TYPE",
    "DATASET_NAME_LENGTH",
    "JSON",
    "MAX_DEPTH",
    "MalformedError",
    "Sign1",
    "StrictDecoder",
    "check_dataset_name",
    "check_hash",
    "check_organisation_id",
    "check_slug",
    "decode_json",
    "decode_sign1",
    "encode_json",
    "encode_own",
    "encode_sign1",
    "iso_time",
    "parse_iso_time",
    "protected_header",
    "sha256",
    "short_id",
    "sig_structure",
    "tagged_hash",
]
