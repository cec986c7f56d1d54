"""The operations on requests and agreements, one a file."""

from tallystick.modules.agreements.events import AgreementMade, RequestSent
from tallystick.modules.agreements.ops.approve_request import ApproveRequest, RequestApproved
from tallystick.modules.agreements.ops.cancel_request import CancelRequest, RequestCancelled
from tallystick.modules.agreements.ops.counter_request import CounterRequest, RequestCountered
from tallystick.modules.agreements.ops.reject_request import RejectRequest, RequestRejected
from tallystick.modules.agreements.ops.send_request import SendRequest
from tallystick.modules.agreements.ops.terminate_agreement import AgreementTerminated, TerminateAgreement

__all__ = [
    "AgreementMade",
    "AgreementTerminated",
    "ApproveRequest",
    "CancelRequest",
    "CounterRequest",
    "RejectRequest",
    "RequestApproved",
    "RequestCancelled",
    "RequestCountered",
    "RequestRejected",
    "RequestSent",
    "SendRequest",
    "TerminateAgreement",
]
