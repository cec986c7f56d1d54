"""Hypothesis strategies for blocks of the toy rulebook, with everything in them that a stranger may send."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from tallystick.machine import Message
from tests.support.toy import PutNote, ReplaceNote, Toy

KEYS = ("a", "b", "c", "key \u00e9", "\U0001f4dd")


@dataclass(frozen=True)
class Plan:
    """A transaction that is to be signed, or what comes instead of one.

    Attributes:
        organisation: who signs.
        operations: messages or bytes.
        atomic: one rejected operation rejects all.
        fault: "" for none, else what is wrong with it.
        nonce: makes it another one.
    """

    organisation: str
    operations: tuple[Message | bytes, ...]
    atomic: bool
    fault: str
    nonce: int

    def sign(self, toy: Toy, time: int) -> bytes:
        """Return its bytes, for a block of this time."""
        expires = {"expired": time - 1, "too late": time + 3_600_001}.get(self.fault, time + 5_000)
        claim = "clinic" if self.fault == "claim" else None
        raw = toy.sign(
            self.organisation,
            *self.operations,
            atomic=self.atomic,
            nonce=f"{self.nonce:032x}",
            expires=expires,
            claim=claim,
        )
        if self.fault == "garbage":
            return raw[:-1]
        if self.fault == "unsigned":
            at = raw.index(b"\x58\x40") + 2
            return raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
        return raw


OPERATIONS = st.one_of(
    st.builds(PutNote, key=st.sampled_from(KEYS), text=st.sampled_from(["", "x", "t\u00e4xt"])),
    st.builds(PutNote, key=st.text(min_size=1, max_size=3), text=st.just("y")),
    st.builds(ReplaceNote, key=st.sampled_from(KEYS), text=st.sampled_from(["", "z"])),
    st.sampled_from([b"", b"{}", b'{"key":"a","text":"x","type":"put_note","u":1}', b"\xff"]),
)
GOOD_PLANS = st.builds(
    Plan,
    st.sampled_from(["bank", "clinic"]),
    st.lists(OPERATIONS, min_size=1, max_size=4).map(tuple),
    st.booleans(),
    st.just(""),
    st.integers(0, 2**64),
)
PLANS = GOOD_PLANS | st.builds(
    Plan,
    st.sampled_from(["bank", "clinic"]),
    st.lists(OPERATIONS, min_size=1, max_size=2).map(tuple),
    st.booleans(),
    st.sampled_from(["expired", "too late", "claim", "garbage", "unsigned"]),
    st.integers(0, 3),
)
STEPS = st.sampled_from([0, 1, 1_000, 4_999, 5_001, 60_000])
"""Milliseconds between two blocks; some make accepted ids expire."""

HISTORIES = st.lists(st.tuples(STEPS, st.lists(PLANS, max_size=4)), max_size=7)
