"""Backups: whole or refused by name, restored whole or not at all, and no second history after a restore."""

import asyncio
import random
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from contextlib import closing

import pytest

from tallystick.errors import AccessError, IntegrityError, NodeError, PeerError, StorageError, UsageError
from tallystick.ledger import Ledger
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.node.backup import backup, restore
from tallystick.node.core import Core, now_ms
from tallystick.node.homes import Home, create_zone, open_keys
from tallystick.node.inspection import check
from tallystick.ordering.link import LinkClient
from tallystick.store import LedgerStore
from tests.support.damage import flipped
from tests.support.disks import mounted_disk
from tests.support.nodes import PASSPHRASE as NODE_PASSPHRASE
from tests.support.nodes import RunningNode, running_zone, until, wait_for
from tests.support.older_ledgers import make_old

PASSPHRASE = "another horse entirely"
ORGANISATION = "city-hospital"
REFUSALS = (AccessError, IntegrityError)


def evidence():
    return RecordEvidence(root=secrets.token_hex(32), count=1)


def door(home, keys, ordering):
    """Return the ledger of a home, read from its file, written through whatever takes transactions."""
    return Ledger(
        LedgerStore(home.ledger_path, rulebook(), read_only=True),
        ordering,
        organisation=home.settings.node.organisation,
        signer=keys.signer,
        tiles=lambda _: None,
        trust=home.read_trust,
        clock_ms=now_ms,
    )


class Running:
    """A core in this process, with a client on its socket."""

    def __init__(self, home, keys):
        self.home, self.keys = home, keys

    async def __aenter__(self):
        self.core = Core(self.home, self.keys.signer("system"))
        await self.core.start()
        self.client = LinkClient(self.home.socket_path)
        self.ledger = door(self.home, self.keys, self.client)
        return self

    async def __aexit__(self, *_):
        self.ledger.store.close()
        await self.client.close()
        await self.core.stop()


@pytest.fixture(scope="module")
def zone(tmp_path_factory):
    """The home of a zone of one with a few blocks, and its keys; not to be changed."""
    home = create_zone(
        tmp_path_factory.mktemp("zone") / "home",
        name="Test Zone",
        organisation=ORGANISATION,
        organisation_name="City Hospital",
        passphrase=NODE_PASSPHRASE,
        created_ms=now_ms(),
    )
    keys = open_keys(home, NODE_PASSPHRASE)

    async def record():
        async with Running(home, keys) as running:
            for _ in range(5):
                await running.ledger.submit([evidence()])
            published = home.log_path / "checkpoint"
            await until(lambda: published.exists() and "5" in published.read_text().split("\n"), "the checkpoint")

    asyncio.run(record())
    return home, keys


@pytest.fixture(scope="module")
def small(zone, tmp_path_factory):
    """A backup of it, of which passphrases are cheap to try."""
    return backup(zone[0], tmp_path_factory.mktemp("small") / "zone.backup", PASSPHRASE, scrypt_n=2).path


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copy(small, tmp_path / "copy.backup")


def assert_nothing_restored(folder):
    """Nothing is there but the files of the test itself."""
    assert [] == [path.name for path in folder.iterdir() if path.is_dir()]


def test_restored_home_is_the_one_that_was_backed_up(zone, small, tmp_path):
    """Ledger, keys, trust file and configuration are back, checked, and marked as restored; the log is made anew."""
    restored = restore(small, tmp_path / "back", PASSPHRASE)
    home, back = zone[0], restored.home
    assert (5, 5) == (restored.height, restored.operations)
    assert back.is_restored
    report = check(back.path)
    assert report.ok, report.findings
    for name in ("zone.json", "genesis.json", "tally.toml", "log/checkpoint"):
        assert (home.path / name).read_bytes() == (back.path / name).read_bytes()
    assert {key.public for key in home.key_store.list()} == {key.public for key in back.key_store.list()}
    for name in ("", "keys", "outbox", *(f"keys/{path.name}" for path in home.keys_path.iterdir())):
        assert (home.path / name).stat().st_mode == (back.path / name).stat().st_mode, name
    assert b"SQLite format" not in small.read_bytes()
    assert ORGANISATION.encode() not in small.read_bytes()
    assert 0o600 == small.stat().st_mode & 0o777


