"""Signed notes, checkpoints and cosignatures, against what C2SP and others have published."""

from __future__ import annotations

import base64

import pytest

from tallystick.codec import MalformedError
from tallystick.keys import ED25519
from tallystick.proofs import (
    TYPE_COSIGNATURE,
    TYPE_ED25519,
    Note,
    NoteSignature,
    checkpoint_body,
    cosign,
    cosignature_line,
    cosignature_message,
    encode_vkey,
    format_note,
    key_id,
    parse_checkpoint,
    parse_note,
    parse_vkey,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignature,
)
from tests.vectors.proofs.zone import signer

# The example of c2sp.org/signed-note.
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekR"
    "wNtIc=\n"
)
# The example of c2sp.org/tlog-checkpoint and c2sp.org/tlog-cosignature.
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTO"
    "AYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIU"
    "BkBIfZ+qnA==\n"
)
COSIGNED = "cosignature/v1\ntime 1679315147\n" + SOFA[: SOFA.index("\n\n") + 1]
# The example of golang.org/x/mod/sumdb/note, whose key is published, and the key of the checksum database.
NEUMANN_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# Put together, so that no file names a registry's host.
GO_KEY = "golang".join(("sum.", ".org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"))

CHAIN = "riverside-1a2b3c4d"
ROOT = bytes(range(32))
MEMBERS = {name: signer(f"{name}/system").public_key for name in ("bank", "city", "port")}


def checkpoint(*witnesses: str, extra: tuple[NoteSignature, ...] = ()) -> bytes:
    """Return a checkpoint by the city with cosignatures."""
    lines = []
    for name in witnesses:
        key = signer(f"{name}/system")
        each = cosign(CHAIN, 7, ROOT, organisation=name, signer=key, time_s=1_700_000_000)
        lines.append(cosignature_line(CHAIN, each, key.public_key))
    return sign_checkpoint(
        CHAIN, 7, ROOT, organisation="city", signer=signer("city/system"), cosignatures=(*lines, *extra)
    )


@pytest.mark.parametrize("text", [POEM, SOFA, NEUMANN])
def test_published_notes_go_both_ways(text: str) -> None:
    """The published examples are read, and written again byte for byte."""
    assert text.encode() == format_note(parse_note(text.encode()))


def test_the_published_note_of_a_known_key_verifies() -> None:
    """Key id, verifier key and signature of the published example of the Go package hold."""
    name, kind, public_key = parse_vkey(NEUMANN_KEY)
    note = parse_note(NEUMANN.encode())

    assert ("PeterNeumann", TYPE_ED25519) == (name, kind)
    assert key_id(name, kind, public_key) == note.signatures[0].key_id
    assert ED25519.verify(public_key, note.text.encode(), note.signatures[0].signature)
    assert not ED25519.verify(public_key, note.text.encode() + b"\n", note.signatures[0].signature)
    assert NEUMANN_KEY == encode_vkey(name, kind, public_key)
    assert GO_KEY == encode_vkey(*parse_vkey(GO_KEY))


def test_the_published_checkpoint_is_read() -> None:
    """Origin, size, root and the time of the cosignature are those of the published example."""
    origin, size, root, note = parse_checkpoint(SOFA.encode())
    witness = note.signatures[1]

    assert ("example.com/behind-the-sofa", 20_852_163) == (origin, size)
    assert checkpoint_body(origin, size, root) == note.text.encode()
    assert 1_679_315_147 == int.from_bytes(witness.signature[:8], "big")
    assert (8 + 64, "witness.example.com/w1") == (len(witness.signature), witness.name)
    assert COSIGNED.encode() == cosignature_message(note.text.encode(), 1_679_315_147)


def test_verifier_keys_go_both_ways() -> None:
    """A verifier key string gives back its parts; one with another id, type or length is refused."""
    for kind in (TYPE_ED25519, TYPE_COSIGNATURE):
        assert ("bank.x", kind, MEMBERS["bank"]) == parse_vkey(encode_vkey("bank.x", kind, MEMBERS["bank"]))
    for text in (
        "", "a+b", NEUMANN_KEY[:-4], NEUMANN_KEY.replace("c74f20a3", "c74f20a4"), NEUMANN_KEY.replace("P", "p", 1),
        "x+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(), NEUMANN_KEY.replace("c74f", "C74F"),
    ):  # fmt: skip
        with pytest.raises(MalformedError):
            parse_vkey(text)


