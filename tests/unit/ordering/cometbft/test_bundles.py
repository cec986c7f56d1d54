"""The engine's mempool: a bundle is kept for what of it waits; in a decided block what is no bundle holds nothing."""

from tallystick.codec.bundles import encode_bundle
from tallystick.ordering.cometbft.bundles import Carried, unpack


def test_what_is_no_bundle_holds_nothing():
    """Whatever else a block brought, its bundles have their transactions."""
    came = [encode_bundle([b"a", b"b"]), b"none", encode_bundle([b"c"])]
    unpacked = unpack(came)
    assert [[b"a", b"b"], [], [b"c"]] == [list(bundle.transactions) for bundle in unpacked]
    assert came == [bundle.encoded for bundle in unpacked]


def test_a_bundle_is_kept_for_what_waits():
    """It goes with the last of its transactions, and all go with the engine's mempool."""
    carried = Carried()
    carried.add(b"one", [b"a", b"b"])
    carried.add(b"two", [b"c"])
    assert b"one" in carried
    carried.block_committed({b"b": 0}.keys())
    assert (True, False) == (b"one" in carried, b"two" in carried)
    carried.clear()
    assert b"one" not in carried
