"""Beginning an empty copy from a snapshot: everything that another member's node gave is judged here, in the core.

In this order, before anything is written: the description is of this zone; the trust file that came along follows from
this home's own, version by version, each signed by the quorum of the one before; the records lead to the app hash of the
header; the header is signed by more than two thirds of those who order at its height; and the members that the records
name are those of the trust file. Then all of it is written in one SQL transaction.

What a crash leaves: before that transaction an empty ledger, and the folder `beginning`, which the next start removes;
after it a ledger that begins with that block.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import structlog
from msgspec.structs import replace

from tallystick.codec import MalformedError, encode_json
from tallystick.errors import IntegrityError
from tallystick.machine import Beginning, Reader, State
from tallystick.modules import rulebook
from tallystick.modules.organisations.queries import members, validators
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home
from tallystick.ordering.replica import MAX_AHEAD_MS
from tallystick.ordering.snapshots import (
    DESCRIPTION,
    Description,
    Record,
    decode_description,
    records_of,
    verify_snapshot,
)
from tallystick.proofs.failures import TrustError
from tallystick.proofs.headers import check_signatures, decode_header, decode_signatures, quorum
from tallystick.proofs.trust import TrustEntry, TrustFile
from tallystick.store import LedgerStore
from tallystick.store.snapshot import LedgerSnapshots, TrustRow

log = structlog.get_logger("core")


class SnapshotError(IntegrityError):
    """A snapshot is not what it should be; nothing of it was kept."""


class TrustPendingError(SnapshotError):
    """A snapshot holds, but members changed shortly before it, and too few have signed the trust file's version of that."""


def begin_from_snapshot(home: Home, description: bytes, trust: bytes, *, now_ms: int) -> Beginning:
    """Make the empty copy of a home the one after a snapshot's block, if all of it holds.

    Args:
        home: with the chunks, each under its hash, in its folder `incoming`.
        description: of the snapshot.
        trust: bytes of the trust file that came with it.
        now_ms: UTC time.

    Returns:
        where the copy begins.

    Raises:
        TrustPendingError: it holds, and may be begun from in a moment; its chunks stay where they were.
        SnapshotError: it does not hold; the source is to blame.
        StorageError: this copy has blocks already, or the disk refuses.
    """
    try:
        described = decode_description(description)
    except MalformedError as error:
        raise _refused(f"its description is malformed: {error.reason}") from None
    # The folder stays as it was checked: the checker replays from it as long as older blocks are missing.
    shutil.rmtree(home.beginning_path, ignore_errors=True)
    home.incoming_path.rename(home.beginning_path)
    write_atomically(home.beginning_path / DESCRIPTION, description)
    with closing(LedgerStore(home.ledger_path, rulebook())) as store:
        try:
            begun, versions = _verified(home, store, described, trust, now_ms)
            LedgerSnapshots(store).write(
                begun,
                records_of(described, chunk_reader(home.beginning_path, described)),
                [_row(entry) for entry in versions.entries],
                _accepting(versions),
            )
        except (MalformedError, TrustError) as error:
            shutil.rmtree(home.beginning_path, ignore_errors=True)
            raise _refused(str(error)) from None
        except TrustPendingError:
            home.beginning_path.rename(home.incoming_path)
            raise
        except BaseException:
            shutil.rmtree(home.beginning_path, ignore_errors=True)
            raise
    _keep_only(home.beginning_path, described)
    log.info("ledger_begun", height=begun.height, size=begun.head.size)
    return begun


