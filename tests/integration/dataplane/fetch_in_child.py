"""Fetch one delivery in a process of its own, to be killed: python -m ... FILE, where FILE says what in JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tallystick.dataplane import TlsIdentity
from tallystick.dataplane.client import DeliveryClient, Order
from tests.support.dataplane import PASSWORD


def main(file: Path) -> None:
    """Fetch."""
    told = json.loads(file.read_text())
    identity = TlsIdentity(Path(told["identity"]), "university", PASSWORD)
    client = DeliveryClient(identity, {told["pin"]}.__contains__)
    order = Order(told["url"], told["delivery"], told["agreement"])
    asyncio.run(client.fetch(order, Path(told["to"]), bytes.fromhex(told["private_key"])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
