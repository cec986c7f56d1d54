"""What this module keeps: requests, the agreements that come of them, and terms proposed in between.

Hashes, transaction ids and commitments are lower-case hex, times are ms since the epoch.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tallystick.machine import Collection, Record
from tallystick.modules.agreements.ports import Policy

# The states of a contract negotiation: Dataspace Protocol 2025-1, section "Contract Negotiation Protocol".
RequestState = Literal["REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED", "TERMINATED"]
OPEN_STATES = ("REQUESTED", "OFFERED")
Decision = Literal["", "approved", "cancelled", "rejected"]
StepAction = Literal["approved", "cancelled", "countered", "rejected", "sent"]
AgreementState = Literal["in_force", "terminated"]

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
Name = Annotated[str, msgspec.Meta(max_length=120)]
Identifier = Annotated[str, msgspec.Meta(max_length=60)]
Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]


class Step(Record, kw_only=True):
    """One step of a negotiation.

    Attributes:
        action: what was done.
        by: the organisation.
        at: block time.
        terms: hash of the terms put on the table or approved, or "".
        private: commitment to what was said with it to the other party alone, or "".
    """

    action: StepAction
    by: str
    at: Count
    terms: str = ""
    private: str = ""


class Request(Record, kw_only=True):
    """A consumer's request for a dataset, and the negotiation of its terms.

    Attributes:
        dataset: its name.
        version: number of the version wanted, or None for the latest at each delivery.
        provider: the owner.
        consumer: who asks.
        state: of the negotiation, as last recorded; see `queries.request_state` for the deadline.
        decision: approved, rejected or cancelled, once it is.
        decided_by: who decided.
        terms: hash of the terms on the table.
        proposed_by: who put them there, and so waits for the other.
        signed_transaction: id of the transaction in which that side signed them.
        signed_index: of the operation in it.
        private: commitment to the party-only fields of the request, such as its purpose.
        requested_at: when it was sent.
        changed_at: when the last step was taken.
        expires: until when it may be decided.
        agreement: id of the agreement that came of it, or "".
        steps: all steps, oldest first.
    """

    dataset: str
    version: Positive | None = None
    provider: str
    consumer: str
    state: RequestState
    decision: Decision = ""
    decided_by: str = ""
    terms: str
    proposed_by: str
    signed_transaction: str
    signed_index: Count
    private: str
    requested_at: Count
    changed_at: Count
    expires: Count
    agreement: str = ""
    steps: tuple[Step, ...]


class Agreement(Record, kw_only=True):
    """What a provider and a consumer both signed.

    Attributes:
        request: id of the request that it came of.
        dataset: its name.
        version: number of the version agreed on, or None for the latest at each delivery.
        provider: the owner of the dataset.
        consumer: who may have it.
        terms: hash of the policy that both signed.
        provider_transaction: id of the transaction in which the provider signed the terms.
        provider_index: of the operation in it.
        consumer_transaction: the same for the consumer.
        consumer_index: of the operation in it.
        agreed_at: when the second signature was recorded.
        begins: from when data may be delivered.
        ends: from when no more, or None where only termination ends it.
        state: as recorded; see `queries.agreement_state` for begin and end.
        terminated_at: when it was terminated.
        terminated_by: by whom.
        reason: commitment to the reason, or "".
    """

    request: str
    dataset: str
    version: Positive | None = None
    provider: str
    consumer: str
    terms: str
    provider_transaction: str
    provider_index: Count
    consumer_transaction: str
    consumer_index: Count
    agreed_at: Count
    begins: Count
    ends: Count | None = None
    state: AgreementState
    terminated_at: Count | None = None
    terminated_by: str = ""
    reason: str = ""


REQUESTS = Collection("requests", Request, "requests for datasets and how far they got, by id")
AGREEMENTS = Collection("agreements", Agreement, "what providers and consumers both signed, by id")
PROPOSED_TERMS = Collection("proposed_terms", Policy, "ODRL policies put forward in negotiations, by their hash")
