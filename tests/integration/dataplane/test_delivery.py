"""Whole deliveries over TLS on 127.0.0.1: what arrives, what is resumed, and what is refused in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from pathlib import Path

import pytest
import uvloop

from tallystick.codec import sha256
from tallystick.dataplane import TlsIdentity
from tallystick.dataplane.client import FetchOptions, Order
from tallystick.dataplane.limits import Limits
from tallystick.dataplane.refusals import (
    AccessRefusedError,
    DiskFullError,
    FingerprintError,
    PackageError,
    SourceChangedError,
    TransferCutError,
    WrongPeerError,
)
from tests.support.dataplane import PASSWORD, CuttingProxy, a_pair

MIB = 1 << 20
ROOT = Path(__file__).parents[3]


def a_file(folder: Path, size: int, name: str = "data.bin") -> Path:
    """Write a file of random bytes."""
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


def same(one: Path, other: Path) -> bool:
    """Tell whether two files, or all files of two folders, are equal."""
    if one.is_file():
        return one.read_bytes() == other.read_bytes()
    names = [sorted(str(path.relative_to(top)) for path in top.rglob("*")) for top in (one, other)]
    files = [path for path in one.rglob("*") if path.is_file()]
    return names[0] == names[1] and all(
        path.read_bytes() == (other / path.relative_to(one)).read_bytes() for path in files
    )


@pytest.mark.parametrize("size", [0, 1, 65_536, MIB, 3 * MIB + 17])
async def test_file_arrives_whole(tmp_path: Path, size: int) -> None:
    """A file of any size, an empty one too, arrives equal, with the fingerprint that was agreed."""
    source = a_file(tmp_path, size)
    async with a_pair(tmp_path) as pair:
        grant = pair.offer(source)
        seen: list[tuple[int, int]] = []
        fetched = await pair.client().fetch(
            pair.order(grant), tmp_path / "in", pair.private_key, progress=lambda *step: seen.append(step)
        )
    assert same(source, fetched.path)
    assert (fetched.root, fetched.size, fetched.files) == (grant.sidecar.fingerprint.root.hex(), size, 1)
    assert seen[-1][0] == seen[-1][1]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["data.bin"]
    assert [report.reason for report in pair.reports.seen] == ["", ""]


def test_folder_arrives_whole_under_uvloop_too(tmp_path: Path) -> None:
    """A folder of many files arrives equal; the other event loop checks keys as well."""
    source = tmp_path / "records"
    for index in range(600):
        path = source / f"{index % 7}" / f"{index}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(index) if index % 5 else b"")
    a_file(source, 2 * MIB + 1)

    async def run() -> None:
        async with a_pair(tmp_path) as pair:
            grant = pair.offer(source)
            with pytest.raises(WrongPeerError):
                await pair.client(pins={"00"}).fetch(pair.order(grant), tmp_path / "in", pair.private_key)
            assert pair.policy.asked == 0
            fetched = await pair.client().fetch(pair.order(grant), tmp_path / "in", pair.private_key)
            assert same(source, fetched.path)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def test_cut_connections_are_resumed(tmp_path: Path) -> None:
    """A connection cut again and again ends in an equal file, without starting over."""
    source = a_file(tmp_path, 12 * MIB)
    async with a_pair(tmp_path) as pair:
        grant = pair.offer(source)
        async with CuttingProxy(pair.port, [3 * MIB] * 7 + [1 << 30]).running() as proxy:
            fetched = await pair.client().fetch(pair.order(grant, proxy.port), tmp_path / "in", pair.private_key)
    assert same(source, fetched.path)
    assert fetched.cuts >= 3
    starts = [report.first_byte for report in pair.reports.seen][1:]
    assert starts == sorted(set(starts))


async def test_next_fetch_goes_on_where_one_gave_up(tmp_path: Path) -> None:
    """Too many cuts without progress end a fetch by name; what came is used by the next one."""
    source = a_file(tmp_path, 6 * MIB)
    async with a_pair(tmp_path) as pair:
        grant = pair.offer(source)
        async with CuttingProxy(pair.port, [3 * MIB, 100]).running() as proxy:
            with pytest.raises(TransferCutError, match="3 times"):
                await pair.client().fetch(pair.order(grant, proxy.port), tmp_path / "in", pair.private_key)
        assert [path.name for path in (tmp_path / "in").iterdir()] == [f"{grant.delivery}.part"]
        fetched = await pair.client().fetch(pair.order(grant), tmp_path / "in", pair.private_key)
    assert same(source, fetched.path)
    assert fetched.resumed_chunks >= 1


async def test_killed_fetch_is_resumed(tmp_path: Path) -> None:
    """Kill -9 of the consumer in the middle loses little, and leaves nothing under the final name."""
    source = a_file(tmp_path, 48 * MIB)
    async with a_pair(tmp_path) as pair:
        grant = pair.offer(source)
        async with CuttingProxy(pair.port, [42 * MIB], hangs=True).running() as proxy:
            told = {
                "identity": str(tmp_path / "consumer"),
                "pin": pair.provider.pin,
                "url": f"https://127.0.0.1:{proxy.port}",
                "delivery": grant.delivery,
                "agreement": grant.agreement,
                "to": str(tmp_path / "in"),
                "private_key": pair.private_key.hex(),
            }
            (tmp_path / "told.json").write_text(json.dumps(told))
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.integration.dataplane.fetch_in_child",
                str(tmp_path / "told.json"),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))},
            )
            journal = tmp_path / "in" / f"{grant.delivery}.part" / "journal.json"
            async with asyncio.timeout(30):
                while not journal.exists():
                    assert child.returncode is None
                    await asyncio.sleep(0.02)
            child.kill()
            await child.wait()
        assert not (tmp_path / "in/data.bin").exists()
        fetched = await pair.client().fetch(pair.order(grant), tmp_path / "in", pair.private_key)
    assert same(source, fetched.path)
    assert fetched.resumed_chunks >= 31


async def test_unregistered_consumer_is_refused(tmp_path: Path) -> None:
    """A node whose key nobody has registered gets nothing but the reason."""
    source = a_file(tmp_path, 10)
    async with a_pair(tmp_path) as pair:
        grant = pair.offer(source)
        stranger = TlsIdentity(tmp_path / "stranger", "university", PASSWORD)
        pair.consumer = stranger
        with pytest.raises(AccessRefusedError, match="registered by no organisation"):
            await pair.client().fetch(pair.order(grant), tmp_path / "in", pair.private_key)


async def test_access_withdrawn_in_the_middle_cuts_with_the_reason(tmp_path: Path) -> None:
    """A terminated agreement stops a running transfer, and the consumer learns why."""
    source = a_file(tmp_path, 24 * MIB)
    async with a_pair(tmp_path, Limits(recheck_s=0.0)) as pair:
        grant = pair.offer(source)
        pair.policy.refuse_after = 12
        with pytest.raises(AccessRefusedError, match="agr-7kq2 was terminated"):
            await pair.client().fetch(pair.order(grant), tmp_path / "in", pair.private_key)
    last = pair.reports.seen[-1]
    assert last.reason == "access"
    assert 0 < last.sent_bytes < last.asked_bytes
    assert not (tmp_path / "in/data.bin").exists()


async def test_source_changed_before_is_refused_with_file_and_chunk(tmp_path: Path) -> None:
    """A file that is no longer what was offered is refused before anything of it is sent."""
    source = tmp_path / "records"
    source.mkdir()
    a_file(source, 100, "a.csv")
    async with a_pair(tmp_path) as pair:
        grant = pair.offer(source)
        a_file(source, 100, "a.csv")
        with pytest.raises(SourceChangedError, match=r"a\.csv has changed") as caught:
            await pair.client().fetch(pair.order(grant), tmp_path / "in", pair.private_key)
    assert (caught.value.file, caught.value.chunk) == ("a.csv", 1)
    assert sum(report.sent_bytes for report in pair.reports.seen) < 300


async def test_source_changed_in_the_middle_cuts_and_is_named(tmp_path: Path) -> None:
    """A change further on is found when it is reached: the connection is cut, and the next request tells why."""
    source = a_file(tmp_path, 16 * MIB)
    async with a_pair(tmp_path) as pair:
        grant = pair.offer(source)

        def change(done: int, total: int) -> None:
            if done == 0:
                with source.open("r+b") as file:
                    file.seek(15 * MIB + 5)
                    file.write(os.urandom(8))

        with pytest.raises(SourceChangedError) as caught:
            await pair.client().fetch(pair.order(grant), tmp_path / "in", pair.private_key, progress=change)
    assert (caught.value.file, caught.value.chunk) == ("data.bin", 16)
    assert pair.reports.seen[-1].reason == "source_changed"
    assert not (tmp_path / "in/data.bin").exists()


async def test_full_disk_stops_clearly_and_the_next_fetch_goes_on(tmp_path: Path) -> None:
    """A file that may not grow any more is a clear stop; with room again the fetch ends well."""
    source = a_file(tmp_path, 8 * MIB)
    async with a_pair(tmp_path) as pair:
        grant = pair.offer(source)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB + 100, limits[1]))
        try:
            with pytest.raises(DiskFullError, match="no room left"):
                await pair.client().fetch(pair.order(grant), tmp_path / "in", pair.private_key)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        fetched = await pair.client().fetch(pair.order(grant), tmp_path / "in", pair.private_key)
    assert same(source, fetched.path)
    assert fetched.resumed_chunks == 4


async def test_what_is_fetched_must_be_what_is_on_the_ledger(tmp_path: Path) -> None:
    """Another fingerprint or another key package than the recorded one is refused before content is fetched."""
    source = a_file(tmp_path, 10)
    async with a_pair(tmp_path) as pair:
        grant = pair.offer(source)
        url = f"https://127.0.0.1:{pair.port}"
        for order, error in (
            (Order(url, grant.delivery, grant.agreement, "00" * 32), FingerprintError),
            (Order(url, grant.delivery, grant.agreement, package_hash="00" * 32), PackageError),
            (Order(url, grant.delivery, "agr-9999"), PackageError),
        ):
            with pytest.raises(error):
                await pair.client().fetch(order, tmp_path / "in", pair.private_key)
        good = Order(url, grant.delivery, grant.agreement, package_hash=sha256(grant.package).hex())
        await pair.client().fetch(good, tmp_path / "in", pair.private_key)


async def test_nobody_there_is_told_after_a_few_attempts(tmp_path: Path) -> None:
    """An address where nobody listens ends by name."""
    source = a_file(tmp_path, 10)
    async with a_pair(tmp_path) as pair:
        grant = pair.offer(source)
        order = Order("https://127.0.0.1:1", grant.delivery, grant.agreement)
        with pytest.raises(TransferCutError, match="3 times"):
            await pair.client().fetch(order, tmp_path / "in", pair.private_key)


async def test_many_fetch_at_once_within_the_limits(tmp_path: Path) -> None:
    """More consumers than the node serves at a time wait their turn, and all end well."""
    source = a_file(tmp_path, 2 * MIB)
    patient = FetchOptions(attempts=200, backoff_s=0.01, backoff_limit_s=0.05)
    async with a_pair(tmp_path, Limits(transfers=2, transfers_per_peer=2)) as pair:
        grant = pair.offer(source)
        fetched = await asyncio.gather(
            *(
                pair.client(patient).fetch(pair.order(grant), tmp_path / f"in-{index}", pair.private_key)
                for index in range(6)
            )
        )
    assert all(same(source, each.path) for each in fetched)
