"""Connecting: nothing is trusted because the node says so, and what is missing is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import tallystick
from tallystick.errors import AccessError, IntegrityError, PeerError, UsageError
from tallystick.modules.organisations.ops import AdmitOrganisation
from tallystick.proofs import TrustError, TrustFile
from tallystick.sdk import connect
from tests.support.recorded import RecordedZone
from tests.support.zones import BANK, HOSPITAL, make_card
from tests.unit.sdk.simulated import KEY, URL, SimulatedNode


def a_node(folder: Path, organisations: tuple[str, ...] = (HOSPITAL, BANK)) -> SimulatedNode:
    """Return a node of a zone of two."""
    zone = RecordedZone(folder, organisations)
    zone.execute([])
    return SimulatedNode(zone, BANK)


def admit(node: SimulatedNode, organisation: str) -> None:
    """Admit a member, so that the trust file has a further version."""
    node.zone.run(HOSPITAL, AdmitOrganisation(card=make_card(organisation)))
    node.zone.publish()


def test_importing_costs_nothing() -> None:
    """`import tallystick` loads neither the client nor what it needs; `connect` is there all the same."""
    script = "import sys, tallystick; print(sorted({'httpx', 'msgspec', 'tallystick.sdk'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "[]" == found.stdout.strip()
    assert tallystick.connect is connect
    with pytest.raises(AttributeError):
        tallystick.nothing  # noqa: B018


def test_the_client_needs_the_light_install_only() -> None:
    """Nothing that only a node needs, and no pandas, is loaded with the client."""
    heavy = "{'aiohttp', 'fastapi', 'uvicorn', 'uvloop', 'structlog', 'pandas', 'pyarrow', 'starlette'}"
    script = f"import sys; from tallystick.sdk import *; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "[]" == found.stdout.strip()


def test_no_trust_on_first_use(tmp_path: Path) -> None:
    """Without a trust file or its fingerprint nothing is asked of the node."""
    node = a_node(tmp_path / "a")
    with pytest.raises(UsageError, match="which zone"):
        connect(URL, KEY, transport=node.transport())
    assert [] == node.asked


def test_address_and_key_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TALLY_URL and TALLY_API_KEY stand in for what is not given; without either, that is said."""
    node = a_node(tmp_path / "a")
    options = {"trust": node.trust_bytes(), "transport": node.transport()}
    with pytest.raises(UsageError, match="no node"):
        connect(**options)
    monkeypatch.setenv("TALLY_URL", URL)
    with pytest.raises(UsageError, match="no API key"):
        connect(**options)
    monkeypatch.setenv("TALLY_API_KEY", "wrong")
    with pytest.raises(AccessError):
        connect(**options)
    monkeypatch.setenv("TALLY_API_KEY", KEY)
    with connect(**options) as zone:
        assert (BANK, BANK, node.zone.chain) == (zone.organisation, zone.organisation_id, zone.chain)
        assert KEY not in repr(zone)


def test_a_trust_file_comes_in_any_form(tmp_path: Path) -> None:
    """A path, bytes and a file that was read already are taken alike."""
    node = a_node(tmp_path / "a")
    path = tmp_path / "a" / "zone.json"
    for trust in (path, str(path), node.trust_bytes(), TrustFile.parse(node.trust_bytes())):
        with node.connect(trust=trust) as zone:
            assert 1 == zone.trust.latest.number


def test_the_fingerprint_is_compared(tmp_path: Path) -> None:
    """The fingerprint of any version will do, however it is spaced, for later ones are signed by those before."""
    node = a_node(tmp_path / "a")
    first = TrustFile.parse(node.trust_bytes()).fingerprint
    admit(node, "harbour-school")
    latest = TrustFile.parse(node.trust_bytes()).fingerprint
    assert first != latest

    for given in (first, latest, " ".join(first[at : at + 4] for at in range(0, 64, 4)).upper()):
        with node.connect(trust=None, fingerprint=given) as zone:
            assert latest == zone.trust.fingerprint
    for bad in ("00" * 32, "", first[:-1]):
        with pytest.raises(IntegrityError, match="fingerprint"):
            node.connect(trust=None, fingerprint=bad)


def test_another_zone_is_refused(tmp_path: Path) -> None:
    """A node of another zone than the one trusted is refused by name."""
    node, other = a_node(tmp_path / "a"), a_node(tmp_path / "b", (HOSPITAL, "state-university"))

    with pytest.raises(TrustError) as caught:
        node.connect(trust=other.trust_bytes())
    assert "other_zone" == caught.value.reason
    node.lie("/v1/status", lambda status: {**status, "chain": "elsewhere-00000000"})
    with pytest.raises(TrustError) as caught:
        node.connect()
    assert "other_zone" == caught.value.reason


def test_newer_versions_must_follow(tmp_path: Path) -> None:
    """Versions that the members signed are taken, at connecting and when a proof needs them; others are not."""
    node = a_node(tmp_path / "a")
    first = node.trust_bytes()
    with node.connect() as zone:
        admit(node, "harbour-school")
        admit(node, "harbour-clinic")
        assert zone.record("zone", "zone").witnessed
        assert 1 < zone.trust.latest.number <= 3
    with node.connect(trust=first) as zone:
        assert 3 == zone.trust.latest.number

    for lie in (
        lambda trust: {**trust, "versions": [*trust["versions"][:1], {**trust["versions"][1], "signatures": []}]},
        lambda trust: {**trust, "versions": [*trust["versions"][:1], trust["versions"][2]]},
        lambda trust: {**trust, "versions": [{**trust["versions"][0], "needed": 0}]},
    ):
        node.lie("/v1/zone", lie)
        with pytest.raises(TrustError):
            node.connect(trust=first)
    held = node.trust_bytes()
    node.lie("/v1/zone", lambda trust: {**trust, "versions": trust["versions"][:1]})
    with node.connect(trust=held) as zone:
        assert 3 == zone.trust.latest.number


def test_a_node_of_this_machine(tmp_path: Path) -> None:
    """With a home everything is found there; where the node does not run, it is said how to start it."""
    home = tmp_path / "a"
    node = a_node(home)
    with pytest.raises(UsageError, match="no home"):
        connect(home=tmp_path)
    with pytest.raises(PeerError) as caught:
        connect(home=home)
    assert f"Start it: tally node run --home {home}" == caught.value.remedy

    operator = home / "operator.json"
    operator.write_text(f'{{"id":"k","key":"{KEY}","url":"{URL}"}}')
    with connect(home=home, transport=node.transport()) as zone:
        assert BANK == zone.organisation

    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(PeerError, match="does not run"):
        connect(home=home, transport=httpx.MockTransport(refuse))
    operator.write_text("{")
    with pytest.raises(IntegrityError, match="damaged"):
        connect(home=home)
