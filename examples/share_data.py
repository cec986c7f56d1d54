"""One organisation offers a file, another asks for it, gets it, and proves where it came from. Two running nodes needed.

    python examples/share_data.py OWNER_HOME CONSUMER_HOME FILE FOLDER

OWNER_HOME and CONSUMER_HOME are homes of nodes that run on this machine, as `tally demo --serve` leaves them. FILE is what
is shared; FOLDER is where it arrives, with its receipt and the zone's trust file beside it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tallystick


def main(owner_home: Path, consumer_home: Path, file: Path, folder: Path) -> None:
    """Share a file between two organisations of one zone."""
    with tallystick.connect(home=owner_home) as owner, tallystick.connect(home=consumer_home) as consumer:
        # The owner says what the data is and on which terms; the data itself stays where it is.
        offered = owner.offer(file, name=file.stem, title=file.stem, field="other", terms="research-90d")
        print(f"{owner.organisation} offers {offered.name}: {' '.join(offered.terms_summary)}")

        # The consumer finds it in its own copy of the ledger, which is a moment behind, and asks.
        soon(lambda: offered.name in [each.name for each in consumer.find(file.stem, limit=200)])
        asked = consumer.request(offered.name, "To show how data is shared")
        print(f"{consumer.organisation} asks for it: {asked.id}")

        # The owner decides. What it was asked for is signed, and only the owner reads it.
        soon(lambda: asked.id in [each.id for each in owner.requests(waiting=True)])
        agreed = owner.approve(asked.id)
        print(f"{owner.organisation} approves: {agreed.agreement}")

        # The consumer fetches: encrypted on its way, checked here against what the owner put on the ledger.
        soon(lambda: agreed.agreement in [each.id for each in consumer.agreements("in_force")])
        fetched = consumer.fetch(agreed.agreement, folder)
        print(f"{fetched.bytes} bytes arrived in {fetched.path}; fingerprint {fetched.root[:16]}…")

        # The receipt says that exactly this was delivered, and when. It needs no network and no trust in anybody here.
        assert fetched.recorded is not None
        receipt = consumer.receipt(fetched.recorded.transaction, fetched.recorded.index)
        path = receipt.save(folder / "delivery.receipt.json")
        trust = folder / "zone.json"
        trust.write_bytes(consumer.trust.encode())

    verified = tallystick.verify_receipt(path, trust, file=fetched.path)
    print("\n".join(verified.explain()))
    print(f"Check it again at any time: tally receipt verify {path} --zone {trust} --file {fetched.path}")


def soon(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until something that was recorded has reached the other organisation's copy."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("what was recorded has not reached the other copy; see `tally node status`")
        time.sleep(0.1)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    try:
        main(*map(Path, sys.argv[1:]))
    except tallystick.TallystickError as error:
        raise SystemExit(f"error: {error}. {getattr(error, 'remedy', '')}") from None