def test_backup_of_an_earlier_version_is_restored_in_this_ones_format(zone, tmp_path):
    """A file of format 1 comes out of its backup as it went in, is converted, checked, and ordered on."""
    old = shutil.copytree(zone[0].path, tmp_path / "old", ignore=shutil.ignore_patterns("*.sock"))
    make_old(old / "ledger.db", rulebook())
    with pytest.raises(StorageError, match="its format is 1"):
        LedgerStore(old / "ledger.db", rulebook(), read_only=True)
    made = backup(Home(old), tmp_path / "old.backup", PASSPHRASE, scrypt_n=2).path
    restored = restore(made, tmp_path / "back", PASSPHRASE)
    assert (5, 5) == (restored.height, restored.operations)
    report = check(restored.home.path)
    assert report.ok, report.findings

    async def record():
        restored.home.clear_restored()
        async with Running(restored.home, open_keys(restored.home, NODE_PASSPHRASE)) as running:
            return await running.ledger.submit([evidence()])

    assert 6 == asyncio.run(record()).height


@pytest.mark.parametrize("passphrase", ["caf\u00e9 on the corner", "bytes \udcff that are no text"])
def test_any_passphrase_opens_what_it_sealed(zone, tmp_path, passphrase):
    """What a terminal hands over, text in either of its Unicode forms or bytes that are no text, opens the backup."""
    made = backup(zone[0], tmp_path / "zone.backup", passphrase, scrypt_n=2).path
    opened = unicodedata.normalize("NFD", passphrase)
    assert 5 == restore(made, tmp_path / "back", opened).height


def test_any_changed_byte_is_refused(copy, tmp_path):
    """Every byte of the head, and bytes all over the rest: refused by name, and nothing is restored."""
    size = copy.stat().st_size
    draw = random.Random(1)
    for at in (*range(160), *(draw.randrange(160, size) for _ in range(600)), size - 1):
        with flipped(copy, at, draw.choice((1, 2, 64, 128))):
            with pytest.raises(REFUSALS) as refused:
                restore(copy, tmp_path / "back", PASSPHRASE)
            assert "backup" in refused.value.message, at
            assert refused.value.remedy
    assert_nothing_restored(tmp_path)
    restore(copy, tmp_path / "back", PASSPHRASE)


def test_other_lengths_are_refused(copy, tmp_path):
    """A backup cut anywhere, at the borders of its segments too, or with something behind it, is refused."""
    whole = copy.read_bytes()
    start = len(whole) % (65_536 + 16)
    borders = [*range(start, len(whole), 65_552), *range(start - 16, len(whole), 65_552)]
    for cut in (0, 1, 20, 21, 25, 100, *borders, len(whole) - 17, len(whole) - 16, len(whole) - 1):
        copy.write_bytes(whole[: max(0, cut)])
        with pytest.raises(REFUSALS):
            restore(copy, tmp_path / "back", PASSPHRASE)
    for more in (b"\x00", whole[-16:], whole[-65_552:], whole):
        copy.write_bytes(whole + more)
        with pytest.raises(REFUSALS):
            restore(copy, tmp_path / "back", PASSPHRASE)
    assert_nothing_restored(tmp_path)


def test_segments_in_another_order_are_refused(copy, tmp_path):
    """Each segment is bound to its place."""
    whole = copy.read_bytes()
    head = 21 + 4 + int.from_bytes(whole[21:25], "big")
    segments = [whole[at : at + 65_552] for at in range(head, len(whole), 65_552)]
    assert 3 == len(segments)
    for order in ([1, 0, 2], [0, 2, 1], [0, 1, 1, 2], [0, 1, 2, 1], [0, 2]):
        copy.write_bytes(whole[:head] + b"".join(segments[number] for number in order))
        with pytest.raises(REFUSALS):
            restore(copy, tmp_path / "back", PASSPHRASE)
    assert_nothing_restored(tmp_path)


