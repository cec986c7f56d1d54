"""Laws 3, 4 and 5 over any course of offers, negotiations, agreements and deliveries.

Anyone tries anything at any time. A model of a few lines says whether it must be accepted; what is refused must leave
no trace; nothing recorded may vanish; and the invariants of all modules hold after each step.
"""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.codec import decode_json
from tallystick.errors import RejectedError
from tallystick.modules.agreements import queries
from tallystick.modules.agreements.ops import (
    ApproveRequest,
    CancelRequest,
    CounterRequest,
    RejectRequest,
    TerminateAgreement,
)
from tallystick.modules.agreements.records import AGREEMENTS, REQUESTS
from tallystick.modules.catalogue.ops import ReviseDataset, WithdrawDataset
from tallystick.modules.catalogue.records import DATASETS
from tallystick.modules.catalogue.terms import DAY_MS, terms_hash
from tallystick.modules.deliveries.ops import (
    AnswerDispute,
    DisputeDelivery,
    RecordDeliveryFailed,
    RecordDeliveryReceived,
)
from tests.support.market import content, digest, offer, request_message, sending, terms_on, use_under
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY, Simulator

PARTIES = (HOSPITAL, UNIVERSITY, BANK)
SETS = (f"{HOSPITAL}/discharges-2024", f"{UNIVERSITY}/survey")
# Collections whose records are never touched again once written.
FIXED = ("dataset_versions", "proposed_terms", "terms")
DAYS = {"P1D": 1, "P5D": 5, "P20D": 20}

actors = st.sampled_from(PARTIES)
# Who acts: mostly the party that may (None), else anyone.
tries = st.sampled_from((None, None, None, *PARTIES))
datasets = st.sampled_from(SETS)
picks = st.integers(min_value=0, max_value=1_000)
lengths = st.sampled_from(sorted(DAYS))


@dataclass
class Talk:
    """The model of a negotiation."""

    provider: str
    consumer: str
    dataset: str
    terms: str
    days: int | None
    proposer: str
    expires: int
    over: bool = False


@dataclass
class Deal:
    """The model of an agreement."""

    provider: str
    consumer: str
    dataset: str
    ends: int | None
    terminated: bool = False


@dataclass
class Parcel:
    """The model of a delivery."""

    provider: str
    consumer: str
    closed: bool = False
    dispute: str = ""


