"""Numbers and points of the curve of Ed25519 (RFC 8032 section 5.1), for signatures at the edges."""

ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
IDENTITY = (1).to_bytes(32, "little")
# The points of order 1, 2, 4 and 8 in their canonical encoding, one of each pair that differs in the sign bit.
SMALL_ORDER = [
    IDENTITY,
    (PRIME - 1).to_bytes(32, "little"),
    (0).to_bytes(32, "little"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]
