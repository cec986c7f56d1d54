"""Offering, revising and withdrawing datasets: what is accepted, and every refusal."""

import msgspec
import pytest

from tallystick.codec import MalformedError, StrictDecoder, encode_json
from tallystick.modules.catalogue import queries
from tallystick.modules.catalogue.ops import OfferDataset, ReviseDataset, WithdrawDataset
from tallystick.modules.catalogue.records import DATASET_VERSIONS, DATASETS, TERMS, Column, version_key
from tallystick.modules.catalogue.terms import terms_hash
from tests.support.market import DATASET, content, digest, names, offer, offer_message, refusal, terms_on
from tests.support.zones import BANK, HOSPITAL, Simulator


@pytest.fixture
def zone():
    """Return a zone."""
    return Simulator()


def test_offer_records_dataset_version_and_terms(zone):
    """An offer makes the dataset, its version 1 and its terms readable by all."""
    events = zone.run(HOSPITAL, offer_message())

    dataset = zone.get(DATASETS, DATASET)
    assert ["dataset_offered"] == names(events)
    assert (1, "offered", HOSPITAL, "manual") == (dataset.version, dataset.status, dataset.owner, dataset.approval)
    assert terms_on() == zone.get(TERMS, dataset.terms)
    assert terms_hash(terms_on()) == dataset.terms
    assert (zone.last_context.transaction.hex(), 0) == (dataset.terms_transaction, dataset.terms_index)
    assert (zone.time, zone.time, None) == (dataset.offered_at, dataset.changed_at, dataset.withdrawn_at)
    version = zone.get(DATASET_VERSIONS, version_key(DATASET, 1))
    assert (digest("fingerprint one"), 2_621_440, 3, 1) == (
        version.fingerprint,
        version.size,
        version.chunks,
        version.files,
    )
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (offer_message(name=f"{HOSPITAL}/Discharges"), (2001, "bad_name")),
        (offer_message(name="discharges"), (2001, "bad_name")),
        (offer_message(name=f"{BANK}/discharges"), (2002, "not_owner")),
        (offer_message(terms=terms_on(f"{HOSPITAL}/other")), (2006, "bad_terms")),
        (offer_message(title=" x"), (2007, "bad_text")),
        (offer_message(title="a\tb"), (2007, "bad_text")),
        (offer_message(title="gpj.\u202etxt"), (2007, "bad_text")),
        (offer_message(description="a\r\nb"), (2007, "bad_text")),
        (offer_message(description="\u0085"), (2007, "bad_text")),
        (offer_message(keywords=("a", "a")), (2007, "bad_text")),
        (offer_message(keywords=("a\nb",)), (2007, "bad_text")),
        (offer_message(licence="\x7f"), (2007, "bad_text")),
        (offer_message(source="x "), (2007, "bad_text")),
        (offer_message(version=content(fingerprint="G" * 64)), (2008, "bad_version")),
        (offer_message(version=content(chunks=2)), (2008, "bad_version")),
        (offer_message(version=content(media_type="text")), (2008, "bad_version")),
        (offer_message(version=content(media_type="Text/CSV")), (2008, "bad_version")),
        (offer_message(version=content(schema=(Column(name="a", type="x"),) * 2)), (2008, "bad_version")),
        (offer_message(version=content(schema=(Column(name="a", type="x\n"),))), (2008, "bad_version")),
    ],
)
def test_offer_is_refused(zone, message, expected):
    """An offer that does not hold together, or is not the owner's, is refused by number."""
    assert expected == refusal(zone.reject(HOSPITAL, message))


def test_offering_twice_is_refused(zone):
    """A name is taken once, also after its dataset was withdrawn."""
    offer(zone)
    assert (2003, "dataset_exists") == refusal(zone.reject(HOSPITAL, offer_message()))
    zone.run(HOSPITAL, WithdrawDataset(name=DATASET))
    assert (2003, "dataset_exists") == refusal(zone.reject(HOSPITAL, offer_message()))


def test_text_of_every_script_is_welcome(zone):
    """Titles are not limited to ASCII."""
    offer(zone, title="出院记录 2024 · Entlassungen für Ärzte", keywords=("健康", "ผู้ป่วย"))
    assert "出院记录 2024 · Entlassungen für Ärzte" == zone.get(DATASETS, DATASET).title


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"title": "x" * 201},
        {"description": "x" * 2001},
        {"field": "sports"},
        {"keywords": ["x" * 41]},
        {"keywords": [str(number) for number in range(21)]},
        {"colour": "blue"},
        {"name": None},
        {"version": {"fingerprint": "0" * 64, "size": -1, "chunks": 1, "media_type": "text/csv"}},
        {"version": {"fingerprint": "0" * 64, "size": 1, "chunks": 0, "media_type": "text/csv"}},
        {"version": {"fingerprint": "0" * 63, "size": 1, "chunks": 1, "media_type": "text/csv"}},
    ],
)
def test_limits_are_those_of_the_types(change):
    """Over-long, missing, unknown and ill-typed fields are malformed before anything is asked."""
    document = msgspec.to_builtins(offer_message()) | change
    with pytest.raises(MalformedError):
        StrictDecoder(OfferDataset, max_bytes=1 << 20).decode(encode_json(document))


