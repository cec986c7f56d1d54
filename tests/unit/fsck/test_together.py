"""Headers of a zone where four order together: which signatures must be there, which may still be missing."""

import sqlite3

import pytest
from msgspec.structs import replace

from tallystick.proofs import decode_header, decode_signatures, encode_signatures, sign_header
from tests.support.ledgers import ORDERER, TOGETHER, LedgerHome, check, note

ALL = tuple(TOGETHER)
THREE, TWO, ONE = ALL[:3], ALL[:2], ALL[:1]


def home_of(folder, *signers):
    """Return the folder of a zone of four with a block for each of these groups, signed by it."""
    made = LedgerHome(folder / "home", together=True)
    made.write_trust()
    for number, names in enumerate(signers, 1):
        transactions = [made.toy.sign(ORDERER, note(f"note {number}"))] if number == 1 else []
        made.rogue_block(transactions, time=1_000 + number, signers=names)
    made.close()
    return made.folder


def change_signatures(folder, height, change):
    """Replace the signatures of a block by what `change` makes of them and the header."""
    with sqlite3.connect(folder / "ledger.db") as connection:
        header, raw = connection.execute("SELECT header, signatures FROM blocks WHERE height = ?", (height,)).fetchone()
        changed = change(list(decode_signatures(raw.encode())), decode_header(header.encode()))
        connection.execute(
            "UPDATE blocks SET signatures = ? WHERE height = ?", (encode_signatures(changed).decode(), height)
        )
    connection.close()


@pytest.mark.parametrize(
    ("signers", "sealed"),
    [
        ([ALL, ALL, ALL], 3),
        ([THREE, ALL[1:], THREE], 3),
        ([ALL, THREE, TWO, ONE], 2),
        ([TWO, ONE, THREE], 3),
        ([ONE, THREE, ONE], 2),
        ([ONE, TWO], 0),
        ([], 0),
    ],
)
def test_blocks_stand_on_the_last_one_with_a_quorum(tmp_path, signers, sealed):
    """Fewer signatures than a quorum are fine before a block that has one and at the end; how far it goes is told."""
    report = check(home_of(tmp_path, *signers), together=True)
    assert (True, len(signers), sealed) == (report.ok, report.blocks, report.sealed), str(report.first)


def forged(signatures, header):
    """Return the signatures with the last one that of another header."""
    other = replace(header, time=header.time + 1)
    last = signatures[-1].organisation
    return [*signatures[:-1], sign_header(other, last, TOGETHER[last])]


def in_anothers_name(signatures, header):
    """Return the signatures with one more, by a validator in the name of another."""
    return [*signatures[:2], sign_header(header, "port", TOGETHER["bank"])]


def by_a_stranger(signatures, header):
    """Return the signatures with one more, good, by who does not order."""
    return [*signatures, sign_header(header, "stranger", TOGETHER["bank"])]


def by_nobody(signatures, header):
    """Return no signatures."""
    return []


@pytest.mark.parametrize("height", [1, 2, 4, 5])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (forged, "is not signed by"),
        (in_anothers_name, "is not signed by port"),
        (by_a_stranger, "stranger signed the header but does not order"),
        (by_nobody, "there is none"),
    ],
)
def test_bad_signature_is_found_wherever_it_is(tmp_path, height, change, what):
    """A forged signature, a stranger's and a block that nobody signed are named, under a quorum as in the tail."""
    home = home_of(tmp_path, ALL, ALL, ALL, ALL, TWO)
    change_signatures(home, height, change)
    report = check(home, together=True)
    assert (False, height - 1) == (report.ok, report.blocks)
    assert f"block {height}: blocks row {height}: column signatures" == report.first.place
    assert what in report.first.what


def test_signatures_of_another_block_are_found(tmp_path):
    """All four signatures, good ones of the block before, say nothing of this one."""
    home = home_of(tmp_path, ALL, ALL, ALL)
    before = []
    change_signatures(home, 1, lambda signatures, header: before.extend(signatures) or signatures)
    change_signatures(home, 2, lambda signatures, header: before)
    assert "block 2: blocks row 2: column signatures" == check(home, together=True).first.place


def test_header_that_all_signed_must_still_follow(tmp_path):
    """Four signatures do not make a header right that does not continue the block before."""
    made = LedgerHome(tmp_path / "home", together=True)
    made.write_trust()
    made.rogue_block([], signers=ALL)
    made.rogue_block([], signers=ALL, lie={"previous": "00" * 32})
    made.close()
    report = check(made.folder, together=True)
    assert "block 2: blocks row 2: column header" == report.first.place
    assert "does not continue" in report.first.what
    assert 1 == report.sealed


def test_any_of_those_who_ordered_first_vouches_for_the_genesis(tmp_path):
    """Every signature under version 1 by one that orders is good; one by another member is not."""
    home = home_of(tmp_path, ALL)
    with sqlite3.connect(home / "ledger.db") as connection:
        connection.execute("UPDATE trust_signatures SET organisation = 'stranger' WHERE organisation = 'port'")
    connection.close()
    report = check(home, together=True)
    assert "column organisation" in report.first.place
    assert "no right to sign" in report.first.what