class Negotiations(RuleBasedStateMachine):
    """A zone of three organisations, two of which offer a dataset."""

    def __init__(self):
        super().__init__()
        self.zone = Simulator(PARTIES)
        self.talks: dict[str, Talk] = {}
        self.deals: dict[str, Deal] = {}
        self.parcels: dict[str, Parcel] = {}
        self.offered: dict[str, tuple[str, int | None, bool]] = {}
        self.signers: dict[str, str] = {}
        self.withdrawn: set[str] = set()
        self.versions = dict.fromkeys(SETS, 1)
        self.past: dict[tuple[str, str], bytes] = {}

    @initialize()
    def begin(self):
        """Offer one dataset that needs approval and one that does not, and deliver that one once."""
        for name, preset, days, automatic in zip(
            SETS, ("default", "open-within-zone"), (90, None), (False, True), strict=True
        ):
            self.offered[name] = (offer(self.zone, name, preset), days, automatic)
            self.signers[self.zone.last_context.transaction.hex()] = name.partition("/")[0]
        self.send(BANK, SETS[1], None, None)
        self.deliver(None, 0, True)

    def attempt(self, organisation, message, may):
        """Run an operation and hold its acceptance against the model.

        Returns:
            its events, or None where it was refused as it should be.
        """
        before = dict(self.zone.reader.records)
        try:
            events = self.zone.run(organisation, message)
        except RejectedError:
            assert not may
            # Law 5.
            assert before == self.zone.reader.records
            return None
        assert may
        self.signers[self.zone.last_context.transaction.hex()] = organisation
        return events

    def open(self, talk):
        """Tell whether the model's negotiation is open at the next block."""
        return not talk.over and self.zone.time + 1_000 <= talk.expires

    def waits_for(self, talk):
        """Return whose turn it is in the model."""
        return talk.provider if talk.proposer == talk.consumer else talk.consumer

    def agreed(self, agreement, talk):
        """Put an agreement into the model."""
        ends = None if talk.days is None else self.zone.time + talk.days * DAY_MS
        self.deals[agreement] = Deal(talk.provider, talk.consumer, talk.dataset, ends)
        talk.over = True

    @rule(actor=actors, dataset=datasets, length=st.none() | lengths, patience=st.sampled_from((None, 1, 3)))
    def send(self, actor, dataset, length, patience):
        """Ask for a dataset on its terms, or on others."""
        owner = dataset.partition("/")[0]
        may = dataset not in self.withdrawn and actor != owner
        expires = self.zone.time + patience * DAY_MS if patience else None
        terms, days, automatic = self.offered[dataset]
        if length is None:
            message = request_message(self.zone, dataset, expires=expires)
        else:
            proposal = use_under(("elapsedTime", "lteq", length), dataset=dataset)
            message = request_message(self.zone, dataset, proposal=proposal, expires=expires)
            automatic = automatic and terms_hash(proposal) == terms
            terms, days = terms_hash(proposal), DAYS[length]
        events = self.attempt(actor, message, may)
        if events:
            deadline = expires or self.zone.time + 30 * DAY_MS
            talk = self.talks[events[0].request] = Talk(owner, actor, dataset, terms, days, actor, deadline)
            assert automatic == (len(events) == 2)
            if automatic:
                self.agreed(events[1].agreement, talk)

    def pick(self, things, number, live):
        """Return one of the model's things; mostly one with which something can still be done."""
        keys = sorted(things)
        if number % 3:
            keys = [key for key in keys if live(things[key])] or keys
        key = keys[number % len(keys)]
        return key, things[key]

    @precondition(lambda self: self.talks)
    @rule(actor=tries, number=picks, length=lengths)
    def counter(self, actor, number, length):
        """Put other terms on the table."""
        key, talk = self.pick(self.talks, number, self.open)
        actor = actor or self.waits_for(talk)
        proposal = use_under(("elapsedTime", "lteq", length), dataset=talk.dataset)
        terms = terms_hash(proposal)
        may = (
            self.open(talk)
            and actor == self.waits_for(talk)
            and talk.dataset not in self.withdrawn
            and terms != talk.terms
            and len(self.zone.get(REQUESTS, key).steps) < 20
        )
        if self.attempt(actor, CounterRequest(request=key, proposal=proposal), may):
            talk.terms, talk.days, talk.proposer = terms, DAYS[length], actor

    @precondition(lambda self: self.talks)
    @rule(actor=tries, number=picks, stale=st.sampled_from((False, False, True)))
    def approve(self, actor, number, stale):
        """Approve the terms on the table, or others."""
        key, talk = self.pick(self.talks, number, self.open)
        actor = actor or self.waits_for(talk)
        terms = self.offered[talk.dataset][0] if stale else talk.terms
        may = (
            self.open(talk)
            and actor == self.waits_for(talk)
            and talk.dataset not in self.withdrawn
            and terms == talk.terms
        )
        events = self.attempt(actor, ApproveRequest(request=key, terms=terms), may)
        if events:
            self.agreed(events[1].agreement, talk)

    @precondition(lambda self: self.talks)
    @rule(actor=actors, number=picks)
    def reject(self, actor, number):
        """Say no."""
        key, talk = self.pick(self.talks, number, self.open)
        may = self.open(talk) and actor in (talk.provider, self.waits_for(talk))
        if self.attempt(actor, RejectRequest(request=key), may):
            talk.over = True

    @precondition(lambda self: self.talks)
    @rule(actor=tries, number=picks)
    def cancel(self, actor, number):
        """Take a request back."""
        key, talk = self.pick(self.talks, number, self.open)
        actor = actor or talk.consumer
        if self.attempt(actor, CancelRequest(request=key), self.open(talk) and actor == talk.consumer):
            talk.over = True

    def in_force(self, deal):
        """Tell whether the model's agreement is in force at the next block."""
        return not deal.terminated and (deal.ends is None or self.zone.time + 1_000 < deal.ends)

    @precondition(lambda self: self.deals)
    @rule(actor=actors, number=picks)
    def terminate(self, actor, number):
        """End an agreement."""
        key, deal = self.pick(self.deals, number, self.in_force)
        may = self.in_force(deal) and actor in (deal.provider, deal.consumer)
        if self.attempt(actor, TerminateAgreement(agreement=key), may):
            deal.terminated = True

    @precondition(lambda self: self.deals)
    @rule(actor=tries, number=picks, honest=st.sampled_from((True, True, False)))
    def deliver(self, actor, number, honest):
        """Send a version under an agreement (law 3: in force, by its provider, as offered)."""
        key, deal = self.pick(self.deals, number, self.in_force)
        actor = actor or deal.provider
        latest = self.versions[deal.dataset]
        changes = {} if honest else {"fingerprint": digest("other")}
        label = "one" if latest == 1 else str(latest)
        events = self.attempt(
            actor,
            sending(key, latest, label, **changes),
            honest and self.in_force(deal) and actor == deal.provider,
        )
        if events:
            self.parcels[events[0].delivery] = Parcel(deal.provider, deal.consumer)

    @precondition(lambda self: self.parcels)
    @rule(actor=tries, number=picks, how=st.sampled_from(("failed", "mismatched", "received")))
    def close(self, actor, number, how):
        """Record what became of a delivery."""
        key, parcel = self.pick(self.parcels, number, lambda parcel: not parcel.closed)
        actor = actor or parcel.consumer
        if how == "failed":
            message = RecordDeliveryFailed(delivery=key)
            may = actor in (parcel.provider, parcel.consumer)
        else:
            root = content().fingerprint if how == "received" else "0" * 64
            message = RecordDeliveryReceived(delivery=key, root=root)
            may = actor == parcel.consumer
        if self.attempt(actor, message, may and not parcel.closed):
            parcel.closed = True

    @precondition(lambda self: self.parcels)
    @rule(actor=actors, number=picks)
    def dispute(self, actor, number):
        """Dispute a delivery."""
        key, parcel = self.pick(self.parcels, number, lambda parcel: not parcel.dispute)
        if self.attempt(actor, DisputeDelivery(delivery=key), actor == parcel.consumer and not parcel.dispute):
            parcel.dispute = "open"

    @precondition(lambda self: self.parcels)
    @rule(actor=tries, number=picks)
    def answer(self, actor, number):
        """Answer a dispute."""
        key, parcel = self.pick(self.parcels, number, lambda parcel: parcel.dispute == "open")
        actor = actor or parcel.provider
        message = AnswerDispute(delivery=key, private=digest("answer"))
        if self.attempt(actor, message, actor == parcel.provider and parcel.dispute == "open"):
            parcel.dispute = "answered"

    @rule(actor=actors, dataset=datasets, length=st.none() | lengths)
    def revise(self, actor, dataset, length):
        """Publish a new version, or offer a dataset on other terms."""
        may = actor == dataset.partition("/")[0] and dataset not in self.withdrawn
        if length is None:
            number = self.versions[dataset] + 1
            if self.attempt(actor, ReviseDataset(name=dataset, version=content(str(number))), may):
                self.versions[dataset] = number
            return
        terms = use_under(("elapsedTime", "eq", length), dataset=dataset)
        may = may and terms_hash(terms) != self.offered[dataset][0]
        if self.attempt(actor, ReviseDataset(name=dataset, terms=terms), may):
            self.offered[dataset] = (terms_hash(terms), DAYS[length], False)

    @rule(actor=actors, dataset=datasets, sure=st.integers(min_value=0, max_value=30))
    def withdraw(self, actor, dataset, sure):
        """Withdraw a dataset, seldom."""
        if sure != 17:
            return
        may = actor == dataset.partition("/")[0] and dataset not in self.withdrawn
        if self.attempt(actor, WithdrawDataset(name=dataset), may):
            self.withdrawn.add(dataset)

    @rule(days=st.sampled_from((1, 4, 31)))
    def wait(self, days):
        """Let time pass."""
        self.zone.time += days * DAY_MS

    @invariant()
    def invariants_hold(self):
        """The modules' own invariants, law 3 among them."""
        assert [] == self.zone.broken()

    @invariant()
    def in_force_is_as_modelled(self):
        """Deadlines and terminations are judged as the model judges them."""
        now = self.zone.time + 1_000
        state = self.zone.state
        for key, deal in self.deals.items():
            assert self.in_force(deal) == queries.in_force(state, key, now)

    @invariant()
    def both_sides_signed(self):
        """Law 3: the two transactions that an agreement names were signed by its provider and its consumer."""
        for key, deal in self.deals.items():
            agreement = self.zone.get(AGREEMENTS, key)
            signed = (agreement.provider_transaction, agreement.consumer_transaction)
            assert (deal.provider, deal.consumer) == tuple(self.signers[transaction] for transaction in signed)

    @invariant()
    def nothing_recorded_is_lost(self):
        """Law 4: records stay; fixed ones as they were, and the steps of a request only grow."""
        records = self.zone.reader.records
        assert self.past.keys() <= records.keys()
        for (collection, key), value in self.past.items():
            now = records[(collection, key)]
            if collection in FIXED:
                assert value == now
            elif collection == "requests" and value != now:
                steps, longer = decode_json(value)["steps"], decode_json(now)["steps"]
                assert steps == longer[: len(steps)] and len(steps) < len(longer)
        self.past = dict(records)

    @invariant()
    def offers_are_as_modelled(self):
        """The catalogue shows the current terms and version."""
        for name, (terms, _, _) in self.offered.items():
            dataset = self.zone.get(DATASETS, name)
            assert (terms, self.versions[name]) == (dataset.terms, dataset.version)


TestNegotiations = Negotiations.TestCase
TestNegotiations.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


def test_default_terms_are_not_those_of_a_proposal():
    """The model relies on the presets and its own proposals being different terms."""
    proposals = [terms_hash(use_under(("elapsedTime", "lteq", length))) for length in DAYS]
    assert terms_hash(terms_on()) not in proposals
