"""Fetched data: copied from the node's machine to here, and checked to be what its owner put on the ledger.

Rules:

- What the data is to be comes from the ledger, proved: the fingerprint of the dataset's version. The node only brings the
  bytes and the salt; with another salt, or one changed byte, another fingerprint comes out.
- Names and sizes from the node are checked before anything is written. Under its final name data is always whole.
- Everything lands readable by its owner alone, with the salt beside it in `NAME.fingerprint.json`.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tallystick.dataplane import FileEntry, Manifest, media_type_of, verify_fingerprint
from tallystick.dataplane.landing import storage_errors
from tallystick.dataplane.refusals import DiskFullError, FingerprintError, ManifestError, TargetExistsError
from tallystick.dataplane.sidecars import sync_folder
from tallystick.dataplane.sources import check_manifest
from tallystick.errors import PeerError, UsageError
from tallystick.modules.catalogue.records import DatasetVersion
from tallystick.modules.deliveries.records import Delivery
from tallystick.sdk.connection import Connection, Progress, segment
from tallystick.sdk.receipts import Salted, write_salt
from tallystick.views import Contents, DeliveredFile, Recorded

SPARE_BYTES = 16 << 20
TRIES = 5
_WRITE_BYTES = 1 << 20

OpenTable = Callable[[str, dict[str, Any]], Any]


@dataclass(frozen=True)
class Fetched:
    """Data that was fetched, verified and recorded as received.

    Attributes:
        delivery: id.
        agreement: under which it came.
        dataset: its name.
        version: of the dataset.
        path: the file or folder: here, where it was fetched `to` a folder, else on the node's machine.
        here: whether it was copied and checked here.
        files: how many.
        bytes: of all files together.
        root: fingerprint, as computed from what arrived and as it is on the ledger, hex.
        recorded: where on the ledger the receipt of the data is; what `Zone.receipt` takes.
    """

    delivery: str
    agreement: str
    dataset: str
    version: int
    path: Path
    here: bool
    files: int
    bytes: int
    root: str
    recorded: Recorded | None
    _open_table: OpenTable = field(repr=False, compare=False)

    def table(self, file: str = "", **options: Any) -> Any:
        """Return the data as a pandas DataFrame.

        Args:
            file: which one, where there are several tables.
            options: for the function of pandas that reads it.

        Raises:
            UsageError: pandas is missing, or there is no table of that name.
        """
        return self._open_table(file, options)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        names = ("delivery", "agreement", "dataset", "version", "here", "files", "bytes", "root")
        value: dict[str, Any] = {name: getattr(self, name) for name in names}
        return value | {"path": str(self.path), "recorded": msgspec.to_builtins(self.recorded)}


def copy_delivery(
    connection: Connection,
    identifier: str,
    delivery: Delivery,
    version: DatasetVersion,
    to: Path,
    progress: Progress | None = None,
) -> Path:
    """Copy a delivery from the node into a folder here and check it.

    Args:
        connection: to the node.
        identifier: of the delivery.
        delivery: its record, proved.
        version: record of the version that it is of, proved.
        to: folder that the file or folder appears in; made if needed.
        progress: told of bytes.

    Returns:
        where it is.

    Raises:
        FingerprintError: it is not what is on the ledger.
        ManifestError, UnsafePathError: the node names files that cannot be.
        TargetExistsError: something of that name is there.
        StorageError: it cannot be written.
    """
    path = f"/v1/deliveries/{segment(identifier)}"
    contents: Contents = connection.get(f"{path}/files", Contents)
    _check_contents(identifier, contents, delivery, version)
    to = to.absolute()
    target = to / contents.name
    with storage_errors(to):
        if target.exists() or target.is_symlink():
            raise TargetExistsError(f"{target} is there already", remedy="Move it away, or name another folder.")
        part = to / f".{identifier}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        try:
            if shutil.disk_usage(part).free < version.size + SPARE_BYTES:
                raise DiskFullError(f"{version.size} bytes do not fit into {to}", remedy="Make room and fetch again.")
            arrived = part / contents.name
            _bring_all(connection, f"{path}/content", contents, arrived, progress)
            root, salt = bytes.fromhex(version.fingerprint), bytes.fromhex(contents.salt)
            verify_fingerprint(arrived, root, salt, name=contents.name)
            write_salt(target, _salted(identifier, contents, delivery))
            os.rename(arrived, target)
            sync_folder(to)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


def check_recorded(identifier: str, delivery: Delivery, version: DatasetVersion) -> None:
    """Check that a delivery is of the version that its owner offered, by what both records say.

    Raises:
        FingerprintError: it is of other data.
    """
    said = (delivery.fingerprint, delivery.bytes, delivery.chunks)
    if said != (version.fingerprint, version.size, version.chunks):
        raise _not_it(f"the delivery {identifier} is of other data than version {version.version} of {version.dataset}")
    if delivery.root not in ("", version.fingerprint):
        raise _not_it(f"what arrived by the delivery {identifier} is not what was offered")


def _check_contents(identifier: str, contents: Contents, delivery: Delivery, version: DatasetVersion) -> None:
    """Check that what the node lists can be the version that was delivered, and is safe to write."""
    if contents.fingerprint != delivery.fingerprint or not re.fullmatch("[0-9a-f]{64}", contents.salt):
        raise _not_it(f"the node has other data than the ledger says of the delivery {identifier}")
    if contents.kind not in ("file", "folder"):
        raise ManifestError("the node lists neither a file nor a folder", remedy="Tell the operator of your node.")
    single = contents.kind == "file"
    ordered = sorted(contents.files, key=lambda each: each.path.encode("utf-8", "surrogatepass"))
    entries = [
        FileEntry(path=contents.name if single else each.path, size=each.size, media_type=media_type_of(each.path))
        for each in ordered
    ]
    check_manifest(Manifest(files=tuple(entries), kind="file" if single else "folder", name=contents.name, v=1))
    if (len(entries), sum(entry.size for entry in entries)) != (version.files, version.size):
        raise _not_it(
            f"the node lists {len(entries)} files of {sum(entry.size for entry in entries)} bytes, the ledger has "
            f"{version.files} of {version.size}"
        )


def _bring_all(connection: Connection, path: str, contents: Contents, arrived: Path, progress: Progress | None) -> None:
    total = sum(file.size for file in contents.files)
    done = 0

    def tell(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(done, total)

    for file in contents.files:
        target = arrived if contents.kind == "file" else arrived / file.path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _bring(connection, path, file, target, tell)


def _bring(connection: Connection, path: str, file: DeliveredFile, target: Path, tell: Callable[[int], None]) -> None:
    """Copy one file; goes on where a broken connection left off."""
    got = 0
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb", _WRITE_BYTES) as out:
        for attempt in range(1, TRIES + 1):
            try:
                with connection.stream(path, start=got, file=file.path) as pieces:
                    for piece in pieces:
                        got += len(piece)
                        if got > file.size:
                            raise _not_it(f"{file.path} is longer than the {file.size} bytes that the node listed")
                        out.write(piece)
                        tell(len(piece))
            except PeerError:
                if attempt == TRIES:
                    raise
                connection.sleep(0.2 * 2**attempt)
                continue
            break
        out.flush()
        os.fsync(out.fileno())
    if got != file.size:
        raise _not_it(f"{file.path} has {got} bytes, not the {file.size} that the node listed")


def _salted(identifier: str, contents: Contents, delivery: Delivery) -> Salted:
    return Salted(
        dataset=delivery.dataset,
        delivery=identifier,
        fingerprint=delivery.fingerprint,
        name=contents.name,
        salt=contents.salt,
        v=1,
        version=delivery.version,
    )


def _not_it(what: str) -> FingerprintError:
    return FingerprintError(
        what, remedy="Do not use the data. Fetch it again, and dispute the delivery if it persists."
    )


def load_pandas() -> Any:
    """Return pandas; asked for before anything is fetched for it.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise UsageError(
            "a table needs pandas, which is not installed", remedy="Type: pip install 'tallystick[pandas]'"
        ) from None