def test_only_service_keys_offer(zone):
    """A key without the role `service` cannot offer."""
    assert "role_missing" == zone.reject(HOSPITAL, offer_message(), role="security").name


def test_revision_changes_only_what_it_names(zone):
    """What a revision leaves out stays, and an empty text clears."""
    offer(zone)
    before = zone.get(DATASETS, DATASET)
    events = zone.run(HOSPITAL, ReviseDataset(name=DATASET, title="Discharges", licence=""))

    expected = msgspec.structs.replace(before, title="Discharges", licence="", changed_at=zone.time)
    assert ["dataset_revised"] == names(events)
    assert expected == zone.get(DATASETS, DATASET)


def test_new_versions_are_numbered_and_old_ones_stay(zone):
    """A new version takes the next number; the old one is as it was."""
    offer(zone)
    first = zone.get(DATASET_VERSIONS, version_key(DATASET, 1))
    zone.run(HOSPITAL, ReviseDataset(name=DATASET, version=content("two")))
    zone.run(HOSPITAL, ReviseDataset(name=DATASET, version=content("one")))

    assert first == zone.get(DATASET_VERSIONS, version_key(DATASET, 1))
    assert [1, 2, 3] == [version.version for version in queries.versions_of(zone.state, DATASET)]
    assert 3 == zone.get(DATASETS, DATASET).version
    assert [] == zone.broken()


def test_new_terms_are_signed_and_old_ones_stay_readable(zone):
    """New terms replace the old on the offer; both can be read."""
    old = offer(zone)
    zone.run(HOSPITAL, ReviseDataset(name=DATASET, terms=terms_on(name="open-within-zone")))

    dataset = zone.get(DATASETS, DATASET)
    assert old != dataset.terms
    assert "automatic" == dataset.approval
    assert zone.last_context.transaction.hex() == dataset.terms_transaction
    assert terms_on() == queries.find_offered_terms(zone.state, old)


@pytest.mark.parametrize(
    ("organisation", "message", "expected"),
    [
        (HOSPITAL, ReviseDataset(name="x", title="y"), (2001, "bad_name")),
        (BANK, ReviseDataset(name=DATASET, title="y"), (2002, "not_owner")),
        (HOSPITAL, ReviseDataset(name=f"{HOSPITAL}/none", title="y"), (2004, "unknown_dataset")),
        (HOSPITAL, ReviseDataset(name=DATASET, terms=terms_on("a-b/c")), (2006, "bad_terms")),
        (HOSPITAL, ReviseDataset(name=DATASET, title="y "), (2007, "bad_text")),
        (HOSPITAL, ReviseDataset(name=DATASET, version=content(chunks=1)), (2008, "bad_version")),
        (HOSPITAL, ReviseDataset(name=DATASET), (2009, "nothing_to_revise")),
        (HOSPITAL, ReviseDataset(name=DATASET, licence="CC BY 4.0"), (2009, "nothing_to_revise")),
        (HOSPITAL, ReviseDataset(name=DATASET, version=content()), (2009, "nothing_to_revise")),
        (HOSPITAL, ReviseDataset(name=DATASET, terms=terms_on()), (2009, "nothing_to_revise")),
    ],
)
def test_revision_is_refused(zone, organisation, message, expected):
    """A revision that is not the owner's, does not hold together or changes nothing is refused by number."""
    offer(zone)
    assert expected == refusal(zone.reject(organisation, message))


def test_withdrawn_dataset_stays_withdrawn(zone):
    """A withdrawn dataset is neither revised nor withdrawn again."""
    offer(zone)
    events = zone.run(HOSPITAL, WithdrawDataset(name=DATASET))

    dataset = zone.get(DATASETS, DATASET)
    assert ["dataset_withdrawn"] == names(events)
    assert ("withdrawn", zone.time) == (dataset.status, dataset.withdrawn_at)
    gone = (2005, "dataset_withdrawn")
    assert gone == refusal(zone.reject(HOSPITAL, WithdrawDataset(name=DATASET)))
    assert gone == refusal(zone.reject(HOSPITAL, ReviseDataset(name=DATASET, title="y")))
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("organisation", "name", "expected"),
    [
        (HOSPITAL, "no name", (2001, "bad_name")),
        (BANK, DATASET, (2002, "not_owner")),
        (HOSPITAL, f"{HOSPITAL}/none", (2004, "unknown_dataset")),
    ],
)
def test_withdrawal_is_refused(zone, organisation, name, expected):
    """Only the owner withdraws, and only what there is."""
    offer(zone)
    assert expected == refusal(zone.reject(organisation, WithdrawDataset(name=name)))


def test_queries_find_by_owner(zone):
    """The datasets of one organisation are listed by name, not those of a longer id."""
    offer(zone)
    offer(zone, f"{HOSPITAL}/beds")
    offer(zone, f"{BANK}/branches")
    assert [f"{HOSPITAL}/beds", DATASET] == [dataset.name for dataset in queries.datasets_of(zone.state, HOSPITAL)]
    assert [] == list(queries.datasets_of(zone.state, "city"))
    assert None is queries.find_dataset(zone.state, f"{HOSPITAL}/none")
    assert None is queries.find_version(zone.state, DATASET, 2)
