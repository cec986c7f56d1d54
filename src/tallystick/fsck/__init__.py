"""The read-only checker: replays a ledger from its genesis, recomputes everything, and names the first damaged place.

Rules of this room:

- It only reads what it checks; what replay needs is kept in a temporary folder of its own.
- It believes nothing that a copy says about itself: state, history, outcomes and trust all come from replay.
- It finds, it does not raise: whatever bytes stand where a ledger should be, the answer is a report.
- Blocks are checked in order, and what comes after a damaged one is not looked at; all other places are.
"""

from tallystick.fsck.check import check_home
from tallystick.fsck.membership import ORGANISATIONS, Membership, MembershipReader
from tallystick.fsck.report import Finding, Report

__all__ = ["ORGANISATIONS", "Finding", "Membership", "MembershipReader", "Report", "check_home"]
