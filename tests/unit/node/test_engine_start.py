"""Finding out where an engine begins: whom to believe, what the engine is told then, and when to follow first."""

import json

import aiohttp
import pytest
import structlog

from tallystick.errors import PeerError
from tallystick.machine import State
from tallystick.node.engine_beginning import EngineBeginning, read_beginning, write_beginning
from tallystick.node.parts import engine_height
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.engine_start import AGAIN_SECONDS, RETRY_SECONDS, EngineStart
from tallystick.node.peers.messages import EngineSpan, EngineTold
from tallystick.node.seats import Seats
from tallystick.proofs.headers import decode_header
from tests.support.lightblocks import tell
from tests.support.seated import SeatedZone
from tests.support.zones import BANK, CITY, HOSPITAL, UNIVERSITY

SEATED = (HOSPITAL, UNIVERSITY, BANK, CITY)
OTHERS = (UNIVERSITY, BANK, CITY)


class Source:
    """Another validator's node, as its client here sees it."""

    def __init__(self, zone):
        self.zone = zone
        self.span = EngineSpan(first=3, last=12)
        self.lie = {}
        self.away = False
        self.asked = []

    async def engine_span(self):
        if self.away:
            raise PeerError("nobody answers", remedy="Wait.")
        return self.span

    async def engine_beginning(self, height):
        self.asked.append(height)
        header = decode_header(self.zone.store.head_at(height).header)
        powers = Seats().validators(State(self.zone.store), height)
        honest = {"chain": self.zone.chain, "height": height, "app_hash": header.app_hash, "powers": powers}
        told = tell(**honest | self.lie)
        return EngineTold(commits=tuple(told.commits), validators=tuple(told.validators), parameters=told.parameters)


class Bench:
    """A validator's node whose ledger has ten blocks and whose engine has none, and the three others."""

    def __init__(self, folder):
        self.zone = SeatedZone(folder, SEATED, validators=SEATED, together=True)
        while len(self.zone.blocks) < 10:
            self.zone.execute([])
        self.home = self.zone.home
        engine_height(self.home).begin()
        self.count_evidence(4)
        self.sources = {name: Source(self.zone) for name in OTHERS}
        self.now = 1_000.0
        self.followed = []
        directory = Directory(self.zone.store)
        for peer in directory.peers():
            directory._peers[peer.organisation] = peer._replace(address="127.0.0.1:1")
        self.start = EngineStart(
            self.home,
            self.zone.store,
            self,
            self,
            directory,
            organisation=HOSPITAL,
            clock_s=lambda: self.now,
        )

    async def of(self, organisation):
        return self.sources[organisation]

    async def ask(self, kind, body=None):
        self.followed.append((kind, body))
        return True

    def count_evidence(self, blocks):
        """Say for how many blocks evidence counts in this zone."""
        evidence = {"max_age_num_blocks": str(blocks), "max_age_duration": "1000000"}
        self.home.engine_genesis_path.write_text(json.dumps({"consensus_params": {"evidence": evidence}}))

    def span(self, first, last):
        for source in self.sources.values():
            source.span = EngineSpan(first=first, last=last)

    async def look(self):
        """Look, and return where the engine begins and what was logged."""
        with structlog.testing.capture_logs() as logs:
            await self.start.look()
        begins = read_beginning(self.home)
        return None if begins is None else begins.height, logs

    @staticmethod
    def log_of(looked):
        """Return what was logged of a beginning."""
        (found,) = [entry for entry in looked[1] if entry["event"] == "engine_beginning_found"]
        return found

    async def light(self, number, method, **params):
        """Ask a light client's question at a socket."""
        connector = aiohttp.UnixConnector(str(self.home.light_path(number)))
        async with aiohttp.ClientSession(connector=connector) as session:
            body = {"jsonrpc": "2.0", "id": 5, "method": method, "params": params}
            async with session.post("http://light/", json=body) as response:
                return json.loads(await response.read())


@pytest.fixture
async def bench(tmp_path):
    """A bench; its sockets are closed afterwards."""
    made = Bench(tmp_path / "home")
    yield made
    await made.start._server.close()
    made.zone.store.close()


async def test_engine_begins_with_the_first_block_that_evidence_may_be_of(bench):
    """Behind the one before, as the others tell its header; both sockets answer what the light client asks."""
    height, _ = await bench.look()
    assert 6 == height
    for number in (0, 1):
        for at in (6, 7, 8):
            commit = (await bench.light(number, "commit", height=str(at)))["result"]["signed_header"]
            assert (str(at), bench.zone.chain) == (commit["header"]["height"], commit["header"]["chain_id"])
            listed = (await bench.light(number, "validators", height=str(at), page="1", per_page="100"))["result"]
            assert 4 == len(listed["validators"])
        parameters = (await bench.light(number, "consensus_params", height="7"))["result"]
        assert "7" == parameters["block_height"]
    commit = (await bench.light(0, "commit", height="6"))["result"]["signed_header"]["commit"]
    assert commit["block_id"]["hash"].lower() == read_beginning(bench.home).hash
    assert 0o600 == bench.home.light_path(0).stat().st_mode & 0o777


