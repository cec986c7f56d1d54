"""Cases of the catalogue's vectors."""

from __future__ import annotations

from collections.abc import Callable

from tallystick.modules.catalogue.ops import ReviseDataset, WithdrawDataset
from tests.support.market import DATASET, content, offer, offer_message, terms_on
from tests.support.zones import HOSPITAL, UNIVERSITY, Simulator
from tests.vectors.generate_modules import Case, Step, step

Message = ReviseDataset | WithdrawDataset


def zone() -> Simulator:
    """Return a zone of two organisations."""
    return Simulator((HOSPITAL, UNIVERSITY))


def offered(organisation: str, message: Message) -> Callable[[Simulator], Step]:
    """Return the scenario of an operation on the hospital's dataset."""

    def scenario(simulator: Simulator) -> Step:
        offer(simulator)
        return step(organisation, message)

    return scenario


def _twice(simulator: Simulator) -> Step:
    offer(simulator)
    return step(HOSPITAL, offer_message())


def _withdrawn_twice(simulator: Simulator) -> Step:
    offer(simulator)
    simulator.run(HOSPITAL, WithdrawDataset(name=DATASET))
    return step(HOSPITAL, WithdrawDataset(name=DATASET))


CASES = [
    Case(
        "offer_dataset",
        "accepted",
        "A dataset is offered on the default terms.",
        lambda _: step(HOSPITAL, offer_message()),
        zone,
    ),
    Case(
        "offer_dataset",
        "accepted-automatic",
        "A dataset is offered to the whole zone, without approval.",
        lambda _: step(HOSPITAL, offer_message(terms="open-within-zone")),
        zone,
    ),
    Case(
        "offer_dataset",
        "not-owner",
        "An organisation offers a dataset under another's name.",
        lambda _: step(UNIVERSITY, offer_message()),
        zone,
    ),
    Case(
        "offer_dataset",
        "bad-terms",
        "The policy is about another dataset.",
        lambda _: step(HOSPITAL, offer_message(terms=terms_on(f"{HOSPITAL}/other"))),
        zone,
    ),
    Case("offer_dataset", "dataset-exists", "The name is taken.", _twice, zone),
    Case(
        "revise_dataset",
        "accepted-version",
        "A second version is published.",
        offered(HOSPITAL, ReviseDataset(name=DATASET, version=content("two", size=0, chunks=1))),
        zone,
    ),
    Case(
        "revise_dataset",
        "accepted-terms-and-texts",
        "The dataset gets other terms and another title, and loses its licence.",
        offered(
            HOSPITAL,
            ReviseDataset(name=DATASET, title="Discharges", licence="", terms=terms_on(name="research-90d")),
        ),
        zone,
    ),
    Case(
        "revise_dataset",
        "nothing-to-revise",
        "The revision changes nothing.",
        offered(HOSPITAL, ReviseDataset(name=DATASET, version=content(), terms=terms_on())),
        zone,
    ),
    Case(
        "withdraw_dataset",
        "accepted",
        "A dataset is withdrawn.",
        offered(HOSPITAL, WithdrawDataset(name=DATASET)),
        zone,
    ),
    Case("withdraw_dataset", "dataset-withdrawn", "A dataset is withdrawn again.", _withdrawn_twice, zone),
    Case(
        "withdraw_dataset",
        "not-owner",
        "An organisation withdraws another's dataset.",
        offered(UNIVERSITY, WithdrawDataset(name=DATASET)),
        zone,
    ),
    Case(
        "offer_dataset",
        "bad-name",
        "The name has a capital letter.",
        lambda _: step(HOSPITAL, offer_message(f"{HOSPITAL}/Discharges")),
        zone,
    ),
    Case(
        "offer_dataset",
        "bad-text",
        "The title ends in a space.",
        lambda _: step(HOSPITAL, offer_message(title="Discharges ")),
        zone,
    ),
    Case(
        "offer_dataset",
        "bad-version",
        "Two chunks cannot hold 2.5 MiB.",
        lambda _: step(HOSPITAL, offer_message(version=content(chunks=2))),
        zone,
    ),
    Case(
        "revise_dataset",
        "unknown-dataset",
        "There is no such dataset.",
        lambda _: step(HOSPITAL, ReviseDataset(name=DATASET, title="Discharges")),
        zone,
    ),
]
