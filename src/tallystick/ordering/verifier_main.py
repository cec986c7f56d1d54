"""The child process of `VerifierProcess`: reads batches of transactions from its standard input's socket, answers verdicts.

A batch is a count, then each transaction behind its length (4 bytes each, big-endian). The answer is a byte for each.
"""

from __future__ import annotations

import os
import socket
import sys

from tallystick.codec import MalformedError
from tallystick.machine import decode_transaction
from tallystick.machine.signatures import verify_signature


def serve(genesis_hash: bytes, connection: socket.socket) -> None:
    """Answer batches until the other side closes.

    Args:
        genesis_hash: bound into every signature of the zone.
        connection: a stream socket.
    """
    with connection, connection.makefile("rb", buffering=1 << 20) as stream:
        while head := stream.read(4):
            answers = bytearray()
            for _ in range(int.from_bytes(head, "big")):
                raw = stream.read(int.from_bytes(stream.read(4), "big"))
                try:
                    item = decode_transaction(raw, genesis_hash)
                    answers.append(verify_signature(item.key, item.signed, item.signature))
                except MalformedError:
                    answers.append(0)
            connection.sendall(answers)


if __name__ == "__main__":
    serve(bytes.fromhex(sys.argv[1]), socket.socket(fileno=os.dup(0)))
