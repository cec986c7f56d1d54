"""The alarm: whether this node still trusts those who order, and what is kept to prove that it should not.

Raised where as many of those who order as a zone cannot bear are proved to have told two histories, and where a block
that they signed breaks the rules. This node then neither follows nor cosigns, and signs no more where it orders itself.
Anything less is a suspicion: it is told, and the node goes on. A proof is kept before anybody is told of it, so that it
raises the alarm again at the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from tallystick.errors import IntegrityError, NodeError
from tallystick.ledger.trustkeeper import TrustKeeper
from tallystick.ledger.witness import ForkError
from tallystick.node.core_copy import Copy, Tell
from tallystick.node.seen_forks import prove_seen_fork
from tallystick.proofs.forks import ForkFinding, verify_fork_proof

log = structlog.get_logger("core")
# Fork proofs that do not prove it of the orderer: a member could make any number of them.
_MOST_SUSPICIONS = 16


def not_trusted(message: str) -> IntegrityError:
    """Return the error of an alarm."""
    return IntegrityError(
        message, remedy="This node does not trust the orderer any more. Tell the members: `tally ledger compare`."
    )


class Alarm:
    """The alarm and the suspicions of one core.

    Attributes:
        raised: why this node does not trust those who order, or None.
        suspicion: the newest, or None.
    """

    def __init__(self, copy: Copy, trust: TrustKeeper, *, hold: Callable[[IntegrityError], None], tell: Tell) -> None:
        """Judge the proofs that are kept.

        Args:
            copy: this node's.
            trust: the zone's trust file.
            hold: lets this node's own engine, where it has one, take and sign nothing any more.
            tell: tells news.
        """
        self._copy = copy
        self._store = copy.store
        self._trust = trust
        self._hold = hold
        self._tell = tell
        self.raised: str | None = None
        self.suspicion: str | None = None
        self._convicted: set[str] = set()
        self._contradicting: set[str] = set()
        for proof in self._store.forks():
            self._judge(verify_fork_proof(proof, trust.derived))

    @property
    def distrust(self) -> IntegrityError | None:
        """What is answered to who asks for trust in those who order; None while there is no alarm."""
        return None if self.raised is None else not_trusted(self.raised)

    def sound(self, error: IntegrityError) -> None:
        """Stop trusting the orderer, and say so to everybody who is connected."""
        self.raised = error.message
        self._hold(error)
        log.error("alarm", message=error.message, remedy=error.remedy)
        self._tell("alarm", {"message": error.message, "remedy": error.remedy})

    async def take(self, proof: bytes) -> bool:
        """Take a fork proof that another node found; return whether it is good and new."""
        finding = verify_fork_proof(proof, self._trust.derived)
        kept = self._store.forks()
        if proof in kept or (finding.culprit not in self._orderers() and len(kept) >= _MOST_SUSPICIONS):
            return False
        self._store.add_fork(proof)
        self._judge(finding)
        return True

    def keep(self, error: ForkError) -> None:
        """Keep the proof of a fork that this node found itself, then say so."""
        if error.culprit in self._orderers() or len(self._store.forks()) < _MOST_SUSPICIONS:
            self._store.add_fork(error.proof)
        self._judge(verify_fork_proof(error.proof, self._trust.derived))

    async def keep_seen(self, header: bytes, signatures: bytes, transactions: list[bytes]) -> None:
        """Keep the proof that the orderer included what its author had seen differently."""
        copy = self._copy
        try:
            proof = prove_seen_fork(copy.state, copy.store, copy.tiles, header, signatures, transactions)
            if proof is not None:
                await self.take(proof)
        except NodeError as error:
            log.error("fork_not_proved", message=error.message, remedy=error.remedy)

    def _judge(self, finding: ForkFinding) -> None:
        """Raise the alarm where more of those who order are proved to have told two histories than a zone can bear.

        One orderer alone is enough; of several that order together, a third.
        """
        if finding.culprit is not None and finding.culprit in self._orderers():
            self._convicted.add(finding.culprit)
            if 3 * len(self._convicted) >= len(self._trust.derived.latest.validators):
                self.sound(not_trusted(finding.text))
                return
        self._suspect(finding.text, finding.involved)

    def _suspect(self, message: str, involved: Sequence[str]) -> None:
        """Say what is not proved of enough of those who order to stop; this node goes on."""
        self.suspicion = message
        log.warning("suspicion", message=message)
        self._tell("suspicion", {"message": message, "involved": list(involved)})

    def tell_contradictions(self, contradictions: Mapping[str, int]) -> None:
        """Say who signs other headers than this copy's, once of each.

        Args:
            contradictions: organisation -> first height of which it did.
        """
        for organisation, height in contradictions.items():
            if organisation not in self._contradicting:
                self._contradicting.add(organisation)
                self._suspect(
                    f"{organisation} signs another header of block {height} than this copy has: one of the two has come "
                    "to another result",
                    (organisation,),
                )

    def _orderers(self) -> set[str]:
        return {name for version in self._trust.derived.versions for name in version.validators}