async def test_light_client_is_told_what_is_not_there(bench):
    """In the words by which the engine knows a missing block from a broken server; nonsense is refused."""
    await bench.look()
    for method, height in (("commit", "5"), ("validators", "9"), ("consensus_params", "6"), ("status", "6")):
        assert f"height {height} is not available" == (await bench.light(0, method, height=height))["error"]["data"]
    connector = aiohttp.UnixConnector(str(bench.home.light_path(0)))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post("http://light/", data=b"?") as answer,
    ):
        assert 400 == answer.status


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"app_hash": "cd" * 32}, "another app hash after block 6 than the ledger has"),
        ({"chain": "another-zone"}, "a header of the chain another-zone"),
        ({"powers": {b"x" * 32: 10}}, "other validators of block 6 than the ledger names"),
        ({"turn": 99}, "the others tell otherwise"),
        ({"mark": "a second header"}, "the others tell otherwise"),
    ],
)
async def test_liar_is_refused_by_name_and_the_others_are_believed(bench, lie, reason):
    """What it tells reaches the engine at neither socket."""
    bench.sources[UNIVERSITY].lie = lie
    height, logs = await bench.look()
    assert 6 == height
    refused = [entry for entry in logs if entry["event"] == "engine_source_refused"]
    assert [(UNIVERSITY, reason)] == [(entry["organisation"], entry["reason"]) for entry in refused]
    (found,) = [entry for entry in logs if entry["event"] == "engine_beginning_found"]
    assert {BANK, CITY} == set(found["sources"])


async def test_one_alone_is_not_believed(bench):
    """Of four validators one may lie: with only one that tells something sound, the engine waits, and the log says so."""
    for name in (UNIVERSITY, BANK):
        bench.sources[name].lie = {"app_hash": "cd" * 32}
    height, logs = await bench.look()
    assert height is None
    assert "engine_waits_for_others" in [entry["event"] for entry in logs]

    bench.sources[BANK].lie = {}
    assert (None, []) == await bench.look()
    bench.now += RETRY_SECONDS
    assert 6 == (await bench.look())[0]


async def test_others_that_are_away_are_waited_for(bench):
    """It is said once who is asked and who answered, and asked again until enough do."""
    for name in (UNIVERSITY, BANK):
        bench.sources[name].away = True
    height, logs = await bench.look()
    assert (None, [CITY], 2) == (height, logs[-1]["answered"], logs[-1]["needed"])
    bench.now += RETRY_SECONDS
    assert "engine_waits_for_others" not in [entry["event"] for entry in (await bench.look())[1]]
    bench.sources[BANK].away = False
    bench.now += RETRY_SECONDS
    assert 6 == (await bench.look())[0]


async def test_chain_of_which_all_counts_is_fetched_from_its_first_block(bench):
    """Where enough others have that; else from the first that they have. One that claims it alone changes nothing."""
    bench.count_evidence(100)
    bench.sources[BANK].span = EngineSpan(first=1, last=12)
    assert 3 == (await bench.look())[0]

    bench.sources[CITY].span = EngineSpan(first=1, last=12)
    bench.now += AGAIN_SECONDS
    assert 0 == (await bench.look())[0]


async def test_block_that_is_about_to_be_forgotten_is_none_to_begin_with(bench):
    """A tenth of what the others have is left out where they forget, though evidence may be of it."""
    bench.count_evidence(100)
    bench.span(2, 42)
    assert 6 == (await bench.look())[0]


async def test_engine_that_begins_itself_is_no_source(bench):
    """It has no block, neither the first nor another."""
    for name in (BANK, CITY):
        bench.sources[name].span = EngineSpan(first=0, last=0)
    assert None is (await bench.look())[0]


async def test_long_chain_begins_in_the_middle_though_its_first_block_is_there(bench):
    """To play all blocks again brings nothing that the ledger has not."""
    bench.span(1, 12)
    assert 6 == (await bench.look())[0]


async def test_ledger_that_is_older_than_the_engines_blocks_follows_first(bench):
    """The core is told once, up to a block that is decided for certain."""
    bench.span(40, 60)
    assert None is (await bench.look())[0]
    bench.now += AGAIN_SECONDS
    await bench.look()
    assert [("follow_first", 59)] == bench.followed


async def test_engine_that_does_not_begin_gets_another_source_first(bench):
    """At the same height, as it may be at it; and nobody is asked meanwhile."""
    first = bench.log_of(await bench.look())["sources"][0]
    asked = [source.asked for source in bench.sources.values()]
    bench.span(3, 30)
    bench.now += AGAIN_SECONDS - 1
    await bench.look()
    assert [[6]] * 3 == asked
    bench.now += 1
    found = bench.log_of(await bench.look())
    assert first != found["sources"][0]
    assert (6, [[6, 6]] * 3) == (read_beginning(bench.home).height, asked)


async def test_engine_that_has_begun_is_left_alone(bench):
    """Nobody is asked, and nothing answers at the sockets any more."""
    await bench.look()
    engine_height(bench.home).set(10)
    bench.now += AGAIN_SECONDS
    await bench.look()
    assert not bench.home.light_path(0).exists()
    assert [[6]] * 3 == [source.asked for source in bench.sources.values()]


async def test_zone_whose_nodes_have_no_address_leaves_it_to_the_engines(bench):
    """There is nobody to ask: the engine fetches all blocks, as it does by itself."""
    directory = bench.start._directory
    for peer in directory.peers():
        directory._peers[peer.organisation] = peer._replace(address="")
    write_beginning(bench.home, EngineBeginning(height=4))
    assert 0 == (await bench.look())[0]
