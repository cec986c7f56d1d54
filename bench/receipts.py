"""Receipts: how large one of a typical operation is, and how many a core verifies in a second of its time."""

from __future__ import annotations

import time
from pathlib import Path

from bench.figures import AT_LEAST, LESS_THAN, figure, verifies_per_second
from tallystick.codec import encode_json
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.proofs import verify_receipt
from tests.vectors.proofs.zone import Zone

HISTORY = 200_000
WITNESSES = ("bank", "hospital", "port")
SIZE_GOAL_BYTES, VERIFY_GOAL = 4_096, 2_000


async def run(folder: Path, *, short: bool) -> None:
    """Measure a receipt of one operation out of a long history, with three cosignatures."""
    del folder
    history, count = (HISTORY // 10, 200) if short else (HISTORY, 2_000)
    zone = Zone(filler=history)
    operations = [encode_json(RecordEvidence(root="ab" * 32, count=3, bytes=1_234_567))]
    (entry,) = zone.record(zone.transaction("hospital", operations), operations)
    zone.block()
    receipt = zone.receipt(entry, WITNESSES)
    figure("receipt_size", len(receipt), "bytes", goal=SIZE_GOAL_BYTES, rule=LESS_THAN, history=history)
    rates = []
    for _ in range(3):
        started = time.process_time()
        for _ in range(count):
            verify_receipt(receipt, zone.trust)
        rates.append(count / (time.process_time() - started))
    figure("receipt_verify", max(rates), "receipts/s", goal=VERIFY_GOAL, rule=AT_LEAST, v=verifies_per_second())