def read_table(location: Path, file: str, options: dict[str, Any]) -> Any:
    """Return a file, or one in a folder, as a pandas DataFrame.

    Args:
        location: of the file or folder.
        file: its path in the folder; not needed where there is one table only.
        options: for the function of pandas that reads it.

    Raises:
        UsageError: pandas is missing, there is no such table, or pandas cannot read it.
    """
    pandas = load_pandas()
    readers: dict[str, Callable[..., Any]] = {
        "text/csv": pandas.read_csv,
        "text/tab-separated-values": lambda path, **given: pandas.read_csv(path, **{"sep": "\t", **given}),
        "application/x-ndjson": lambda path, **given: pandas.read_json(path, **{"lines": True, **given}),
        "application/vnd.apache.parquet": pandas.read_parquet,
    }
    path = _choose(location, file, readers.keys())
    kind = media_type_of(path.name)
    if kind not in readers:
        raise UsageError(f"{path.name} is no table that can be read here", remedy="Open it with a program of its own.")
    try:
        return readers[kind](path, **options)
    except (ValueError, TypeError, ImportError, OSError) as error:
        raise UsageError(
            f"pandas cannot read {path.name}: {str(error)[:200]}",
            remedy="Give options of pandas, or read the file yourself.",
        ) from error


def _choose(location: Path, file: str, kinds: Any) -> Path:
    """Return the one table at a place, or the one that is named."""
    if location.is_file():
        return location
    tables = sorted(
        each.relative_to(location).as_posix()
        for each in location.rglob("*")
        if each.is_file() and media_type_of(each.name) in kinds
    )
    if file in tables:
        return location / file
    if not file and len(tables) == 1:
        return location / tables[0]
    listed = ", ".join(tables[:20]) or "none"
    raise UsageError(
        f"there is no one table to take: {'it has none called ' + file if file else f'it has {len(tables)}'}",
        remedy=f"Name one with file=; there is: {listed}.",
    )
