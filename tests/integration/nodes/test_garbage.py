"""Garbage at the peer server: whatever a member or a stranger sends, the answer is JSON with a remedy, and never a 500.

One node runs in this process; requests go through real mutual TLS, as a member whose key is registered and as a stranger.
"""

import asyncio
import json
from contextlib import contextmanager

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.node.core import now_ms
from tallystick.node.homes import make_keys
from tallystick.node.join import invite, join
from tallystick.node.peers.identity import open_identity
from tallystick.node.peers.messages import PREFIX, encode_block, encode_list
from tests.support.liars import blocks_of, evidence_of
from tests.support.nodes import PASSPHRASE, LocalNode, make_zone, open_quickly

SEARCH = settings(max_examples=150, suppress_health_check=list(HealthCheck))
NAMES = ("zone", "head", "blocks", "transactions", "cosignatures", "trust-signatures", "forks", "notes", "deliveries")
PATHS = st.one_of(
    st.sampled_from(NAMES),
    st.builds("applications/{}".format, st.text("0123456789abcdefxyz", max_size=70)),
    st.builds("notes/{}".format, st.text("0123456789abcdefXYZ%", max_size=70)),
    st.builds("{}/{}".format, st.sampled_from(NAMES), st.text("abc/.%0\u00e9", max_size=12)),
)
NUMBERS = st.sampled_from(["0", "1", "-1", "99999999999999999999999", "1e3", "\u0661", "", "x", "9007199254740991"])
QUERIES = st.dictionaries(st.sampled_from(["from", "limit", "after", "other"]), NUMBERS, max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["0" * 64, "f" * 128, 2**60]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "height",
        "size",
        "root",
        "checkpoints",
        "cosignatures",
        "trust_signatures",
        "forks",
        "restored",
        "agreement",
        "card",
    ]
)
WITNESSED = st.fixed_dictionaries(
    {
        "organisation": st.sampled_from(["city-hospital", "river-university", "nobody", ""]),
        "root": st.sampled_from(["0" * 64, "F" * 64, "zz" * 32]),
        "signature": st.sampled_from(["0" * 128, "g" * 128]),
        "size": st.sampled_from([0, 1, 2, 2**53 - 1]),
        "time": st.sampled_from([0, 2**53 - 1]),
    }
)
NOTES = st.sampled_from(
    ["", "\n", "a\n1\n\n", "a\n99999999999999999\nAAAA\n\n\u2014 x y\n", "\u0000", "chain\n1\nroot\n\n"]
)
HEADS = st.fixed_dictionaries(
    {"height": st.sampled_from([0, 2**53 - 1]), "size": st.sampled_from([0, 5]), "root": st.just("0" * 64)},
    optional={
        "checkpoints": st.lists(NOTES, max_size=3),
        "cosignatures": st.lists(WITNESSED, max_size=3),
        "forks": st.sampled_from([0, 7]),
        "restored": st.booleans(),
    },
)
BODIES = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=100).map(str.encode),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(FIELDS, JSON, max_size=5).map(lambda value: json.dumps(value).encode()),
    HEADS.map(lambda value: json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()),
    st.lists(st.binary(max_size=80), max_size=5).map(encode_list),
    st.builds(
        encode_block, st.binary(max_size=80), st.binary(max_size=70), st.lists(st.binary(max_size=50), max_size=3)
    ),
    st.sampled_from([b"", b"[" * 5_000, b"\x91" * 5_000, b"\xdd\xff\xff\xff\xff", b'{"a":' * 3_000, b"\x00" * 70_000]),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(["application/json", "text/plain", "x", "application/x-msgpack; a=b"]),
        "Content-Encoding": st.sampled_from(["gzip", "identity", "br"]),
        "Tally-Organisation": st.sampled_from(["city-hospital", "river-university", "", "\u00e9" * 20, "x" * 200]),
    },
)