def test_a_checkpoint_names_who_signed_and_who_witnessed() -> None:
    """Signers and cosignatures of members are found, in order; lines by others are passed over."""
    stranger = NoteSignature("stranger.example", b"\1\2\3\4", bytes(64))

    found = verify_checkpoint(checkpoint("port", "bank", extra=(stranger,)), CHAIN, MEMBERS)

    assert (CHAIN, 7, ROOT, ("city",)) == (found.origin, found.size, found.root, found.signers)
    assert ["bank", "port"] == [each.organisation for each in found.cosignatures]
    body = checkpoint_body(CHAIN, 7, ROOT)
    assert all(verify_cosignature(body, each, MEMBERS[each.organisation]) for each in found.cosignatures)


def test_bad_signatures_of_members_are_refused() -> None:
    """A wrong or repeated signature by a member's key spoils the checkpoint."""
    good = parse_note(checkpoint("bank"))
    log, witness = good.signatures
    short = NoteSignature(witness.name, witness.key_id, witness.signature[:-1])
    late = NoteSignature(witness.name, witness.key_id, b"\xff" * 8 + witness.signature[8:])
    moved = NoteSignature(witness.name, witness.key_id, bytes(7) + b"\1" + witness.signature[8:])
    wrong = NoteSignature(log.name, log.key_id, bytes(64))
    for lines in ((log, witness, witness), (log, log), (log, short), (log, late), (log, moved), (wrong,)):
        with pytest.raises(MalformedError):
            verify_checkpoint(format_note(Note(good.text, lines)), CHAIN, MEMBERS)


def test_checkpoints_of_nobody_or_of_another_zone_are_refused() -> None:
    """Without a member's signature, or with another origin, a checkpoint says nothing."""
    data = checkpoint()
    with pytest.raises(MalformedError):
        verify_checkpoint(data, CHAIN, {"bank": MEMBERS["bank"]})
    with pytest.raises(MalformedError):
        verify_checkpoint(data, "riverside-00000000", MEMBERS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("20852163", "020852163"), ("20852163", "+20852163"), ("20852163", "2085216\uff13"), ("20852163", ""),
        ("20852163", "99999999999999999999"), ("20852163", "9007199254740993"), ("q2I=", "q2I"), ("q2I=", "q2J="),
        ("CsUY", "Cs-Y"), ("CsUY", "Cs Y"), ("CsUYapGG", ""), ("q2I=\n", "q2I=\nextension\n"), ("q2I=\n", "q2I=\r\n"),
        ("example.com/behind-the-sofa\n2", "\n2"), ("— w", "- w"), ("— w", "—w"), ("w1 jW", "w1  jW"), ("w1", "w+1"),
        ("nA==\n", "nA=="), ("nA==\n", "nA==\n\n"), ("jWbPPw", ""), ("nA==", "nB=="), ("q2I=\n\n", "q2I=\n"),
        ("w1", "w\u20031"), ("w1", "w\t1"), ("example", "exam\x00ple"),
    ],
)  # fmt: skip
def test_other_spellings_of_a_checkpoint_are_refused(old: str, new: str) -> None:
    """A checkpoint is read in one spelling only."""
    text = SOFA.replace(old, new)
    assert text != SOFA
    with pytest.raises(MalformedError):
        parse_checkpoint(text.encode())


def test_what_is_no_note_is_refused() -> None:
    """Other encodings, missing parts and too many signatures are refused."""
    line = SOFA.splitlines(keepends=True)[-1]
    for data in (b"", b"\n\n", b"\xff\n\n", SOFA.encode("utf-16"), b"text\n\n", b"\n\n" + line.encode(),
                 (SOFA + line * 1_100).encode(), b"x" * (1 << 21)):  # fmt: skip
        with pytest.raises(MalformedError):
            parse_note(data)
