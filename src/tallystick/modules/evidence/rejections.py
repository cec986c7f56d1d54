"""Why the evidence module refuses, from 5001. Numbers keep their meaning for ever."""

from __future__ import annotations

from tallystick.machine import Rejection

BAD_ROOT = Rejection(5001, "bad_root", "{field} is not 32 bytes of lower-case hex")
UNKNOWN_EVIDENCE = Rejection(5002, "unknown_evidence", "there is no evidence {evidence}")
NOT_YOUR_EVIDENCE = Rejection(5003, "not_your_evidence", "{evidence} was not recorded by {organisation}")
ALREADY_SUPERSEDED = Rejection(5004, "already_superseded", "{evidence} is superseded by {by} already")
SAME_EVIDENCE = Rejection(5005, "same_evidence", "{evidence} cannot supersede itself")

REJECTIONS: tuple[Rejection, ...] = (
    BAD_ROOT,
    UNKNOWN_EVIDENCE,
    NOT_YOUR_EVIDENCE,
    ALREADY_SUPERSEDED,
    SAME_EVIDENCE,
)
