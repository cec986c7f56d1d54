"""What is always true of deliveries; run by property tests and by `tally ledger check`."""

from __future__ import annotations

from tallystick.machine import State
from tallystick.modules.deliveries.ports import AGREEMENTS, VERSIONS, Agreement
from tallystick.modules.deliveries.records import DELIVERIES, Delivery


def deliveries_are_under_agreements(state: State) -> list[str]:
    """Law 3: every delivery is between the parties of an agreement that was in force when it was sent."""
    broken: list[str] = []
    for key, delivery in state.scan(DELIVERIES):
        agreement = AGREEMENTS.find_agreement(state, delivery.agreement)
        faults = ["there is no such agreement"] if agreement is None else _agreement_faults(delivery, agreement)
        broken += [f"deliveries/{key}: {fault}" for fault in faults]
    return broken


def deliveries_are_as_offered(state: State) -> list[str]:
    """Every delivery is of a version as it was offered, published before it was sent."""
    broken: list[str] = []
    for key, delivery in state.scan(DELIVERIES):
        version = VERSIONS.find_version(state, delivery.dataset, delivery.version)
        if version is None:
            broken.append(f"deliveries/{key}: there is no such version")
        elif (version.fingerprint, version.size, version.chunks) != (
            delivery.fingerprint,
            delivery.bytes,
            delivery.chunks,
        ):
            broken.append(f"deliveries/{key}: it is not of the version as offered")
        elif version.published_at > delivery.sent_at:
            broken.append(f"deliveries/{key}: it was sent before its version was published")
    return broken


def deliveries_are_in_legal_states(state: State) -> list[str]:
    """What is recorded of a delivery fits its state."""
    broken: list[str] = []
    for key, delivery in state.scan(DELIVERIES):
        broken += [f"deliveries/{key}: {fault}" for fault in _state_faults(delivery)]
    return broken


def _agreement_faults(delivery: Delivery, agreement: Agreement) -> list[str]:
    faults: list[str] = []
    ours = (delivery.dataset, delivery.provider, delivery.consumer)
    if ours != (agreement.dataset, agreement.provider, agreement.consumer):
        faults.append("it is not between the parties of its agreement")
    if agreement.version not in (None, delivery.version):
        faults.append("another version was agreed")
    sent = delivery.sent_at
    if sent < agreement.begins or (agreement.ends is not None and sent >= agreement.ends):
        faults.append("it was sent outside the time of its agreement")
    # Blocks share a ms, so a delivery may stand before the termination in the same one.
    if agreement.terminated_at is not None and sent > agreement.terminated_at:
        faults.append("it was sent after its agreement was terminated")
    return faults


def _state_faults(delivery: Delivery) -> list[str]:
    faults: list[str] = []
    arrived = delivery.state in ("received", "mismatched")
    if arrived != (delivery.received_at is not None) or arrived != bool(delivery.root):
        faults.append("its state and what was received disagree")
    if arrived and (delivery.state == "received") != (delivery.root == delivery.fingerprint):
        faults.append("its state is not what its root says")
    failed = delivery.state == "failed"
    if failed != (delivery.failed_at is not None):
        faults.append("its state and its failure disagree")
    if failed != (delivery.failed_by in (delivery.provider, delivery.consumer)):
        faults.append("it was not given up by a party")
    if bool(delivery.dispute) != (delivery.disputed_at is not None):
        faults.append("its dispute has no time")
    answered = delivery.dispute == "answered"
    if answered != (delivery.answered_at is not None) or answered != bool(delivery.answer):
        faults.append("its dispute and its answer disagree")
    times = [t for t in (delivery.sent_at, delivery.disputed_at, delivery.answered_at) if t is not None]
    ends = [t for t in (delivery.received_at, delivery.failed_at) if t is not None]
    if times != sorted(times) or any(t < delivery.sent_at for t in ends):
        faults.append("its times are not in order")
    return faults


INVARIANTS = (deliveries_are_under_agreements, deliveries_are_as_offered, deliveries_are_in_legal_states)
