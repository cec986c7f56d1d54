"""Disks that fail: what cannot be written is refused in clear words, nothing is recorded half, and it goes on after.

A real file system of a few MiB is filled up under a running core. After each fault the checker judges the home. Both
kinds of failing writes are tried: those of which nothing was kept, and those that were kept though nobody heard of it.
"""

import random
import secrets
import shutil
import sqlite3
from contextlib import asynccontextmanager

import pytest

from tallystick.errors import NodeError, RejectedError, StorageError
from tallystick.machine import build_transaction
from tallystick.merkle import EMPTY_ROOT
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.node.core import Core, now_ms
from tallystick.node.homes import Home, create_zone, open_keys
from tallystick.node.inspection import check
from tallystick.store import LedgerStore
from tests.support.disks import mounted_disk
from tests.support.nodes import PASSPHRASE, until

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path):
    """A disk of 8 MiB."""
    with mounted_disk(tmp_path / "disk", 8) as made:
        yield made


def new_home(folder):
    return create_zone(
        folder,
        name="Test Zone",
        organisation="city-hospital",
        organisation_name="City Hospital",
        passphrase=PASSPHRASE,
        created_ms=now_ms(),
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A fresh home and its keys; not to be changed."""
    home = new_home(tmp_path_factory.mktemp("model") / "home")
    return home, open_keys(home, PASSPHRASE)


def copied(model, folder):
    return Home(shutil.copytree(model[0].path, folder))


@asynccontextmanager
async def running(home, keys):
    """Yield a core of a home."""
    core = Core(home, keys.signer("system"))
    await core.start()
    try:
        yield core
    finally:
        await core.stop()


def transaction(core, keys, count=1):
    """Return a signed transaction of some evidence; its author has seen the empty history."""
    return build_transaction(
        [RecordEvidence(root=secrets.token_hex(32), count=1) for _ in range(count)],
        organisation="city-hospital",
        key=keys.signer("service").public_key,
        sign=keys.signer("service").sign,
        external_aad=core.store.genesis_hash,
        expires=now_ms() + 600_000,
        nonce=secrets.token_hex(16),
        seen_size=0,
        seen_root=EMPTY_ROOT,
        atomic=True,
    )


async def fill(core, keys, most=400):
    """Record until the disk refuses; return what was acknowledged, and the refusal."""
    done = []
    for _ in range(most):
        raw = transaction(core, keys, 20)
        try:
            done.append(await core.engine.submit(raw))
        except StorageError as error:
            return done, raw, error
    raise AssertionError("the disk never filled up")


def assert_has(home, done):
    """The checker finds nothing, and everything acknowledged is where it was said to be."""
    report = check(home.path)
    assert report.ok, report.findings
    store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
    for item in done:
        height, first_leaf, _ = store.find_transaction(item.id)
        assert (item.height, item.first_leaf) == (height, first_leaf)
    store.close()
    return report


async def test_full_disk_refuses_and_goes_on_when_there_is_room(model, disk):
    """The core says what is wrong and what helps; nothing is half recorded; the same bytes are recorded once later."""
    home, keys = copied(model, disk.path / "home"), model[1]
    async with running(home, keys) as core:
        first = [await core.engine.submit(transaction(core, keys))]
        disk.leave(MIB)
        done, refused, error = await fill(core, keys)
        assert "ledger.db" in error.message
        assert "full" in error.message
        assert "Free disk space" in error.remedy
        height = core.state.height
        # It goes on refusing, and answering.
        for _ in range(3):
            with pytest.raises(StorageError):
                await core.engine.submit(transaction(core, keys, 20))
        assert height == core.state.height == core.store.last_block().height
        disk.empty()
        assert check(home.path).ok
        again = await core.engine.submit(refused)
        assert height + 1 == again.height
        with pytest.raises(RejectedError, match="accepted"):
            await core.engine.submit(refused)
        everything = [*first, *done, again, await core.engine.submit(transaction(core, keys))]
        # Tiles and checkpoint, which may have failed as well, follow by themselves.
        size = core.store.last_block().size
        await until(lambda: published(home) == size, "the checkpoint")
    report = assert_has(home, everything)
    assert size == report.operations


async def test_core_killed_on_a_full_disk_starts_again(model, disk):
    """Whatever moment a full disk and a kill leave, the ledger is whole and starts once there is room."""
    home, keys = copied(model, disk.path / "home"), model[1]
    async with running(home, keys) as core:
        disk.leave(MIB)
        done, _, _ = await fill(core, keys)
        left = shutil.copytree(home.path, disk.path.parent / "left", ignore=shutil.ignore_patterns("*-shm", "*.sock"))
    killed = Home(left)
    assert_has(killed, done)
    async with running(killed, keys) as core:
        assert done[-1].height == core.state.height
        done.append(await core.engine.submit(transaction(core, keys)))
    assert_has(killed, done)


async def test_full_disk_at_start_is_told_in_clear_words(model, disk):
    """A core that cannot even open its files says so; it is no damage, and with room it starts."""
    home, keys = copied(model, disk.path / "home"), model[1]
    async with running(home, keys) as core:
        done = [await core.engine.submit(transaction(core, keys, 300))]
    shutil.rmtree(home.log_path)
    disk.leave(0)
    with pytest.raises(NodeError) as refused:
        Core(home, keys.signer("system"))
    assert str(home.path) in refused.value.message
    assert "disk space" in refused.value.remedy
    disk.empty()
    async with running(home, keys) as core:
        done.append(await core.engine.submit(transaction(core, keys)))
        await until(lambda: published(home), "the checkpoint")
    assert_has(home, done)


async def test_full_disk_under_the_log_alone_stops_no_block(model, tmp_path):
    """Tiles are derived: where only they cannot be written, blocks go on, and the tiles are written later."""
    home, keys = copied(model, tmp_path / "home"), model[1]
    shutil.rmtree(home.log_path)
    with mounted_disk(home.log_path, 1) as disk:
        async with running(home, keys) as core:
            disk.leave(8_192)
            done = [await core.engine.submit(transaction(core, keys, 200)) for _ in range(4)]
            await until(lambda: core.tiles.broken, "the tiles to fail")
            done.append(await core.engine.submit(transaction(core, keys, 200)))
            disk.empty()
            await until(lambda: published(home) == 1_000, "the checkpoint of all")
        report = assert_has(home, done)
        assert 1_000 == report.operations


# --- failing writes --------------------------------------------------------------------------------------------------


class Failing:
    """A connection on which the COMMIT of one block is answered by an error.

    Attributes:
        kept: whether it is carried out first, and only the answer lost.
    """

    def __init__(self, connection, kept):
        self._connection, self.kept = connection, kept
        self.block = self.failed = False

    def execute(self, statement, *parameters):
        self.block = self.block or statement.startswith("INSERT INTO blocks")
        if statement == "COMMIT" and self.block and not self.failed:
            self.failed = True
            if self.kept:
                self._connection.execute(statement)
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name):
        return getattr(self._connection, name)


@pytest.mark.parametrize("kept", [False, True])
async def test_failed_commit_is_recorded_once_or_not_at_all(model, tmp_path, kept):
    """What was kept is acknowledged, what was not is refused; sent again, it is on the ledger exactly once."""
    home, keys = copied(model, tmp_path / "home"), model[1]
    async with running(home, keys) as core:
        done = [await core.engine.submit(transaction(core, keys))]
        core.store._connection = Failing(core.store._connection, kept)
        raw = transaction(core, keys)
        first = await settle(core, raw)
        assert core.store._connection.failed
        assert_has(home, done)
        if kept:
            done.append(first)
        else:
            assert "disk I/O error" in first.message
            assert [(1,)] == core.store.query("SELECT count(*) FROM transactions")
        again = await settle(core, raw)
        if kept:
            assert "repeated" == again.name
        else:
            done.append(again)
        done.append(await core.engine.submit(transaction(core, keys)))
        assert [1, 2, 3] == [item.height for item in done]
    assert 3 == assert_has(home, done).operations


async def settle(core, raw):
    """Send a transaction again, as a client that was not answered does; return what it is told."""
    try:
        return await core.engine.submit(raw)
    except (NodeError, RejectedError) as error:
        return error


async def test_file_that_may_not_grow_refuses_and_goes_on(model, tmp_path):
    """A ledger that has reached the size that its file system allows: the same as a full disk."""
    home, keys = copied(model, tmp_path / "home"), model[1]
    async with running(home, keys) as core:
        (pages,) = core.store._connection.execute("PRAGMA page_count").fetchone()
        core.store._connection.execute(f"PRAGMA max_page_count = {pages + 40}")
        done, refused, error = await fill(core, keys)
        assert "full" in error.message
        core.store._connection.execute("PRAGMA max_page_count = 1000000")
        done.append(await core.engine.submit(refused))
    assert_has(home, done)


# --- torn writes -----------------------------------------------------------------------------------------------------


async def killed_home(model, folder):
    """Return a home as a killed core leaves it, with its last blocks in the write-ahead log, and their heights."""
    home, keys = copied(model, folder / "home"), model[1]
    async with running(home, keys) as core:
        done = [await core.engine.submit(transaction(core, keys)) for _ in range(12)]
        left = shutil.copytree(home.path, folder / "left", ignore=shutil.ignore_patterns("*-shm", "*.sock", "log"))
    return Home(left), done


async def test_torn_end_of_the_write_ahead_log_leaves_whole_blocks(model, tmp_path):
    """However much of the last writes reached the disk, what is left is a ledger of whole blocks that goes on."""
    home, done = await killed_home(model, tmp_path)
    keys = model[1]
    wal = home.path / "ledger.db-wal"
    whole = wal.read_bytes()
    frames = (len(whole) - 32) // 4_120
    draw = random.Random(8)
    heights = set()
    for number in range(24):
        keep = 32 + 4_120 * draw.randrange(frames) + draw.randrange(4_120)
        tail = (b"", bytes(4_120), draw.randbytes(9_000))[number % 3]
        wal.write_bytes(whole[:keep] + tail)
        (home.path / "ledger.db-shm").unlink(missing_ok=True)
        report = check(home.path)
        assert report.ok, report.findings
        heights.add(report.blocks)
        (home.path / "ledger.db-shm").unlink(missing_ok=True)
    assert len(heights) > 4
    assert max(heights) <= done[-1].height
    wal.write_bytes(whole[: len(whole) - 100])
    (home.path / "ledger.db-shm").unlink(missing_ok=True)
    async with running(home, keys) as core:
        before = core.state.height
        again = await core.engine.submit(transaction(core, keys))
        assert before + 1 == again.height
    assert_has(home, [again])


async def test_orderer_whose_disk_lost_what_it_published_signs_nothing(model, tmp_path):
    """Where the log is longer than the ledger, blocks were lost that others may have: it waits for the witnesses."""
    home, keys = copied(model, tmp_path / "home"), model[1]
    async with running(home, keys) as core:
        done = [await core.engine.submit(transaction(core, keys)) for _ in range(6)]
        await until(lambda: published(home) == 6, "the checkpoint")
        left = Home(shutil.copytree(home.path, tmp_path / "left", ignore=shutil.ignore_patterns("*-shm", "*.sock")))
    wal = left.path / "ledger.db-wal"
    with wal.open("r+b") as file:
        file.truncate(wal.stat().st_size // 2)
    report = check(left.path)
    assert "log/checkpoint" in [finding.place for finding in report.findings]
    async with running(left, keys) as core:
        assert 0 < core.state.height < done[-1].height
        assert left.is_restored
        with pytest.raises(NodeError, match="older than what it published"):
            core.engine.submit(transaction(core, keys))
    async with running(left, keys) as core:
        # Starting again does not make it forget.
        with pytest.raises(NodeError, match="older than what it published"):
            core.engine.submit(transaction(core, keys))


def published(home):
    """Return the size that the checkpoint in a home's log names, or None."""
    path = home.log_path / "checkpoint"
    return int(path.read_text().split("\n")[1]) if path.exists() else None
