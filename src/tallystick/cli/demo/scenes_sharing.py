"""Sharing: tables are offered, found, asked for, decided on and delivered; an agreement is ended."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from tallystick.cli.demo.player import Player
from tallystick.cli.demo.stage import DATA, Stage, expect, refusal, wait_for
from tallystick.cli.demo.telling import Scene, Teller
from tallystick.errors import NodeError
from tallystick.views import DeliveryView, PrivateValues, RequestView

DIAGNOSES = "city-hospital/diagnoses"
WEATHER = "city-agency/seattle-weather"
_RESEARCH = "Find which measurements of a cell tell a malignant tumour apart."
_LOANS = "Price loans by the risk of illness."
_WHY_NOT = "Patients agreed to research, not to the pricing of loans."
_ENDED = "The ethics board's approval of the study has run out."
_SHOWN_ROWS = 3


@dataclass(frozen=True)
class Asked:
    """What was asked for.

    Attributes:
        by_university: id of its request for the diagnoses.
        by_bank: id of its request for the same.
    """

    by_university: str
    by_bank: str


def offer_tables(stage: Stage, teller: Teller, scene: Scene) -> None:
    """The hospital and the agency offer a table each, under different terms."""
    diagnoses = stage.hospital.zone.offer(
        _hold(stage, stage.hospital, "breast-cancer-wisconsin", "diagnoses.csv"),
        name="diagnoses",
        title="Breast cancer diagnoses, Wisconsin",
        field="health",
        description="Measurements of cell nuclei in 569 fine needle aspirates, with the diagnosis.",
        keywords=("oncology", "cytology"),
        licence="CC BY 4.0",
        source_name="UCI Machine Learning Repository, doi:10.24432/C5DW2B (Wolberg, Street, Mangasarian)",
        terms="research-90d",
    )
    teller.done(f"{stage.hospital.name} offers {diagnoses.name}: {diagnoses.title}, {diagnoses.latest.size:,} bytes.")
    teller.note(f"Its terms: {' '.join(diagnoses.terms_summary)}")
    weather = stage.agency.zone.offer(
        _hold(stage, stage.agency, "seattle-weather", "weather.csv"),
        name="seattle-weather",
        title="Weather of Seattle, 2012 to 2015",
        field="environment",
        description="Precipitation, temperatures, wind and weather of each of 1,461 days.",
        keywords=("weather", "climate"),
        licence="Public domain",
        source_name="NOAA, compiled by vega-datasets",
        terms="open-within-zone",
    )
    teller.done(f"{stage.agency.name} offers {weather.name}: {weather.title}, {weather.latest.size:,} bytes.")
    teller.note(f"Its terms: {' '.join(weather.terms_summary)}")
    teller.note("The tables stay where they are: the record holds their names, terms and salted fingerprints.")
    scene.facts |= {each.name: {"terms": each.terms, "licence": each.licence} for each in (diagnoses, weather)}


def ask_for_them(stage: Stage, teller: Teller, scene: Scene) -> Asked:
    """The university finds both tables and asks for them; the bank asks for one."""
    university, bank = stage.university.zone, stage.bank.zone
    for words, wanted in (("breast cancer", DIAGNOSES), ("weather", WEATHER)):
        found = wait_for(partial(_find, stage.university, words), f"{wanted} is found")
        expect([wanted] == list(found), f"the words '{words}' find {wanted}")
        teller.done(f"{stage.university.name} searches its own copy for '{words}' and finds {wanted}.")
    open_to_all = university.request(WEATHER, "Compare with hospital admissions.")
    expect(open_to_all.agreement, "the terms of the weather need nobody's approval")
    teller.done(f"It asks for the weather. The terms are open within the zone, so {open_to_all.agreement} is in force.")
    asked = university.request(DIAGNOSES, _RESEARCH)
    expect(not asked.agreement, "the hospital decides on its diagnoses")
    teller.done(f"It asks for the diagnoses and says why: {asked.id} waits for {stage.hospital.name}.")
    wait_for(partial(_find, stage.bank, "breast cancer"), "the bank's copy lists the diagnoses")
    also = bank.request(DIAGNOSES, _LOANS)
    teller.done(f"{stage.bank.name} asks for them too: {also.id}.")
    scene.facts |= {"requests": [open_to_all.id, asked.id, also.id], "agreement": open_to_all.agreement}
    return Asked(asked.id, also.id)


def decide(stage: Stage, teller: Teller, scene: Scene, asked: Asked) -> str:
    """The hospital approves one request and rejects the other; returns the id of the agreement."""
    hospital, bank, agency = stage.hospital.zone, stage.bank.zone, stage.agency.zone
    waiting = {each.id for each in hospital.requests("received", waiting=True)}
    expect(waiting == {asked.by_university, asked.by_bank}, "two requests wait for the hospital")
    for player, identifier in ((stage.university, asked.by_university), (stage.bank, asked.by_bank)):
        purpose = _told(stage.hospital, identifier, "sent").fields["purpose"]
        teller.done(f"{stage.hospital.name} reads what {player.name} wants it for: “{purpose}”")
    approved = hospital.approve(asked.by_university)
    expect(approved.agreement, "approving makes an agreement")
    teller.done(f"It approves {approved.id}: {approved.agreement} is in force, on terms that both have signed.")
    hospital.reject(asked.by_bank, _WHY_NOT)
    why = _told(stage.bank, asked.by_bank, "rejected").fields["why"]
    expect(why == _WHY_NOT, "the bank reads the hospital's reason")
    teller.done(f"It rejects {asked.by_bank}. {stage.bank.name} alone reads the reason: “{why}”")
    seen = wait_for(lambda: _rejected(agency.show_request(asked.by_bank)), "the agency's copy has the rejection")
    expect(not any(each.fields for each in seen.private), "nobody else is told")
    expect(not _is_written_in(stage.agency.home, why), "the reason is in no file of another member")
    shown = next(each.commitment for each in seen.private if each.about == "rejected")
    teller.done(f"{stage.agency.name}'s copy says that it was rejected, and in place of the reason: {shown[:16]}…")
    expect(bank.show_request(asked.by_bank).state == seen.state, "all see the same decision")
    scene.facts |= {"approved": approved.id, "rejected": asked.by_bank, "agreement": approved.agreement}
    return approved.agreement


def deliver(stage: Stage, teller: Teller, scene: Scene) -> None:
    """The university fetches both tables; the bank is refused."""
    university = stage.university.zone
    wait_for(lambda: university.agreements("in_force", DIAGNOSES), "the university's copy has the agreement")
    held = {DIAGNOSES: stage.files / "city-hospital", WEATHER: stage.files / "city-agency"}
    for dataset, folder in held.items():
        fetched = university.fetch(dataset, stage.files / stage.university.organisation)
        original = next(folder.glob("*.csv")).read_bytes()
        expect(Path(fetched.path).read_bytes() == original, "what arrived is what was offered")
        teller.done(
            f"{stage.university.name} fetches {dataset}: {fetched.bytes:,} bytes, encrypted to its key, "
            f"straight from {dataset.partition('/')[0]}; the fingerprint is the recorded one."
        )
        _show_rows(teller, Path(fetched.path))
        scene.facts[dataset] = {"bytes": fetched.bytes, "delivery": fetched.delivery, "root": fetched.root}
    sent = wait_for(lambda: _received(stage.hospital), "the hospital's copy has the acknowledgement")
    expect(sent.root == scene.facts[DIAGNOSES]["root"], "the acknowledgement names the root that was computed")
    teller.done(
        f"{stage.hospital.name} has {stage.university.name}'s signed word for it: {sent.id} was received whole."
    )
    refused = refusal(NodeError, lambda: stage.bank.zone.fetch(DIAGNOSES), "the bank fetches without an agreement")
    teller.done(f"{stage.bank.name} tries to fetch it as well, and is refused:")
    teller.note(f"“{refused.message}”")


def end_agreement(stage: Stage, teller: Teller, scene: Scene, agreement: str) -> None:
    """The hospital ends the agreement; the next fetch is refused."""
    stage.hospital.zone.terminate(agreement, _ENDED)
    teller.done(f"{stage.hospital.name} terminates {agreement}. The reason is for {stage.university.name} alone.")
    university = stage.university.zone
    wait_for(lambda: university.agreement(agreement).state == "terminated", "the university's copy has the end")
    refused = refusal(NodeError, lambda: university.fetch(agreement), "a fetch after the agreement has ended")
    teller.done("The university fetches once more, and is refused:")
    teller.note(f"“{refused.message}”")
    teller.note("What it has fetched before is still there: ending an agreement ends access, and no copy vanishes.")
    scene.facts |= {"agreement": agreement, "refused": refused.message}


def _hold(stage: Stage, player: Player, table: str, name: str) -> Path:
    """Put a table with its source and licence where its owner keeps it; return its path."""
    folder = stage.files / player.organisation
    shutil.copytree(DATA / table, folder)
    return folder / name


def _told(player: Player, request: str, about: str) -> PrivateValues:
    """Return what was said to a party of a request, once it has arrived and is what was committed to."""

    def arrived() -> PrivateValues | None:
        said = player.zone.show_request(request).private
        return next((each for each in said if each.about == about and each.status == "verified"), None)

    return wait_for(arrived, f"{player.name} is told what was {about}")


def _find(player: Player, words: str) -> tuple[str, ...]:
    """Return the names of the datasets that an organisation's own copy has for some words."""
    return tuple(dataset.name for dataset in player.zone.find(words))


def _rejected(request: RequestView) -> RequestView | None:
    return request if any(each.about == "rejected" for each in request.private) else None


def _received(player: Player) -> DeliveryView | None:
    return next((each for each in player.zone.deliveries("sent") if each.state == "received"), None)


def _is_written_in(home: Path, text: str) -> bool:
    """Tell whether a text is in a file of a home whose node may be running: files come and go meanwhile."""
    for path in home.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and text.encode() in path.read_bytes():
                return True
    return False


def _show_rows(teller: Teller, path: Path) -> None:
    """Show the beginning of a table: its first rows, and its last columns where not all find room."""
    with path.open(newline="", encoding="utf-8") as file:
        rows: Iterable[list[str]] = csv.reader(file)
        columns, *first = islice(rows, _SHOWN_ROWS + 1)
    if len(columns) > 6:
        columns, first = _narrow(columns), [_narrow(row) for row in first]
    teller.table(columns, first)


def _narrow(row: list[str]) -> list[str]:
    return [*row[:4], "…", row[-1]]