def _verified(
    home: Home, store: LedgerStore, described: Description, trust: bytes, now_ms: int
) -> tuple[Beginning, TrustFile]:
    """Return where a snapshot begins, and the versions of the trust file up to it, if both hold.

    Raises:
        MalformedError, TrustError, SnapshotError: they do not.
    """
    if (described.chain, described.genesis) != (store.chain, store.genesis_hash.hex()):
        raise _refused("it is of another zone")
    header = decode_header(described.header.encode())
    if header.time > now_ms + MAX_AHEAD_MS:
        raise _refused("it is dated more than 10 s ahead of this node's clock")
    known = longest_trust(home.read_trust(), TrustFile.parse(trust))
    # A version's own block is still signed by those who ordered in the version before.
    signing = [version for version in known.versions if version.height < header.height][-1].validators
    begun = verify_snapshot(described, chunk_reader(home.beginning_path, described))
    names = check_signatures(header, decode_signatures(begun.signatures), signing)
    if len(names) < quorum(len(signing)):
        raise _refused(f"its header is signed by {len(names)} of the {len(signing)} that order")
    return begun, _until(known, header.height)


def longest_trust(mine: TrustFile, theirs: TrustFile) -> TrustFile:
    """Return the longer of two trust files, if one is the beginning of the other.

    Raises:
        TrustError: they are of two zones, or of two histories of one.
    """
    if (mine.chain, mine.genesis) != (theirs.chain, theirs.genesis):
        raise TrustError("bad_link", "the trust file is of another zone")
    for one, other in zip(mine.versions, theirs.versions, strict=False):
        if one.hash != other.hash:
            raise TrustError("bad_link", f"version {one.number} is not the one in this node's trust file")
    return max(mine, theirs, key=lambda trust: len(trust.entries))


def _until(trust: TrustFile, height: int) -> TrustFile:
    return TrustFile(trust.chain, trust.genesis, [entry for entry in trust.entries if entry.height <= height])


def _accepting(versions: TrustFile) -> Callable[[Reader], None]:
    """Return what refuses records whose members are not those of the newest version."""

    def accept(reader: Reader) -> None:
        state, latest = State(reader), versions.latest
        now = {member.organisation: bytes.fromhex(member.key) for member in members(state)}
        ordering = [member.organisation for member in validators(state)]
        if now != dict(latest.members) or ordering != list(latest.validators):
            raise TrustPendingError(
                "a change of members is in the snapshot that too few members have signed in the trust file yet",
                remedy="Nothing is to be done: it is asked again in a moment.",
            )

    return accept


def _row(entry: TrustEntry) -> TrustRow:
    signatures = [(each.organisation, bytes.fromhex(each.signature)) for each in entry.signatures]
    return entry.version, encode_json(replace(entry, signatures=())), signatures


def chunk_reader(folder: Path, description: Description) -> Callable[[int], bytes]:
    """Return what reads a snapshot's chunks, each a file under its hash.

    Raises (what is returned):
        MalformedError: one is not there.
    """

    def read(index: int) -> bytes:
        try:
            return (folder / description.chunks[index]).read_bytes()
        except OSError:
            raise MalformedError(f"chunk {index} is not there") from None

    return read


def read_beginning(folder: Path) -> tuple[Beginning, Iterator[Record]]:
    """Return where the snapshot in a folder begins, and its records, compared with its header; for the checker.

    Raises:
        MalformedError: it does not hold together.
    """
    try:
        described = decode_description((folder / DESCRIPTION).read_bytes())
    except OSError:
        raise MalformedError("its description is not there") from None
    chunks = chunk_reader(folder, described)
    return verify_snapshot(described, chunks), records_of(described, chunks)


def _keep_only(folder: Path, description: Description) -> None:
    """Remove chunks of other snapshots that were collected before."""
    wanted = {DESCRIPTION, *description.chunks}
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()


def tidy(home: Home, store: LedgerStore) -> None:
    """Remove what a crash, or the last of the older blocks, has left useless."""
    if store.base is None:
        for folder in (home.beginning_path, home.older_path):
            shutil.rmtree(folder, ignore_errors=True)
    if store.last_block() is not None:
        shutil.rmtree(home.incoming_path, ignore_errors=True)


def _refused(why: str) -> SnapshotError:
    return SnapshotError(f"a snapshot was refused: {why}", remedy="Nothing is to be done: another node is asked.")
