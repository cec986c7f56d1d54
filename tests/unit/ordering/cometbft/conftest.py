"""The application over a real store, asked as the engine asks."""

import pytest

from tallystick.codec import sha256
from tallystick.codec.bundles import encode_bundle
from tallystick.keys import ED25519
from tallystick.ordering import InlineVerifier
from tallystick.ordering.cometbft import HeaderSealer, LedgerApplication
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.store import LedgerStore
from tests.support.toy import RULEBOOK, PutNote, Toy

CHAIN = "toy-00000000"
VALIDATOR = "bank"
SYSTEM = ED25519.from_private(b"s" * 32)


def bundles(*transactions):
    """Return transactions as the engine carries them, each in a bundle of its own."""
    return [encode_bundle([raw]) for raw in transactions]


class Bench:
    """One ledger in a folder, its application, and what a test needs to play the engine.

    Attributes:
        now: ms; the clock of admission.
        committed: what listeners were told.
    """

    def __init__(self, folder, **toy):
        self.folder = folder
        self.toy = Toy(**toy)
        self.now = 1_000
        self.committed = []
        self.stores = []

    def application(self, name="ledger.db", **options):
        """Open the ledger, as a new process does."""
        path = self.folder / name
        if not path.exists():
            LedgerStore.create(path, RULEBOOK, chain=CHAIN, genesis=self.toy.genesis, records=self.toy.records())
        store = LedgerStore(path, RULEBOOK)
        self.stores.append(store)
        return LedgerApplication(
            store.load_state(),
            store,
            RULEBOOK,
            InlineVerifier(),
            clock_ms=lambda: self.now,
            seal=HeaderSealer(CHAIN, VALIDATOR, SYSTEM, previous=store.last_header_hash).seal,
            on_block=self.committed.append,
            **options,
        )

    def note(self, organisation="bank", key="a", count=1, **options):
        """Return a signed transaction that puts notes."""
        notes = [PutNote(key=f"{key}{number}", text="hello") for number in range(count)]
        return self.toy.sign(organisation, *notes, **options)

    def forged(self, raw):
        """Return a transaction with another byte in its signature."""
        place = raw.index(b"\x58\x40") + 20
        return raw[:place] + bytes((raw[place] ^ 1,)) + raw[place + 1 :]

    def finalize(self, application, *transactions, time=2_000):
        """Return the request for the next block, in which each transaction is a bundle of its own."""
        request = abci.RequestFinalizeBlock(
            txs=bundles(*transactions),
            height=application.state.height + 1,
            hash=sha256(b"block"),
            proposer_address=b"p" * 20,
        )
        request.time.FromMilliseconds(time)
        return request

    async def block(self, application, *transactions, time=2_000):
        """Execute and commit the next block."""
        answer = await application.finalize_block(self.finalize(application, *transactions, time=time))
        await application.commit(abci.RequestCommit())
        return answer

    def refused(self):
        """Return why each transaction of the last block left nothing behind, or "" for those that did."""
        return ["" if done.refused is None else done.refused.name for done in self.committed[-1].decided]

    async def check(self, application, *transactions, kind=abci.NEW):
        """Return the code that each transaction, in a bundle of its own, is answered with at admission."""
        requests = [abci.RequestCheckTx(tx=bundle, type=kind) for bundle in bundles(*transactions)]
        return [answer.code for answer in await application.check_transactions(requests)]


@pytest.fixture
def make_bench(tmp_path):
    """Return a function that makes a bench with other parameters or organisations."""
    made = []

    def make(**toy):
        bench = Bench(tmp_path, **toy)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        for store in bench.stores:
            store.close()


@pytest.fixture
def bench(make_bench):
    """A bench of the toy zone."""
    return make_bench()
