"""Garbage at the office's doors: whatever bytes come in, a refusal with a remedy comes out and nothing is kept."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tallystick.codec import MalformedError, decode_json, encode_json
from tallystick.dataplane import build_package, open_package, seal_package, take_fingerprint
from tallystick.dataplane.refusals import PackageError
from tallystick.dataplane.sealing import binding, seal
from tallystick.errors import NodeError, UsageError
from tallystick.merkle.commitments import commit_fields
from tallystick.office.database import ApplicationRow, NoteRow
from tallystick.office.envelopes import decode_note, open_note, seal_note
from tallystick.office.refusals import NoteRefusedError
from tallystick.office.terms import resolve_terms
from tests.support.zones import make_card

PRIVATE = X25519PrivateKey.from_private_bytes(b"k" * 32)
SECRET, PUBLIC = PRIVATE.private_bytes_raw(), PRIVATE.public_key().public_bytes_raw()
FIELDS, SALT = {"purpose": "Study"}, b"s" * 32
ENVELOPE = {
    "chain": "test-zone-00000000",
    "sender": "state-university",
    "recipient": "city-hospital",
    "subject": "requests/req-7kq2",
    "commitment": commit_fields(SALT, FIELDS),
}
NOTE = seal_note(key=PUBLIC.hex(), salt=SALT, fields=FIELDS, **ENVELOPE)
CARD = encode_json(make_card("city-agency"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def flipped(data, place, bit):
    """Return bytes with one bit turned."""
    place %= len(data)
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


def opened(data):
    """Open a note as a node does that holds one key."""
    note = decode_note(data)
    if note.key != PUBLIC.hex():
        raise NoteRefusedError("another key", remedy="none is here")
    return open_note(note, SECRET)


def test_the_note_that_is_damaged_here_is_good():
    """What the other tests damage opens when it is whole."""
    assert (SALT, FIELDS) == opened(NOTE)


@given(data=st.binary(max_size=300))
@example(b"{" * 100_000)
@example(b'{"v":1}')
@example(NOTE + b" ")
@example(b"\xef\xbb\xbf" + NOTE)
@example(NOTE.replace(b'"v":1', b'"v":1,"v":1'))
@example(NOTE.replace(b'"v":1', b'"v":1.0'))
@example(NOTE.upper())
def test_bytes_that_are_no_note(data):
    """Random and nearly good bytes are refused by name."""
    with pytest.raises(NoteRefusedError):
        decode_note(data)


@given(place=st.integers(0, len(NOTE) - 1), bit=st.integers(0, 7))
def test_any_turned_bit_of_a_note(place, bit):
    """One changed bit anywhere and the note does not open."""
    with pytest.raises(NoteRefusedError):
        opened(flipped(NOTE, place, bit))


@given(content=JSON | st.binary(max_size=200))
@example({"fields": {}, "salt": "00" * 32, "v": 1})
@example({"fields": {"a": 1}, "salt": "00" * 32, "v": 1})
@example({"fields": {"a": "b"}, "salt": "0" * 63, "v": 1})
@example({"fields": {"a": "b"}, "salt": "Z" * 64, "v": 1})
def test_sealed_content_of_any_kind(content):
    """A peer may seal whatever it likes: only values and a salt come out, or a refusal."""
    try:
        data = content if isinstance(content, bytes) else encode_json(content)
    except MalformedError:
        return
    info = binding(
        b"tallystick/note-v1",
        *(ENVELOPE[name].encode() for name in ("chain", "sender", "recipient", "subject", "commitment")),
    )
    note = msgspec.structs.replace(decode_note(NOTE), sealed=seal(PUBLIC, data, info).hex())
    try:
        salt, fields = open_note(note, SECRET)
    except NoteRefusedError as error:
        assert error.remedy
    else:
        assert len(salt) == 32
        assert all(isinstance(name, str) and isinstance(text, str) for name, text in fields.items())


@given(
    changes=st.dictionaries(
        st.sampled_from(["chain", "commitment", "key", "recipient", "sealed", "sender", "subject", "v", "x"]),
        JSON,
        min_size=1,
        max_size=3,
    )
)
async def test_notes_with_other_fields(changes):
    """Fields of other types, lengths or names: a form is kept exactly or the note is none."""
    fields = decode_json(NOTE) | changes
    try:
        data = encode_json(fields)
    except MalformedError:
        return
    try:
        opened(data)
    except NoteRefusedError:
        return
    assert data == NOTE


async def test_nothing_of_garbage_is_kept(zone):
    """Whatever a peer pushes, a whole office refuses it and keeps no row."""
    office = zone["city-hospital"]

    @SHARED
    @given(data=st.binary(max_size=200) | st.builds(flipped, st.just(NOTE), st.integers(0, 5_000), st.integers(0, 7)))
    def push(data):
        with pytest.raises(NodeError) as raised:
            office.notes.receive("state-university", data)
        assert raised.value.remedy

    @SHARED
    @given(data=st.binary(max_size=200) | st.builds(flipped, st.just(CARD), st.integers(0, 5_000), st.integers(0, 7)))
    @example(b"{" * 100_000)
    @example(CARD + b"\n")
    @example(CARD.replace(b'"name"', b'"nome"'))
    def apply(data):
        with pytest.raises(UsageError) as raised:
            office.members.receive_application(data)
        assert raised.value.remedy

    push()
    apply()
    assert 0 == office._database.count(NoteRow)
    assert 0 == office._database.count(ApplicationRow)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A good key package, sealed."""
    path = tmp_path_factory.mktemp("package") / "data.csv"
    path.write_text("a,b\n1,2\n")
    made = build_package(
        take_fingerprint(path), delivery="00" * 16, agreement="agr-7kq2", content_key=b"c" * 32, expires_ms=1
    )
    return seal_package(made, PUBLIC)


@given(data=st.data())
def test_key_packages_that_are_none(package, data):
    """A damaged, foreign or made-up key package is refused by name, before any key of it is used."""
    assert open_package(package, SECRET, delivery="00" * 16, agreement="agr-7kq2").files == 1
    info = binding(b"tallystick/key-package-v1", b"agr-7kq2", b"00" * 16)
    content = data.draw(JSON)
    try:
        made_up = seal(PUBLIC, encode_json(content), info)
    except MalformedError:
        made_up = b""
    garbage = data.draw(st.binary(max_size=200))
    turned = flipped(package, data.draw(st.integers(0, 10_000)), data.draw(st.integers(0, 7)))
    for sealed in (made_up, garbage, turned, package[:-1], package + b"\0"):
        with pytest.raises(PackageError) as raised:
            open_package(sealed, SECRET, delivery="00" * 16, agreement="agr-7kq2")
        assert raised.value.remedy


@given(terms=JSON)
@example({"@context": None})
@example({"permission": [{"action": "use", "constraint": [{}] * 100}]})
def test_terms_of_any_form(terms):
    """Whatever stands where terms should: a policy for this dataset, or a refusal that says what is wrong."""
    if not isinstance(terms, dict):
        terms = {"permission": terms}
    try:
        policy = resolve_terms(terms, "city-hospital/discharges")
    except UsageError as error:
        assert error.remedy
    else:
        assert ("city-hospital", "city-hospital/discharges") == (policy.assigner, policy.target)
