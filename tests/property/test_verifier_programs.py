"""Both programs that check signatures say what libsodium says, of good ones, bad ones, and those at the edges.

A validator with one of them and a validator with the other vote on the same blocks: were one slacker, an author could make
a signature that splits the zone.
"""

import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings

from tallystick.keys import ED25519
from tallystick.node.engine import find_verifier
from tallystick.node.engine_source import VERIFIER_SOURCE
from tallystick.ordering.verifier import encode_batch
from tests.support.components import require
from tests.support.edwards import IDENTITY, ORDER, PRIME, SMALL_ORDER

# Those points in their canonical encoding and in others; then encodings of other low numbers that are not canonical.
ENCODINGS = SMALL_ORDER + [y.to_bytes(32, "little") for y in range(PRIME, 2**255)]
ENCODINGS += [point[:31] + bytes((point[31] | 0x80,)) for point in ENCODINGS]
SIGNERS = [ED25519.from_private(bytes((number,)) * 32) for number in range(3)]


class Program:
    """One of the two, running."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, checks):
        """Return what it says of each (key, message, signature)."""
        self.process.stdin.write(encode_batch(checks))
        self.process.stdin.flush()
        return [byte == 1 for byte in self.process.stdout.read(len(checks))]

    def stop(self):
        """Close its input, at which it ends by itself."""
        self.process.stdin.close()
        assert 0 == self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def programs():
    """Both, running."""
    require("cometbft")
    fast = find_verifier()
    assert fast is not None
    both = [Program([str(fast)]), Program([sys.executable, "-m", "tallystick.ordering.verifier_main"])]
    yield both
    for program in both:
        program.stop()


def point(scalar, torsion=IDENTITY):
    """Return scalar times the base point, plus a point of small order."""
    if not scalar:
        return torsion
    product = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))
    return product if torsion == IDENTITY else bindings.crypto_core_ed25519_add(product, torsion)


def made(secret, nonce, message, *, key=None, r=None):
    """Return (key, message, signature) whose S fits a secret and a nonce, whatever key and R are said to be."""
    key = key or point(secret)
    r = r or point(nonce)
    challenge = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little")
    return key, message, r + ((nonce + challenge * secret) % ORDER).to_bytes(32, "little")


def verdicts(programs, checks):
    """Return what all say, having found that they agree."""
    said = [ED25519.verify(*check) for check in checks]
    for program in programs:
        found = program.ask(checks)
        assert said == found, [check for check, one, other in zip(checks, said, found, strict=True) if one != other]
    return said


def test_signatures_with_a_part_of_small_order(programs):
    """Where key and R have such parts, the equation holds with the cofactor, and without it only sometimes."""
    checks = [
        made(
            5 + number,
            7 + number,
            b"message %d" % number,
            key=point(5 + number, of_key),
            r=point(7 + number, of_r),
        )
        for of_key, of_r in itertools.product(SMALL_ORDER, repeat=2)
        for number in range(12)
    ]
    said = verdicts(programs, checks)
    pure = [of_key == of_r == IDENTITY for of_key, of_r in itertools.product(SMALL_ORDER, repeat=2) for _ in range(12)]
    assert all(good for good, is_pure in zip(said, pure, strict=True) if is_pure)
    mixed = [good for good, is_pure in zip(said, pure, strict=True) if not is_pure]
    assert {True, False} == set(mixed)


def test_keys_and_r_in_any_odd_encoding(programs):
    """Points of small order, and encodings that are not canonical, as key and as R, with an S that fits and without."""
    checks = []
    for odd in ENCODINGS:
        for secret in (0, 9):
            checks.append(made(secret, 11, b"key", key=odd))
            checks.append(made(secret, 0, b"r", r=odd))
            checks.append(made(secret, 0, b"both", key=odd, r=odd))
    assert {False} == set(verdicts(programs, checks))


def test_s_of_the_group_order_or_more(programs):
    """A signature has one form."""
    key, message, signature = made(5, 7, b"message")
    s = int.from_bytes(signature[32:], "little")
    checks = [
        (key, message, signature[:32] + (s + multiple * ORDER).to_bytes(32, "little"))
        for multiple in range(16)
        if s + multiple * ORDER < 2**256
    ]
    assert [True] + [False] * (len(checks) - 1) == verdicts(programs, checks)
    assert 10 < len(checks)


@st.composite
def nearly_good(draw):
    """Draw a signature, mostly with something changed in it."""
    signer = draw(st.sampled_from(SIGNERS))
    message = draw(st.binary(max_size=300))
    parts = [signer.public_key, message, signer.sign(message)]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, 2))
        if draw(st.booleans()) and parts[at]:
            place = draw(st.integers(0, len(parts[at]) - 1))
            parts[at] = (
                parts[at][:place] + bytes((parts[at][place] ^ 1 << draw(st.integers(0, 7)),)) + parts[at][place + 1 :]
            )
        elif at == 0:
            parts[0] = draw(st.one_of(st.sampled_from(ENCODINGS), st.binary(min_size=32, max_size=32)))
        elif at == 1:
            parts[1] = draw(st.binary(max_size=2_000))
        else:
            parts[2] = draw(st.binary(min_size=64, max_size=64))
    return tuple(parts)


@settings(deadline=None, max_examples=200)
@given(checks=st.lists(nearly_good(), max_size=20))
def test_whatever_is_asked(programs, checks):
    """Any batch, also an empty one, has the same answers from all."""
    verdicts(programs, checks)


def test_input_that_ends_early_ends_the_program():
    """A core that is killed in the middle of a batch leaves no process behind, and nothing is answered."""
    require("cometbft")
    batch = encode_batch([made(5, 7, b"message")])
    for end in (1, 4, 50, len(batch) - 1):
        done = subprocess.run([str(find_verifier())], input=batch[:end], capture_output=True, timeout=10, check=False)
        assert (1, b"") == (done.returncode, done.stdout)


def test_source_is_as_go_writes_it():
    """The program's source is in Go's own format."""
    root = subprocess.run([str(require("go")), "env", "GOROOT"], capture_output=True, text=True, timeout=60, check=True)
    gofmt = Path(root.stdout.strip()) / "bin" / "gofmt"
    done = subprocess.run(
        [str(gofmt), "-l", str(VERIFIER_SOURCE)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "" == done.stdout
