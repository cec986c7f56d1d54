"""Data that is brought here: exactly what its owner put on the ledger, or refused and nothing left behind."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallystick.dataplane.refusals import ManifestError, TargetExistsError, UnsafePathError
from tallystick.errors import UsageError
from tallystick.sdk import FingerprintError, NotFoundError, ViewError, verify_receipt
from tallystick.sdk import data as sdk_data
from tests.unit.sdk.simulated import SimulatedNode, a_market

ROWS = b"ward,count\n" + b"".join(b"w%d,%d\n" % (number % 7, number) for number in range(200_000))


def a_table(folder: Path) -> tuple[SimulatedNode, dict[str, str]]:
    """Return a node that received a table of more than one chunk."""
    table = folder / "source" / "wards.csv"
    table.parent.mkdir()
    table.write_bytes(ROWS)
    return a_market(folder / "ledger", table)


def a_folder(folder: Path) -> tuple[SimulatedNode, dict[str, str]]:
    """Return a node that received a folder of two tables and something else."""
    source = folder / "source" / "wards"
    (source / "more").mkdir(parents=True)
    (source / "b.csv").write_bytes(b"a,b\n1,2\n")
    (source / "more" / "a.tsv").write_bytes(b"a\tb\n1\t2\n3\t4\n")
    (source / "a.txt").write_bytes(b"")
    return a_market(folder / "ledger", source)


def test_data_lands_with_its_salt(tmp_path: Path) -> None:
    """A file is copied, checked, and its owner's alone; with the salt beside it its receipt can be checked offline."""
    node, ids = a_table(tmp_path)
    told: list[tuple[int, int]] = []
    with node.connect() as zone:
        fetched = zone.fetch(ids["dataset"], tmp_path / "here", progress=lambda done, total: told.append((done, total)))
        receipt = zone.receipt(_received(node))

    assert (tmp_path / "here" / "wards.csv", True) == (fetched.path, fetched.here)
    assert ROWS == fetched.path.read_bytes()
    assert 0o600 == fetched.path.stat().st_mode & 0o777
    assert ["wards.csv", "wards.csv.fingerprint.json"] == sorted(each.name for each in (tmp_path / "here").iterdir())
    assert (len(ROWS), len(ROWS)) == told[-1]
    assert ids["delivery"] == fetched.to_json()["delivery"]
    verified = verify_receipt(receipt.data, node.trust_bytes(), file=fetched.path)
    assert "record_delivery_received" == verified.operation["type"]


def test_a_receipt_tells_another_file(tmp_path: Path) -> None:
    """A changed file, a missing salt, a wrong salt, and a receipt of no file are told apart."""
    node, ids = a_table(tmp_path)
    with node.connect() as zone:
        path = zone.fetch(ids["dataset"], tmp_path / "here").path
        receipt = zone.receipt(_received(node))
        request = zone.receipt(node.zone.store.query("SELECT lower(hex(id)) FROM transactions WHERE seq = 3")[0][0])
    moved = path.rename(tmp_path / "renamed.csv")

    with pytest.raises(UsageError, match="salt"):
        verify_receipt(receipt.data, node.trust_bytes(), file=moved)
    salt = path.with_name("wards.csv.fingerprint.json").rename(tmp_path / "renamed.csv.fingerprint.json")
    assert verify_receipt(receipt.data, node.trust_bytes(), file=moved).accepted
    with pytest.raises(FingerprintError):
        verify_receipt(receipt.data, node.trust_bytes(), file=moved, salt="00" * 32)
    moved.write_bytes(ROWS[:-1] + b"x")
    with pytest.raises(FingerprintError):
        verify_receipt(receipt.data, node.trust_bytes(), file=moved)
    with pytest.raises(UsageError, match="no file"):
        verify_receipt(request.data, node.trust_bytes(), file=moved)
    salt.write_bytes(b"{}")
    with pytest.raises(UsageError, match="fetch"):
        verify_receipt(receipt.data, node.trust_bytes(), file=moved)


