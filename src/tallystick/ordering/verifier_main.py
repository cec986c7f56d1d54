"""The child process of `VerifierProcess`: reads batches of signatures from standard input, answers on standard output.

A batch is a count (4 bytes, big-endian), then for each signature the key (32 bytes), the signature (64 bytes), and what
was signed behind its length (4 bytes). The answer is a byte for each: 1 good, 0 not.
"""

from __future__ import annotations

import contextlib
import os

from tallystick.keys import ED25519


def serve(questions: int, answers: int) -> None:
    """Answer batches until the other side closes.

    Args:
        questions: descriptor to read from.
        answers: descriptor to write to.
    """
    verify = ED25519.verify
    with os.fdopen(questions, "rb", buffering=1 << 20) as stream, os.fdopen(answers, "wb", buffering=0) as out:
        while head := stream.read(4):
            verdicts = bytearray()
            for _ in range(int.from_bytes(head, "big")):
                fixed = stream.read(100)
                signed = stream.read(int.from_bytes(fixed[96:], "big"))
                verdicts.append(verify(fixed[:32], signed, fixed[32:96]))
            out.write(verdicts)


if __name__ == "__main__":
    # A core that was killed does not wait for its answer.
    with contextlib.suppress(BrokenPipeError):
        serve(0, 1)
