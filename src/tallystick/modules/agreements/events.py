"""Events that more than one operation of this module causes."""

from __future__ import annotations

from tallystick.machine import Event


class RequestSent(Event, kw_only=True, tag="request_sent"):
    """A consumer asked for a dataset."""

    request: str
    dataset: str
    provider: str
    consumer: str
    terms: str
    expires: int


class AgreementMade(Event, kw_only=True, tag="agreement_made"):
    """Both sides have signed the terms of that hash."""

    agreement: str
    request: str
    dataset: str
    provider: str
    consumer: str
    terms: str
