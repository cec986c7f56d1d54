"""Connecting: which node, with which key, and above all what is trusted to begin with.

Rule: a node is never the first to say what its zone is. Either its home is on this machine, whose `zone.json` its operator
put there, or the caller brings the trust file, or its fingerprint as a member told it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from tallystick.errors import AccessError, IntegrityError, PeerError, StorageError, UsageError
from tallystick.proofs import TrustError, TrustFile
from tallystick.proofs.trust import MAX_TRUST_BYTES
from tallystick.sdk.connection import Connection, Refusing
from tallystick.sdk.history import History
from tallystick.sdk.receipts import read_trust
from tallystick.sdk.session import follow_trust, now_ms
from tallystick.sdk.zone import Zone
from tallystick.views import Status

TIMEOUT_SECONDS = 60.0
_MAX_OPERATOR_BYTES = 16 << 10


class _Operator(msgspec.Struct, frozen=True):
    """What a running node writes into its home: where its API is, and a key."""

    url: str
    key: str


class _Place(NamedTuple):
    """Where to connect."""

    url: str
    key: str
    absent: Refusing | None = None


def connect(
    url: str | None = None,
    api_key: str | None = None,
    *,
    home: str | PathLike[str] | None = None,
    trust: TrustFile | bytes | str | PathLike[str] | None = None,
    fingerprint: str | None = None,
    memory: str | PathLike[str] | None = None,
    timeout_s: float = TIMEOUT_SECONDS,
    transport: httpx.BaseTransport | None = None,
    clock_ms: Callable[[], int] = now_ms,
) -> Zone:
    """Connect to a node and return the zone as it shows it; everything else is a method of that.

        with tallystick.connect(home="/srv/hospital") as zone: ...
        with tallystick.connect("https://node.example", key, trust="zone.json") as zone: ...

    Args:
        url: of the node's API; by default TALLY_URL of the environment.
        api_key: made with `tally key create --api`; by default TALLY_API_KEY of the environment.
        home: of a node that runs on this machine, instead of address, key and trust file.
        trust: the zone's trust file: where it is, its bytes, or read already.
        fingerprint: of the trust file, as a member told it; the file then comes from the node and must have it.
        memory: file that keeps what was seen of the history, so that also the next program notices another one.
        timeout_s: how long to wait for an answer.
        transport: instead of the network; for tests.
        clock_ms: UTC time, ms.

    Raises:
        UsageError: something that is needed was not given.
        PeerError: the node does not run, or cannot be reached.
        TrustError: the node is of another zone than the one trusted.
        IntegrityError: the trust file of the node has another fingerprint.
    """
    place = _place_of(Path(home)) if home is not None else _place_of_address(url, api_key)
    held = None
    if trust is not None:
        held = read_trust(trust if isinstance(trust, (TrustFile, bytes)) else Path(trust))
    elif home is not None:
        held = read_trust(Path(home) / "zone.json")
    elif fingerprint is None:
        raise UsageError(
            "nothing says which zone this is to be, and the node itself is not the one to ask",
            remedy="Give trust= (zone.json from a member that you trust) or fingerprint= (as a member tells it).",
        )
    connection = Connection(place.url, place.key, timeout_s=timeout_s, absent=place.absent, transport=transport)
    try:
        shown = connection.get_bytes("/v1/zone", most=MAX_TRUST_BYTES)
        trusted = follow_trust(TrustFile.parse(shown) if held is None else held, shown)
        if fingerprint is not None:
            _check_fingerprint(trusted, fingerprint)
        status: Status = connection.get("/v1/status", Status)
        if status.chain != trusted.chain:
            raise TrustError("other_zone", f"the node is of the zone {status.chain}, not of {trusted.chain}")
        history = History(trusted.chain, None if memory is None else Path(memory))
        history.recall(trusted)
    except BaseException:
        connection.close()
        raise
    return Zone(connection, trusted, history, status.organisation, clock_ms=clock_ms)


def _place_of(home: Path) -> _Place:
    """Return where the node of a home is, by what it wrote there when it started."""
    path = home / "operator.json"
    absent = Refusing(f"the node of {home} does not run", f"Start it: tally node run --home {home}")
    if not (home / "zone.json").exists():
        raise UsageError(
            f"{home} is no home of a node", remedy="Name one with --home, or make one with `tally zone create`."
        )
    try:
        operator = msgspec.json.decode(path.read_bytes()[:_MAX_OPERATOR_BYTES], type=_Operator)
    except FileNotFoundError:
        raise PeerError(absent.message, remedy=absent.remedy) from None
    except PermissionError:
        raise AccessError(
            f"{path} belongs to somebody else", remedy="Use the account that the node runs under, or an API key."
        ) from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", remedy="Check the disk.") from None
    except msgspec.MsgspecError:
        raise IntegrityError(f"{path} is damaged", remedy="Start the node again: it writes the file anew.") from None
    return _Place(operator.url, operator.key, absent)


def _place_of_address(url: str | None, api_key: str | None) -> _Place:
    url = url or os.environ.get("TALLY_URL")
    if not url:
        raise UsageError("no node was named", remedy="Give url=, set TALLY_URL, or give home= on the node's machine.")
    key = api_key or os.environ.get("TALLY_API_KEY")
    if not key:
        raise UsageError(
            "no API key was given", remedy="Give api_key= or set TALLY_API_KEY; `tally key create --api` makes one."
        )
    return _Place(url, key)


def _check_fingerprint(trust: TrustFile, fingerprint: str) -> None:
    """Check that a version of a trust file has the fingerprint; those after it are signed by those before.

    Raises:
        IntegrityError: none has.
    """
    typed = "".join(letter for letter in fingerprint.lower() if letter not in " :-\t\n")
    if typed not in {version.hash.hex() for version in trust.versions}:
        raise IntegrityError(
            f"the node's trust file has the fingerprint {trust.fingerprint}, not the one given",
            remedy="Do not use this node. Compare the fingerprint with a member by telephone or in person.",
        )