@pytest.mark.parametrize(
    ("lie", "refused"),
    [
        (lambda contents: {**contents, "salt": "00" * 32}, FingerprintError),
        (lambda contents: {**contents, "salt": "00"}, FingerprintError),
        (lambda contents: {**contents, "salt": "zz" * 32}, FingerprintError),
        (lambda contents: {**contents, "fingerprint": "00" * 32}, FingerprintError),
        (lambda contents: {**contents, "name": "other.csv"}, FingerprintError),
        (lambda contents: {**contents, "name": "../wards.csv"}, UnsafePathError),
        (lambda contents: {**contents, "name": ".."}, UnsafePathError),
        (lambda contents: {**contents, "kind": "device"}, ManifestError),
        (lambda contents: {**contents, "files": []}, ManifestError),
        (lambda contents: {**contents, "files": contents["files"] * 2}, ManifestError),
        (lambda contents: {**contents, "files": [{"path": "wards.csv", "size": 1}]}, FingerprintError),
    ],
)
def test_wrong_contents_are_refused(tmp_path: Path, lie: Callable[[Any], Any], refused: type[Exception]) -> None:
    """Another salt, fingerprint, name or list of files than the data's is refused, and nothing is left behind."""
    node, ids = a_table(tmp_path)
    node.lie(f"/v1/deliveries/{ids['delivery']}/files", lie)

    with node.connect() as zone, pytest.raises(refused):
        zone.copy(ids["delivery"], tmp_path / "here")

    assert not (tmp_path / "here").exists() or [] == list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(
    "lie",
    [lambda data: data[:-1] + b"x", lambda data: b"x" + data[1:], lambda data: data[:-1], lambda data: data + b"x"],
)
def test_changed_bytes_are_refused(tmp_path: Path, lie: Callable[[bytes], bytes]) -> None:
    """One other, missing or further byte is enough to refuse the data, and nothing is left behind."""
    node, ids = a_table(tmp_path)
    node.lie(f"/v1/deliveries/{ids['delivery']}/content", lie)

    with node.connect() as zone, pytest.raises(FingerprintError):
        zone.fetch(ids["dataset"], tmp_path / "here")

    assert [] == list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("name", ["../../escaped.csv", "/escaped.csv", "a\\b.csv", "a/./b.csv"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    """A file that would land outside its folder is refused before anything is written."""
    node, ids = a_folder(tmp_path)
    node.lie(
        f"/v1/deliveries/{ids['delivery']}/files",
        lambda contents: {**contents, "files": [{**contents["files"][0], "path": name}, *contents["files"][1:]]},
    )

    with node.connect() as zone, pytest.raises(UnsafePathError):
        zone.copy(ids["delivery"], tmp_path / "here")

    assert not (tmp_path / "here").exists()


def test_a_folder_arrives_whole(tmp_path: Path) -> None:
    """A folder arrives with what is in it; its tables are read by name, and which there are is said."""
    node, ids = a_folder(tmp_path)
    with node.connect() as zone:
        fetched = zone.fetch(ids["agreement"], tmp_path / "here")
        assert 1 == len(fetched.table("b.csv"))
        assert [[1, 2], [3, 4]] == fetched.table("more/a.tsv").values.tolist()
        for name in ("", "none.csv"):
            with pytest.raises(UsageError) as caught:
                fetched.table(name)
            assert "b.csv, more/a.tsv" in caught.value.remedy

    assert ["a.txt", "b.csv", "more/a.tsv"] == sorted(
        each.relative_to(fetched.path).as_posix() for each in fetched.path.rglob("*") if each.is_file()
    )


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    """Data does not land on something that is there already."""
    node, ids = a_table(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "wards.csv").write_text("mine")

    with node.connect() as zone:
        with pytest.raises(TargetExistsError):
            zone.copy(ids["delivery"], tmp_path / "here")
        with pytest.raises(NotFoundError):
            zone.copy("dlv-none", tmp_path / "here")

    assert "mine" == (tmp_path / "here" / "wards.csv").read_text()


def test_a_cut_connection_is_taken_up_again(tmp_path: Path) -> None:
    """Where a connection breaks the copy goes on from the byte that it got to."""
    node, ids = a_table(tmp_path)
    path = f"/v1/deliveries/{ids['delivery']}/content"
    node.answers["GET", path] = [httpx.Response(200, stream=_Cut(ROWS[:700_000]))]

    with node.connect() as zone:
        copied = zone.copy(ids["delivery"], tmp_path / "here")

    assert ROWS == copied.read_bytes()
    assert 2 == node.asked.count(("GET", path))


def test_a_result_that_contradicts_the_ledger_is_refused(tmp_path: Path) -> None:
    """A node that says to have received other data than the ledger has under that delivery is refused."""
    node, ids = a_table(tmp_path)
    node.lie("/v1/deliveries", lambda job: {**job, "result": {**job["result"], "root": "00" * 32}})

    with node.connect() as zone, pytest.raises(ViewError):
        zone.fetch(ids["dataset"])


def test_a_table_is_one_line_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table comes as a DataFrame and leaves no copy; without pandas the error says what to install, before any work."""
    node, ids = a_table(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with node.connect() as zone:
        frame = zone.table(ids["dataset"], usecols=["count"], nrows=3)
        assert [0, 1, 2] == frame["count"].tolist()
        with pytest.raises(UsageError, match="pandas cannot read"):
            zone.table(ids["dataset"], usecols=["none"])

        asked = len(node.asked)

        def missing(name: str) -> Any:
            raise ImportError(name)

        monkeypatch.setattr(sdk_data.importlib, "import_module", missing)
        with pytest.raises(UsageError) as caught:
            zone.table(ids["dataset"])

    monkeypatch.undo()
    assert importlib.import_module("pandas") is not None
    assert "pip install 'tallystick[pandas]'" in caught.value.remedy
    assert asked == len(node.asked)


class _Cut(httpx.SyncByteStream):
    """An answer that ends before its time."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Any:
        yield self._data
        raise httpx.RemoteProtocolError("cut")


def _received(node: SimulatedNode) -> str:
    """Return the transaction in which the data was recorded as received: the last one."""
    found: str = node.zone.store.query("SELECT lower(hex(id)) FROM transactions ORDER BY seq DESC LIMIT 1")[0][0]
    return found
