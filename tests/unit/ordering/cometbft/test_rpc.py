"""Requests stay within what the engine takes, and what it answers is told apart."""

import pytest

from tallystick.errors import PeerError
from tallystick.ordering.cometbft.rpc import MAX_BATCH, MAX_BATCH_BYTES, EngineRpc, _admitted, _batches


def test_requests_stay_small():
    """Neither more calls nor more bytes than the engine is set to take, nothing lost, order kept."""
    raws = [bytes(MAX_BATCH_BYTES // 2), bytes(MAX_BATCH_BYTES), *(bytes((number,)) for number in range(2 * MAX_BATCH))]
    batches = list(_batches(raws))
    assert raws == [raw for batch in batches for raw in batch]
    assert all(
        len(batch) <= MAX_BATCH and (len(batch) == 1 or sum(map(len, batch)) <= MAX_BATCH_BYTES) for batch in batches
    )


def test_transaction_that_waits_already_is_admitted():
    """The engine's complaint about bytes that it has is no refusal; any other is."""
    assert 0 == _admitted({"error": {"message": "Internal error", "data": "tx already exists in cache"}}).code
    full = _admitted({"error": {"message": "Internal error", "data": "mempool is full"}})
    assert (1, "engine", "mempool is full") == full


async def test_engine_that_is_not_there(tmp_path):
    """Nobody listening is said with the socket and a remedy, and so is a client that was not opened."""
    rpc = EngineRpc(tmp_path / "rpc.sock")
    with pytest.raises(PeerError, match="not connected"):
        await rpc.status()
    rpc.open()
    try:
        with pytest.raises(PeerError, match=r"does not answer at .*rpc\.sock") as caught:
            await rpc.status()
    finally:
        await rpc.close()
    assert caught.value.remedy