def test_wrong_passphrase_and_other_files_are_refused(zone, small, tmp_path):
    """What does not open, what is no backup, what is not there and what is taken: each with its own words."""
    with pytest.raises(AccessError, match="passphrase does not open"):
        restore(small, tmp_path / "back", PASSPHRASE + "!")
    draw = random.Random(2)
    for name, data in (("random", draw.randbytes(5_000)), ("ledger", zone[0].ledger_path.read_bytes()), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(IntegrityError, match="is not a backup"):
            restore(tmp_path / name, tmp_path / "back", PASSPHRASE)
    with pytest.raises(StorageError, match="there is no file"):
        restore(tmp_path / "nothing", tmp_path / "back", PASSPHRASE)
    assert_nothing_restored(tmp_path)
    with pytest.raises(UsageError, match="there already"):
        restore(small, zone[0].path, PASSPHRASE)
    with pytest.raises(UsageError, match="there already"):
        backup(zone[0], small, PASSPHRASE)
    with pytest.raises(NodeError):
        backup(zone[0], tmp_path / "weak", "short")


async def test_backup_of_a_running_node_is_of_one_moment(zone, tmp_path):
    """Backups taken while blocks are being written restore to a ledger that the checker accepts, whole blocks only."""
    home = Home(shutil.copytree(zone[0].path, tmp_path / "home"))
    acknowledged = []
    async with Running(home, zone[1]) as running:

        async def write():
            while True:
                acknowledged.append((await running.ledger.submit([evidence(), evidence()])).height)

        writers = [asyncio.create_task(write()) for _ in range(4)]
        made = []
        for number in range(4):
            before = max(acknowledged, default=5)
            file = tmp_path / f"{number}.backup"
            made.append((before, await asyncio.to_thread(backup, home, file, PASSPHRASE, scrypt_n=2)))
            await until(lambda reached=made[-1][1].height: max(acknowledged, default=0) > reached, "further blocks")
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
    assert not list(home.path.glob(".backup-*"))
    for number, (before, file) in enumerate(made):
        assert file.height >= before
        restored = restore(file.path, tmp_path / f"back-{number}", PASSPHRASE)
        assert file.height == restored.height
        assert check(restored.home.path).ok


# --- the middle of a restore -----------------------------------------------------------------------------------------

_RESTORE = """
import sys
from pathlib import Path
from tallystick.node.backup import restore
print("ready", flush=True)
sys.stdin.readline()
restore(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
print("done", flush=True)
"""


def test_killed_restore_leaves_no_home_and_the_next_one_cleans_up(small, tmp_path):
    """After kill -9 at any moment the home is whole or not there; what was half made goes with the next restore."""
    target = tmp_path / "back"
    draw = random.Random(3)
    killed = 0
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", _RESTORE, str(small), str(target), PASSPHRASE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert b"ready\n" == process.stdout.readline()
        process.stdin.write(b"go\n")
        process.stdin.flush()
        time.sleep(draw.uniform(0, 0.12))
        process.send_signal(signal.SIGKILL)
        done = b"done" in process.stdout.read()
        process.wait()
        process.stdin.close()
        process.stdout.close()
        if target.exists():
            assert Home(target).is_restored
            assert check(target).ok
            shutil.rmtree(target)
        else:
            assert not done
            killed += 1
    assert killed
    restore(small, target, PASSPHRASE)
    assert ["back"] == [path.name for path in tmp_path.iterdir()]


def test_two_restores_at_once_do_not_take_each_other_for_dead(small, tmp_path):
    """What another process is still making is not cleaned away; one of them gets the name."""
    outcomes = []

    def run():
        try:
            outcomes.append(restore(small, tmp_path / "back", PASSPHRASE))
        except NodeError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [outcome for outcome in outcomes if isinstance(outcome, NodeError)]
    assert all(isinstance(error, (StorageError, UsageError)) for error in refused), refused
    assert 2 == len(refused)
    assert check(tmp_path / "back").ok
    assert ["back"] == [path.name for path in tmp_path.iterdir()]


# --- no second history -----------------------------------------------------------------------------------------------


async def test_restored_orderer_signs_nothing_until_it_is_released(zone, small, tmp_path):
    """Held, it refuses with the reason, and makes no heartbeat either, though one is long due; released, it goes on."""
    home = restore(small, tmp_path / "back", PASSPHRASE).home
    later = {"now": now_ms() + 3_600_000}
    core = Core(home, zone[1].signer("system"), clock_ms=lambda: later["now"])
    await core.start()
    client = LinkClient(home.socket_path)
    ledger = door(home, zone[1], client)
    try:
        with pytest.raises(PeerError, match="restored from a backup") as refused:
            await ledger.submit([evidence()])
        assert "witness" in refused.value.message
        await asyncio.sleep(0.3)
        status = await client.ask("status")
        assert (True, 5) == (status["held"], status["height"])
        await client.ask("release")
        assert not home.is_restored
        await until(lambda: core.state.height > 5, "the heartbeat")
    finally:
        ledger.store.close()
        await client.close()
        await core.stop()
    assert check(home.path).ok


def submit(node, count=1):
    """Record evidence at an orderer's node, and return the height of the last block that holds some."""

    async def run():
        client = LinkClient(node.home.socket_path)
        ledger = door(node.home, open_keys(node.home, NODE_PASSPHRASE), client)
        try:
            return [(await ledger.submit([evidence()])).height for _ in range(count)][-1]
        finally:
            ledger.store.close()
            await client.close()

    return asyncio.run(run())


def reading(node):
    return closing(LedgerStore(node.home.ledger_path, rulebook(), read_only=True))


def last_height(node):
    with reading(node) as store:
        return store.last_block().height


def witnessed(node):
    """Return the largest size of which a node holds a cosignature by another."""
    with reading(node) as store:
        return store.query("SELECT coalesce(max(size), 0) FROM cosignatures")[0][0]


@pytest.mark.timeout(300)
def test_orderer_restored_from_an_old_backup_cannot_fork(tmp_path):
    """It waits for its witness, takes back what it had signed since the backup, and only then goes on: one history."""
    with running_zone(tmp_path, "state-university") as nodes:
        orderer, witness = nodes[ORGANISATION], nodes["state-university"]
        submit(orderer, 3)
        file = backup(orderer.home, tmp_path / "old.backup", PASSPHRASE, scrypt_n=2)
        submit(orderer, 7)
        with reading(orderer) as store:
            size, height = store.last_block().size, store.last_block().height
        assert height >= file.height + 7
        wait_for(lambda: witnessed(witness) == size, "the witness to cosign all of it")
        orderer.kill()
        witness.stop()

        lost = orderer.home.path.rename(tmp_path / "lost")
        restored = RunningNode(restore(file.path, orderer.home.path, PASSPHRASE).home)
        nodes[ORGANISATION] = restored
        restored.start(TALLY_LEDGER_HEARTBEAT_SECONDS="1")
        with pytest.raises(PeerError, match="restored from a backup"):
            submit(restored)
        time.sleep(2.5)
        assert file.height == last_height(restored)

        witness.start()
        wait_for(lambda: not restored.home.is_restored, "the restored orderer to be released")
        assert submit(restored, 2) > height
        wait_for(lambda: last_height(witness) == last_height(restored), "the witness to follow")
        for node in (restored, witness):
            node.stop()
            report = check(node.home.path)
            assert report.ok, report.findings
        with (
            reading(restored) as mine,
            reading(witness) as theirs,
            closing(LedgerStore(lost / "ledger.db", rulebook(), read_only=True)) as before,
        ):
            assert [] == mine.forks() == theirs.forks()
            for number in range(1, height + 1):
                assert before.find_block(number) == mine.find_block(number) == theirs.find_block(number)


def test_full_disk_in_the_middle_of_a_restore_or_backup_leaves_nothing(zone, small, tmp_path):
    """Too little room: a clear refusal with a remedy, nothing half made, and it works once there is room."""
    with mounted_disk(tmp_path / "disk", 4) as disk:
        for room in (8_192, 70_000, 140_000):
            disk.leave(room)
            with pytest.raises(StorageError) as refused:
                restore(small, disk.path / "back", PASSPHRASE)
            assert "room" in refused.value.remedy or "disk space" in refused.value.remedy
            with pytest.raises(StorageError) as refused:
                backup(zone[0], disk.path / "zone.backup", PASSPHRASE, scrypt_n=2)
            assert "room" in refused.value.remedy
            assert ["ballast"] == [path.name for path in disk.path.iterdir()]
        disk.empty()
        assert check(restore(small, disk.path / "back", PASSPHRASE).home.path).ok
