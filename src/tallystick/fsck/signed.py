"""Checking what is kept because somebody signed it: trust file, checkpoints, cosignatures, fork proofs.

None of it follows from the blocks alone; every cell is either under a signature or names whose signature it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from tallystick.fsck.membership import Succession
from tallystick.fsck.replayed import Replayed
from tallystick.fsck.report import Cell, Notes, difference, is_same
from tallystick.fsck.source import LedgerFile, as_bytes
from tallystick.fsck.tiles import check_note
from tallystick.keys import ED25519
from tallystick.proofs import Cosignature, ForkProofError, TrustError, checkpoint_body, verify_cosignature
from tallystick.proofs.forks import verify_fork_proof
from tallystick.proofs.trust import TrustFile
from tallystick.proofs.trust_versions import TRUST_TAG

_LARGEST_TRUST = 64 << 20


def read_trust(path: Path, notes: Notes) -> TrustFile | None:
    """Return the `zone.json` of a home if it is good in itself; None where there is none or it is not."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_TRUST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        notes.say(path.name, f"it cannot be read: {error.strerror}")
        return None
    try:
        return TrustFile.parse(data)
    except TrustError as error:
        notes.say(path.name, error.message)
        return None


def check_genesis_file(path: Path, genesis: bytes, notes: Notes) -> None:
    """Compare `genesis.json`, if it is there, with the genesis that somebody vouched for."""
    try:
        with path.open("rb") as file:
            data = file.read(len(genesis) + 1)
    except FileNotFoundError:
        return
    except OSError as error:
        notes.say(path.name, f"it cannot be read: {error.strerror}")
        return
    if data != genesis:
        notes.add(difference(path.name, "not the genesis of this ledger", genesis, data))


def check_trust_file(trust: TrustFile | None, succession: Succession, notes: Notes) -> None:
    """Compare `zone.json`, if it is there, with the versions that the ledger leads to; it may know further ones."""
    if trust is None:
        return
    if trust.chain != succession.trust.chain:
        notes.add(difference("zone.json: chain", "another zone", succession.trust.chain, trust.chain))
    if trust.genesis != succession.trust.genesis:
        notes.add(difference("zone.json: genesis", "another zone", succession.trust.genesis, trust.genesis))
    for mine, theirs in zip(succession.trust.entries, trust.entries, strict=False):
        if replace(theirs, signatures=()) != mine:
            notes.say(f"zone.json: version {mine.version}", "the ledger does not lead to this version")


def is_first_version_signed(file: LedgerFile, succession: Succession) -> bool:
    """Tell whether the signature of one that ordered first is there, which vouches for the genesis."""
    first = succession.trust.version(1)
    statement = "SELECT signature FROM trust_signatures NOT INDEXED WHERE version = 1"
    for row in file.select("trust_signatures", statement):
        signature = row[0]
        if isinstance(signature, bytes) and any(
            ED25519.verify(key, TRUST_TAG + first.hash, signature) for key in first.validators.values()
        ):
            return True
    return False


def check_trust(file: LedgerFile, succession: Succession, height: int, notes: Notes) -> None:
    """Check the versions of the trust file, and every signature under them.

    Args:
        file: the ledger.
        succession: what they must be.
        height: of the last block; the version that it makes may not be written yet, and before the first none is.
        notes: takes what is found.
    """
    trust = succession.trust
    found: dict[Cell, Cell] = {}
    for version, entry in file.rows("trust"):
        found[version] = entry
    for made in trust.versions:
        if made.number not in found:
            if made.height < height:
                notes.say(f"trust row {made.number}: column version", "it is missing")
            continue
        entry, expected = found.pop(made.number), succession.entry_text(made.number)
        if not is_same(expected, entry):
            place = f"trust row {made.number}: column entry"
            notes.add(difference(place, "the ledger does not lead to this", expected, entry))
    for version in found:
        notes.say(f"trust row {version!a}: column version", "the ledger does not lead to such a version")
    for number, version, organisation, signature in file.numbered_rows("trust_signatures"):
        place = f"trust_signatures row {number!a} ({version!a}, {organisation!a})"
        if type(version) is not int or not 1 <= version <= len(trust.versions):
            notes.say(f"{place}: column version", "the ledger does not lead to such a version")
            continue
        made = trust.version(version)
        key = _key_of(succession.signers_of(version), organisation)
        if key is None:
            notes.say(f"{place}: column organisation", "it had no right to sign this version")
        elif not isinstance(signature, bytes) or not ED25519.verify(key, TRUST_TAG + made.hash, signature):
            notes.say(f"{place}: column signature", f"not the signature of {organisation!a} on this version")


def check_checkpoints(file: LedgerFile, succession: Succession, replayed: Replayed, notes: Notes) -> None:
    """Check every checkpoint against the history and the keys of its time."""
    for size, root, height, note in file.rows("checkpoints"):
        place = f"checkpoints row {size!a}"
        moment = replayed.find_moment(size) if type(size) is int else None
        if type(size) is not int or moment is None:
            notes.say(f"{place}: column size", "no block of this history ends at this size")
            continue
        if not is_same(moment.root, root):
            notes.add(difference(f"{place}: column root", "the history has another root", moment.root, root))
        if not is_same(moment.height, height):
            what = "not the first block with this history"
            notes.add(difference(f"{place}: column height", what, moment.height, height))
        try:
            check_note(as_bytes(note), size, succession, replayed)
        except (ValueError, TypeError) as error:
            notes.say(f"{place}: column note", str(error))


def check_cosignatures(file: LedgerFile, succession: Succession, replayed: Replayed, notes: Notes) -> None:
    """Check every cosignature against the history of its size and the member's key of that time."""
    trust = succession.trust
    for number, size, organisation, time_s, signature in file.numbered_rows("cosignatures"):
        place = f"cosignatures row {number!a} ({size!a}, {organisation!a})"
        moment = replayed.find_moment(size) if type(size) is int else None
        if type(size) is not int or moment is None:
            notes.say(f"{place}: column size", "no block of this history ends at this size")
            continue
        key = _key_of(trust.version_at(size).members, organisation)
        if key is None or not isinstance(organisation, str):
            notes.say(f"{place}: column organisation", "it was no member at this size")
        elif type(time_s) is not int or not 0 <= time_s < 2**53:
            notes.say(f"{place}: column time_s", "not a time")
        elif not isinstance(signature, bytes):
            notes.say(f"{place}: column signature", "not bytes")
        else:
            cosignature = Cosignature(organisation=organisation, signature=signature.hex(), time=time_s)
            body = checkpoint_body(trust.chain, size, moment.root)
            if not verify_cosignature(body, cosignature, key):
                what = f"not the signature of {organisation} on this history at this time"
                notes.say(f"{place}: columns signature, time_s", what)


def check_forks(file: LedgerFile, succession: Succession, notes: Notes) -> None:
    """Check that every fork proof proves what it says."""
    for number, (identifier, proof) in enumerate(file.rows("forks"), 1):
        if not is_same(number, identifier):
            place = f"forks row {identifier!a}: column id"
            notes.add(difference(place, "rows are numbered from 1 without gaps", number, identifier))
        try:
            verify_fork_proof(as_bytes(proof), succession.trust)
        except ForkProofError as error:
            notes.say(f"forks row {identifier!a}: column proof", error.message)
        except (ValueError, TypeError):
            notes.say(f"forks row {identifier!a}: column proof", "not a fork proof")


def _key_of(members: Mapping[str, bytes], organisation: Cell) -> bytes | None:
    return members.get(organisation) if isinstance(organisation, str) else None
