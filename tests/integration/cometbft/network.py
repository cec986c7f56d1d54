"""Real engines with our application behind them, on loopback: made, started, killed and read by tests."""

import asyncio
import datetime
import itertools
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

from tallystick.codec import sha256
from tallystick.codec.bundles import encode_bundle
from tallystick.machine import Block, LedgerState, build_transaction, decode_transaction, execute_block
from tallystick.merkle import Frontier, StateTree, state_key, state_leaf
from tallystick.modules import decode_genesis, genesis_writes, rulebook
from tallystick.modules.evidence.ops.record_evidence import RecordEvidence
from tallystick.ordering.cometbft.bundles import unpack
from tallystick.ordering.cometbft.rpc import RPC_SETTINGS, EngineRpc
from tallystick.proofs.headers import decode_header
from tallystick.store import LedgerStore
from tests.support.components import require
from tests.support.nodes import free_port
from tests.support.zones import BANK, CITY, HOSPITAL, UNIVERSITY, MemoryReader, make_genesis, signing_key

ROOT = Path(__file__).parents[3]
MEMBERS = (HOSPITAL, UNIVERSITY, BANK, CITY)
WAIT_SECONDS = 90.0
GENESIS = make_genesis()
CHAIN = decode_genesis(GENESIS).chain
EMPTY_SEEN = (0, Frontier().root())
# What differs from the engine's own defaults; its speed is that of a loaded test machine, not of a deployment.
SETTINGS = {
    "create_empty_blocks": "false",
    "timeout_commit": '"100ms"',
    "timeout_propose": '"1s"',
    "recheck": "true",
    "addr_book_strict": "false",
    "allow_duplicate_ip": "true",
    "pex": "false",
    "indexer": '"null"',
} | {name: str(value) for name, value in RPC_SETTINGS.items()}


def engine():
    """Return the engine's program, which set-up builds."""
    return require("cometbft")


def now_ms():
    return time.time_ns() // 1_000_000


_numbers = itertools.count()


def sign(organisation, count=1, *, seen=EMPTY_SEEN, expires=None, role="service", atomic=True):
    """Return a transaction that records pieces of evidence."""
    key = signing_key(organisation, role)
    operations = [
        RecordEvidence(root=sha256(f"{os.getpid()}/{next(_numbers)}".encode()).hex(), count=1) for _ in range(count)
    ]
    return build_transaction(
        operations,
        organisation=organisation,
        key=key.verify_key.encode(),
        sign=lambda message: key.sign(message).signature,
        external_aad=sha256(GENESIS),
        expires=now_ms() + 600_000 if expires is None else expires,
        nonce=secrets.token_hex(16),
        seen_size=seen[0],
        seen_root=seen[1],
        atomic=atomic,
    )


def first_state():
    """Return the state at genesis, in memory."""
    reader = MemoryReader({(collection, key): value for collection, key, value in genesis_writes(GENESIS)})
    entries = ((state_key(*where), sha256(value)) for where, value in reader.records.items())
    return LedgerState(
        chain=CHAIN,
        genesis_hash=sha256(GENESIS),
        height=0,
        time=0,
        reader=reader,
        tree=StateTree.build((place, state_leaf(place, value)) for place, value in entries),
        frontier=Frontier(),
    )


class LooseRpc(EngineRpc):
    """Speaks of the ledger's transactions: each is sent in a bundle of its own, and a block's are taken out of theirs."""

    async def send(self, transactions, *, wait=True):
        return await super().send([encode_bundle([raw]) for raw in transactions], wait=wait)

    async def transactions(self, height):
        return tuple(raw for bundle in unpack(await super().transactions(height)) for raw in bundle.transactions)


