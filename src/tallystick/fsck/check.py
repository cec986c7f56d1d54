"""`check_home`: all checks of one node's home, in the order in which each needs the one before."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import msgspec

from tallystick.codec import MalformedError, decode_json, sha256
from tallystick.errors import TallystickError
from tallystick.fsck.began import SnapshotReader, check_meta, read_began
from tallystick.fsck.blocks import Replay
from tallystick.fsck.membership import ORGANISATIONS, MembershipReader, Succession
from tallystick.fsck.replayed import Replayed
from tallystick.fsck.report import Cell, DamageError, Finding, Notes, Progress, Report, damage, difference, is_same
from tallystick.fsck.signed import (
    check_checkpoints,
    check_cosignatures,
    check_forks,
    check_genesis_file,
    check_trust,
    check_trust_file,
    is_first_version_signed,
    read_trust,
)
from tallystick.fsck.source import COLUMNS, LedgerFile, as_bytes
from tallystick.fsck.tiles import LogChecker
from tallystick.fsck.wal import find_damage
from tallystick.machine import Rulebook, State
from tallystick.proofs.headers import decode_header
from tallystick.proofs.trust import TrustFile
from tallystick.store.base import BASE_ROWS, BEGAN
from tallystick.store.schema import FORMAT_VERSION

GenesisRecords = Callable[[bytes], list[tuple[str, str, bytes]]]
"""Returns the records that a genesis brings, in the order in which a new ledger is given them."""

# What reading arbitrary bytes may lead to in places that were not foreseen. The checker answers, whatever it is given.
_UNFORESEEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    TallystickError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
    sqlite3.Error,
)


def check_home(
    home: Path,
    rulebook: Rulebook,
    genesis_records: GenesisRecords,
    progress: Progress | None = None,
    *,
    membership: MembershipReader = ORGANISATIONS,
    snapshot: SnapshotReader | None = None,
) -> Report:
    """Check a node's home, or a copy of a `ledger.db` alone; never raises on what is in them.

    Args:
        home: the folder, with `ledger.db` and, where they are there, `zone.json` and `log/`; or a ledger file.
        rulebook: the operations.
        genesis_records: gives the records of a genesis; raises on what is none.
        progress: told of blocks replayed, and of all.
        membership: reads from a state who speaks for the zone.
        snapshot: reads the snapshot that a copy began from, as long as older blocks are missing.

    Returns:
        what was found; `ok` is true only if all of it was looked at and holds.
    """
    notes = Notes()
    try:
        _Check(home, rulebook, genesis_records, membership, notes, snapshot).run(progress)
    except DamageError as error:
        notes.add(error.finding)
        notes.complete = False
    except _UNFORESEEN as error:
        notes.say("ledger.db", f"the check cannot go on: {type(error).__name__}")
        notes.complete = False
    return notes.report()


class _Check:
    """The state of one check."""

    def __init__(
        self,
        home: Path,
        rulebook: Rulebook,
        genesis_records: GenesisRecords,
        membership: MembershipReader,
        notes: Notes,
        snapshot: SnapshotReader | None,
    ) -> None:
        alone = home.is_file()
        self.path = home if alone else home / "ledger.db"
        self.home = None if alone else home
        self.rulebook = rulebook
        self.genesis_records = genesis_records
        self.membership = membership
        self.notes = notes
        self.snapshot = snapshot
        self.extra: dict[Cell, Cell] = {}

    def run(self, progress: Progress | None) -> None:
        """Check everything.

        Raises:
            DamageError: a finding that stops the check.
        """
        notes = self.notes
        log: LogChecker | None = None
        trust: TrustFile | None = None
        if self.home is not None:
            # Both are written after the ledger, so they are read before it.
            trust = read_trust(self.home / "zone.json", notes)
            if (self.home / "log").is_dir():
                log = LogChecker(self.home / "log", notes)
        file = LedgerFile(self.path)
        try:
            try:
                self._content(file, trust, log, progress)
            finally:
                self._pages(file)
        finally:
            file.close()

    def _pages(self, file: LedgerFile) -> None:
        """Check what is under the tables, after them: rows and columns say more than pages do."""
        try:
            file.check_pages(self.notes)
        except DamageError as error:
            self.notes.add(error.finding)
        wal = self.path.with_name(self.path.name + "-wal")
        what = find_damage(wal)
        if what is not None:
            self.notes.say(wal.name, what)

    def _content(
        self, file: LedgerFile, trust: TrustFile | None, log: LogChecker | None, progress: Progress | None
    ) -> None:
        notes = self.notes
        _check_format(file)
        file.check_schema(self.rulebook.collections.values(), notes)
        meta = self._meta(file)
        genesis, chain = meta["genesis"].encode("utf-8", "surrogateescape"), meta["chain"]
        records = self._genesis_records(genesis)
        replayed = Replayed(records)
        try:
            succession = self._founders(chain, sha256(genesis), replayed)
            self._check_genesis(file, genesis, chain, succession, trust)
            began = read_began(file, self.extra, self.home, self.snapshot, succession)
            if began is not None:
                replayed.close()
                replayed = Replayed(began.records)
                succession.skip_to(began.trust)
            replay = Replay(
                file,
                self.rulebook,
                chain=chain,
                genesis_hash=sha256(genesis),
                replayed=replayed,
                succession=succession,
                membership=self.membership,
                log=log,
                notes=notes,
            )
            notes.records = len(replayed)
            if began is not None:
                replay.begin(began)
            replay.run(progress)
            self._after_replay(file, replay, trust, log)
        finally:
            replayed.close()

    def _after_replay(self, file: LedgerFile, replay: Replay, trust: TrustFile | None, log: LogChecker | None) -> None:
        """Check what can be judged once the whole history is known; each part stands alone."""
        notes, replayed, succession = self.notes, replay.replayed, replay.succession
        parts: tuple[Callable[[], object], ...] = (
            lambda: _check_records(file, replayed, notes, renumbered=BEGAN in self.extra and not notes.begun),
            lambda: check_trust(file, succession, replay.state.height, notes),
            lambda: check_checkpoints(file, succession, replayed, notes),
            lambda: check_cosignatures(file, succession, replayed, notes),
            lambda: check_forks(file, succession, notes),
            lambda: check_trust_file(trust, succession, notes),
            lambda: _check_log(log, file, succession, replayed, notes),
            lambda: self._check_invariants(replayed),
        )
        for part in parts:
            try:
                part()
            except DamageError as error:
                notes.add(error.finding)
                notes.complete = False

    # --- what the file says it is ------------------------------------------------------------------------------------

    def _meta(self, file: LedgerFile) -> dict[str, str]:
        """Return format, chain and genesis.

        Raises:
            DamageError: one is missing, or the format is another.
        """
        found = {}
        extra: dict[Cell, Cell] = {}
        for name, value in file.rows("meta"):
            if name in ("format", "chain", "genesis") and isinstance(name, str):
                if not isinstance(value, str):
                    raise damage(f"meta row {name}: column value", "not a text")
                found[name] = value
            else:
                extra[name] = value
        for name in ("format", "chain", "genesis"):
            if name not in found:
                odd = next((each for each in extra if each not in BASE_ROWS), None)
                raise damage(f"meta row {name}: column name", "it is missing", name, odd)
        check_meta(extra, self.notes)
        self.extra = extra
        if found["format"] != str(FORMAT_VERSION):
            raise damage("meta row format: column value", "another format", str(FORMAT_VERSION), found["format"])
        return found

    def _genesis_records(self, genesis: bytes) -> list[tuple[str, str, bytes]]:
        try:
            return self.genesis_records(genesis)
        except _UNFORESEEN as error:
            raise damage("meta row genesis: column value", f"not a genesis: {error}") from None

    def _founders(self, chain: str, genesis_hash: bytes, replayed: Replayed) -> Succession:
        try:
            return Succession(chain, genesis_hash, self.membership.read(State(replayed)))
        except _UNFORESEEN as error:
            raise damage("meta row genesis: column value", f"not the beginning of a zone: {error}") from None

    def _check_genesis(
        self, file: LedgerFile, genesis: bytes, chain: str, succession: Succession, trust: TrustFile | None
    ) -> None:
        """Check that somebody vouches for the genesis, before everything is judged by it.

        Raises:
            DamageError: those who could know a genesis know another one, or it names another chain.
        """
        identity = sha256(genesis)
        witnesses = [trust.genesis == identity] if trust is not None else []
        for (signed,) in file.select("trust", "SELECT count(*) FROM trust_signatures NOT INDEXED WHERE version = 1"):
            if signed:
                witnesses.append(is_first_version_signed(file, succession))
        for (header,) in file.select("blocks", "SELECT header FROM blocks NOT INDEXED WHERE height = 1"):
            try:
                witnesses.append(decode_header(as_bytes(header)).previous == identity.hex())
            except (MalformedError, TypeError):
                continue
        if witnesses and not any(witnesses):
            raise damage("meta row genesis: column value", "this zone began with another genesis")
        try:
            content = decode_json(genesis)
            named = content.get("chain") if isinstance(content, dict) else None
        except MalformedError as error:
            raise damage("meta row genesis: column value", f"not canonical: {error.reason}") from None
        if not isinstance(named, str):
            raise damage("meta row genesis: column value", "it names no chain")
        if named != chain:
            raise damage("meta row chain: column value", "not the chain that the genesis names", named, chain)
        if self.home is not None:
            check_genesis_file(self.home / "genesis.json", genesis, self.notes)

    def _check_invariants(self, replayed: Replayed) -> None:
        """Ask every module whether its rules hold in the state at the end."""
        state = State(replayed)
        for module in self.rulebook.modules:
            for check in module.invariants:
                for sentence in check(state):
                    self.notes.add(Finding(f"invariants of {module.name}", "", "", sentence))


def _check_format(file: LedgerFile) -> None:
    """Tell of a file of an older format before its tables are found to be other ones.

    Raises:
        DamageError: it is one.
    """
    try:
        found = [row[0] for row in file.select("meta", "SELECT value FROM meta NOT INDEXED WHERE name = 'format'")]
    except DamageError:
        # What the schema is says more.
        return
    if found == ["1"]:
        what = "an older format; start the node once (tally node run), it converts the file, then check again"
        raise damage("meta row format: column value", what, str(FORMAT_VERSION), "1")


def _check_records(file: LedgerFile, replayed: Replayed, notes: Notes, *, renumbered: bool = False) -> None:
    """Compare the records of the file with those of replay, row by row, both ways.

    Args:
        file: the ledger.
        replayed: what replay gives.
        notes: takes what is found.
        renumbered: the rows of a copy that began from a snapshot have numbers of their own; they are compared by place.
    """
    if renumbered:
        _check_records_by_place(file, replayed, notes)
        return
    rows = file.rows("records")
    found = next(rows, None)
    for number, *rest in replayed.rows():
        expected: tuple[Cell, ...] = (number, *rest)
        while found is not None and (not isinstance(found[0], int) or found[0] < number):
            notes.say(f"records row {found[0]!a}: column id", "replay gives no such row")
            found = next(rows, None)
        place = f"records row {number} ({rest[0]}/{rest[1]})"
        if found is None or found[0] != number:
            notes.say(f"{place}: column id", "it is missing")
            continue
        for column, mine, theirs in zip(COLUMNS["records"], expected, found, strict=True):
            if not is_same(mine, theirs):
                notes.add(difference(f"{place}: column {column}", "not what replay gives", mine, theirs))
        found = next(rows, None)
    while found is not None and notes.complete:
        notes.say(f"records row {found[0]!a}: column id", "replay gives no such row")
        found = next(rows, None)


def _check_records_by_place(file: LedgerFile, replayed: Replayed, notes: Notes) -> None:
    statement = "SELECT collection, key, value FROM records NOT INDEXED ORDER BY collection, key"
    rows = file.select("records", statement)
    for expected, found in zip_longest(replayed.sorted_rows(), rows):
        if expected is None or found is None or not all(map(is_same, expected, found)):
            collection, key = (expected if expected is not None else found)[:2]
            notes.say(f"records ({collection!s}/{key!s})", "not what replay gives")
            if expected is None or found is None or expected[:2] != found[:2]:
                return


def _check_log(
    log: LogChecker | None, file: LedgerFile, succession: Succession, replayed: Replayed, notes: Notes
) -> None:
    """Finish the check of `log/`, where there is one."""
    if log is None:
        return
    log.finish(succession, replayed)
    for (kept,) in file.select("checkpoints", "SELECT count(*) FROM checkpoints NOT INDEXED"):
        # The first checkpoint may be kept and not written yet; with the second, the first was.
        if isinstance(kept, int) and kept > 1 and not log.has_checkpoint:
            notes.say("log/checkpoint", "it is missing")