class Target:
    """A running node, and sessions of a member's node and of a stranger's."""

    def __init__(self, folder):
        self.loop = asyncio.new_event_loop()
        self.folder = folder

    def run(self, work):
        return self.loop.run_until_complete(work)

    async def start(self):
        self.node = await LocalNode(make_zone(self.folder, "city-hospital").home).start()
        invitation = invite(self.node.home, "river-university")
        home, card = await join(self.folder / "member", invitation, "River University", PASSPHRASE, "", "127.0.0.1:0")
        await self.node.office.office.members.admit("river-university", card)
        self.member = LocalNode(open_quickly(home))
        stranger = make_keys(self.folder / "stranger", PASSPHRASE)
        identities = [
            open_identity(self.member.keys, "river-university"),
            open_identity(stranger, "stranger"),
        ]
        self.sessions = [
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=identity.client_context(lambda _: True)),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            for identity in identities
        ]
        self.base = f"https://127.0.0.1:{self.node.peers.port}"

    async def stop(self):
        for session in self.sessions:
            await session.close()
        await self.node.stop()

    async def send(self, who, method, path, body, query=None, headers=None):
        timeout = aiohttp.ClientTimeout(total=20)
        async with self.sessions[who].request(
            method, self.base + path, data=body, params=query, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            return response.status, response.content_type, await response.read()


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    made = Target(tmp_path_factory.mktemp("garbage"))
    made.run(made.start())
    yield made
    made.run(made.stop())
    made.loop.close()


@contextmanager
def nothing_changes(target):
    """The ledger, the alarm and the proofs that are kept are the same after as before."""
    core = target.node.core
    before = (core.state.height, core.alarm, core.suspicion, core.store.forks())
    yield
    assert before == (core.state.height, core.alarm, core.suspicion, core.store.forks())


def assert_tidy(status, kind, data, what):
    """The answer is what the protocol foresees: a success, or a refusal in JSON with a remedy."""
    assert status < 500 or status == 503, (status, data, what)
    if status >= 300:
        assert "application/json" == kind, (status, data, what)
        said = json.loads(data)
        assert {"error", "message", "remedy"} <= set(said), (status, said, what)
        assert "Traceback" not in data.decode() and len(data) < 2_000
        assert "could not answer" not in said["message"], (status, said, what)


@SEARCH
@given(
    who=st.sampled_from([0, 1]),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
    path=PATHS,
    query=QUERIES,
    body=BODIES,
    headers=HEADERS,
)
def test_any_request_has_a_tidy_answer(target, who, method, path, query, body, headers):
    """Any method, path, query, body and header: success, or a refusal with a remedy."""
    with nothing_changes(target):
        what = (who, method, path, query, body[:60], headers)
        try:
            status, kind, data = target.run(
                target.send(who, method, f"{PREFIX}/{path}", body if method != "GET" else None, query, headers)
            )
        except aiohttp.ClientConnectionError:
            # A body that is not read to its end, because it was refused before, may end the connection.
            return
        if method != "HEAD":
            assert_tidy(status, kind, data, what)


@SEARCH
@given(
    who=st.sampled_from([0, 1]),
    endpoint=st.sampled_from(
        ["blocks", "transactions", "cosignatures", "trust-signatures", "forks", "notes", "deliveries", "applications"]
    ),
    body=BODIES,
)
def test_any_body_at_its_endpoint_has_a_tidy_answer(target, who, endpoint, body):
    """Where a body is expected, any other body is refused by name; from a stranger, whatever it is."""
    with nothing_changes(target):
        try:
            status, kind, data = target.run(target.send(who, "POST", f"{PREFIX}/{endpoint}", body))
        except aiohttp.ClientConnectionError:
            return
        assert_tidy(status, kind, data, (who, endpoint, body[:80]))
        if who == 1 and endpoint != "applications":
            assert 403 == status


def test_sizes_beyond_each_limit_are_refused(target):
    """A body that is too long is refused with 413 or by ending the connection, and costs no memory."""
    for endpoint, size in (
        ("cosignatures", 3 << 20),
        ("notes", 1 << 20),
        ("deliveries", 8_192),
        ("applications", 1 << 20),
    ):
        try:
            status, kind, data = target.run(target.send(0, "POST", f"{PREFIX}/{endpoint}", b"x" * size))
        except aiohttp.ClientConnectionError:
            continue
        assert 413 == status
        assert_tidy(status, kind, data, endpoint)


def test_stranger_is_told_nothing_but_the_public_files(target):
    """Without a registered key only the zone's files and an application are answered."""
    assert 200 == target.run(target.send(1, "GET", f"{PREFIX}/zone", None))[0]
    for path in ("head", "blocks?from=1", "forks", "notes"):
        status, kind, data = target.run(target.send(1, "GET", f"{PREFIX}/{path}", None))
        assert (403, "unregistered") == (status, json.loads(data)["error"])


def test_too_many_at_once_are_told_to_wait(target):
    """A stranger that floods is refused with 429, and members are answered meanwhile."""

    async def flood():
        strangers = [target.send(1, "GET", f"{PREFIX}/zone", None) for _ in range(60)]
        member = target.send(0, "GET", f"{PREFIX}/head", None)
        return await asyncio.gather(*strangers, member)

    *strangers, member = target.run(flood())
    assert 200 == member[0]
    assert {200, 429} >= {status for status, _, _ in strangers}


def test_node_works_on_after_all_this(target):
    """The core still orders, and gives its blocks to the member."""
    height = target.node.core.state.height

    async def work():
        home = target.node.home
        await target.node.office.ledger.submit_signed([evidence_of(home, target.node.keys, "e" * 64, time=now_ms())])
        return await target.send(0, "GET", f"{PREFIX}/blocks?from={height + 1}", None)

    status, _, data = target.run(work())
    assert 200 == status
    assert encode_block(*blocks_of(target.node.home)[height]) == data