class Machine:
    """One validator or full node: the engine and its application, each a process of its own."""

    def __init__(self, home, organisation, *, snapshots=0, lenient=False):
        self.home = home
        self.organisation = organisation
        self.lenient = lenient
        self.socket = home / "rpc.sock"
        self.rpc_port, self.p2p_port = free_port(), free_port()
        self.snapshots = snapshots
        self.retain = 0
        self.application = self.engine = None
        home.mkdir(parents=True)
        LedgerStore.create(
            home / "ledger.db", rulebook(), chain=CHAIN, genesis=GENESIS, records=genesis_writes(GENESIS)
        )
        self._engine("init")

    @property
    def validator(self):
        """Its entry in the engine's genesis."""
        key = json.loads((self.home / "config/priv_validator_key.json").read_text())
        return {"address": key["address"], "pub_key": key["pub_key"], "power": "10", "name": ""}

    @property
    def peer(self):
        return f"{self._engine('show-node-id').strip()}@127.0.0.1:{self.p2p_port}"

    def _engine(self, *arguments):
        command = [str(engine()), *arguments, "--home", str(self.home)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def configure(self, genesis, peers, **settings):
        """Write the engine's files."""
        (self.home / "config/genesis.json").write_text(json.dumps(genesis))
        path = self.home / "config/config.toml"
        text = path.read_text()
        for name, value in (SETTINGS | settings).items():
            text, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
            assert found, name
        text = text.replace("tcp://127.0.0.1:26657", f"unix://{self.socket},tcp://127.0.0.1:{self.rpc_port}")
        text = text.replace("tcp://0.0.0.0:26656", f"tcp://127.0.0.1:{self.p2p_port}")
        text = text.replace('persistent_peers = ""', f'persistent_peers = "{",".join(peers)}"')
        text = re.sub(r"(?m)^proxy_app = .*$", f'proxy_app = "unix://{self.home}/abci.sock"', text)
        path.write_text(text)

    def start(self, crash=""):
        """Start both; the engine waits for the application's socket by itself."""
        log = (self.home / "log").open("ab")
        command = [sys.executable, "-m", "tests.integration.cometbft.application", str(self.home), self.organisation]
        command += [
            "--snapshots",
            str(self.snapshots),
            "--retain",
            str(self.retain),
            *(["--crash", crash] if crash else []),
        ]
        command += ["--lenient"] if self.lenient else []
        self.application = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._listens() and self.application.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        self.engine = subprocess.Popen(
            [str(engine()), "start", "--home", str(self.home)], stdout=log, stderr=log, start_new_session=True
        )
        log.close()

    def _listens(self):
        return (self.home / "abci.sock").exists()

    def kill(self, which):
        """Kill -9 the application, the engine or both, then be sure that both are gone."""
        victims = {"application": [self.application], "engine": [self.engine], "both": [self.application, self.engine]}
        for process in victims[which]:
            process.send_signal(signal.SIGKILL)
        self.stop()

    def stop(self):
        """Stop in order, by pid: the engine first."""
        for process in (self.engine, self.application):
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.application = self.engine = None
        # A killed application leaves its socket behind, on which nobody listens any more.
        (self.home / "abci.sock").unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)

    @asynccontextmanager
    async def rpc(self):
        """Yield the engine's RPC, open."""
        client = LooseRpc(self.socket)
        client.open()
        try:
            yield client
        finally:
            await client.close()

    def store(self):
        return LedgerStore(self.home / "ledger.db", rulebook(), read_only=True)

    def on_disk(self):
        """Return (height, size, header of the last stored block) of the ledger."""
        store = self.store()
        try:
            last = store.last_block()
            return (0, 0, b"") if last is None else (last.height, last.size, last.header)
        finally:
            store.close()

    def tail(self):
        return (self.home / "log").read_text(errors="replace")[-3_000:]


class Network:
    """Validators that decide together."""

    def __init__(self, folder, validators=1, **options):
        self.folder = folder
        self.machines = [Machine(folder / f"n{number}", MEMBERS[number], **options) for number in range(validators)]
        self.genesis = {
            "genesis_time": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "chain_id": CHAIN,
            "initial_height": "1",
            "consensus_params": {
                "block": {"max_bytes": str(4 << 20), "max_gas": "-1"},
                "evidence": {
                    "max_age_num_blocks": "100000",
                    "max_age_duration": "172800000000000",
                    "max_bytes": "65536",
                },
                "validator": {"pub_key_types": ["ed25519"]},
                "version": {"app": "1"},
                "abci": {"vote_extensions_enable_height": "0"},
            },
            "validators": [machine.validator for machine in self.machines],
            "app_hash": "",
        }
        peers = [machine.peer for machine in self.machines]
        for number, machine in enumerate(self.machines):
            machine.configure(self.genesis, peers[:number] + peers[number + 1 :])

    def join(self, name, **settings):
        """Return one more machine that knows all others and does not validate."""
        machine = Machine(self.folder / name, MEMBERS[-1])
        machine.configure(self.genesis, [other.peer for other in self.machines], **settings)
        return machine

    def start(self):
        for machine in self.machines:
            machine.start()

    def stop(self):
        for machine in self.machines:
            machine.stop()


async def until(condition, what, seconds=WAIT_SECONDS):
    """Return what a coroutine function returns as soon as that is true; errors count as not yet."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            found = await condition()
        except Exception as error:
            last, found = error, None
        if found:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}; last: {last!r}")


async def ready(machine):
    """Wait until an engine answers."""
    async with machine.rpc() as rpc:
        await until(rpc.status, f"the engine of {machine.home.name}\n{machine.tail() if machine.application else ''}")


async def recorded(machine, transactions):
    """Wait until transactions are in the ledger of a machine; return it open for reading."""

    async def all_there():
        store = machine.store()
        missing = [raw for raw in transactions if store.find_transaction(_identifier(raw)) is None]
        if missing:
            store.close()
            return None
        return store

    return await until(all_there, f"{len(transactions)} transactions")


def _identifier(raw):
    return decode_transaction(raw, sha256(GENESIS)).id


async def replay(machine, last):
    """Execute the decided blocks 1 to `last` alone, as the engine has them; return the app hash after each, by height."""
    state = first_state()
    store = machine.store()
    times = {height: decode_header(store.head_at(height).header).time for height in range(1, last + 1)}
    store.close()
    hashes = {}
    async with machine.rpc() as rpc:
        for height in range(1, last + 1):
            result = execute_block(state, Block(height, times[height], await rpc.transactions(height)), rulebook())
            state.reader.write(result.writes)
            result.commit_to(state)
            hashes[height] = result.app_hash.hex()
    return hashes


def headers_of(machine):
    """Return the zone's headers on a machine's disk, by height."""
    store = machine.store()
    found = {height: decode_header(header) for height, header, _ in store.signed_headers_down_from(1 << 40)}
    store.close()
    return found
