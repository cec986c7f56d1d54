"""Agreements: a consumer asks for a dataset, terms are negotiated, and what both sides signed is on record.

It reads the catalogue through `ports`. Its specification is the README beside this file.
"""

from tallystick.machine import Module
from tallystick.modules.agreements.events import AgreementMade, RequestSent
from tallystick.modules.agreements.invariants import INVARIANTS
from tallystick.modules.agreements.ops import (
    approve_request,
    cancel_request,
    counter_request,
    reject_request,
    send_request,
    terminate_agreement,
)
from tallystick.modules.agreements.records import AGREEMENTS, PROPOSED_TERMS, REQUESTS
from tallystick.modules.agreements.rejections import REJECTIONS

MODULE = Module(
    name="agreements",
    collections=(REQUESTS, AGREEMENTS, PROPOSED_TERMS),
    operations=(
        send_request.OPERATION,
        counter_request.OPERATION,
        approve_request.OPERATION,
        reject_request.OPERATION,
        cancel_request.OPERATION,
        terminate_agreement.OPERATION,
    ),
    rejections=REJECTIONS,
    events=(
        RequestSent,
        AgreementMade,
        counter_request.RequestCountered,
        approve_request.RequestApproved,
        reject_request.RequestRejected,
        cancel_request.RequestCancelled,
        terminate_agreement.AgreementTerminated,
    ),
    invariants=INVARIANTS,
)

__all__ = ["MODULE"]
