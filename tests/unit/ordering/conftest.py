"""Engines over a real store in a temporary folder."""

import pytest

from tallystick.keys import ED25519
from tallystick.ordering import InlineVerifier, Replica, Solo
from tallystick.store import LedgerStore
from tests.support.toy import RULEBOOK, Toy

ORDERER = "bank"


class Clock:
    """A clock that tests set."""

    def __init__(self):
        self.now = 1_000

    def __call__(self):
        return self.now


class Bench:
    """One orderer and any number of copies, all on real files."""

    def __init__(self, folder, **toy):
        self.folder = folder
        self.toy = Toy(**toy)
        self.clock = Clock()
        self.signer = ED25519.from_private(b"o" * 32)
        self.validators = {ORDERER: self.signer.public_key}
        self.blocks = []
        self.stores = []

    def store(self, name):
        path = self.folder / name
        if not path.exists():
            LedgerStore.create(
                path, RULEBOOK, chain="toy-00000000", genesis=self.toy.genesis, records=self.toy.records()
            )
        store = LedgerStore(path, RULEBOOK)
        self.stores.append(store)
        return store

    def solo(self, name="solo.db", verifier=None, **options):
        store = self.store(name)
        return Solo(
            store.load_state(),
            store,
            RULEBOOK,
            self.signer,
            verifier or InlineVerifier(),
            organisation=ORDERER,
            clock_ms=self.clock,
            previous=store.last_header_hash(),
            on_block=lambda result, header, signatures: self.blocks.append(
                (header, signatures, result.block.transactions)
            ),
            **options,
        )

    def replica(self, name="replica.db"):
        store = self.store(name)
        return Replica(
            store.load_state(),
            store,
            RULEBOOK,
            InlineVerifier(),
            validators=lambda: self.validators,
            clock_ms=self.clock,
            previous=store.last_header_hash(),
        )


@pytest.fixture
def make_bench(tmp_path):
    """Return a function that makes a bench with other parameters or organisations."""
    made = []

    def make(**toy):
        made.append(Bench(tmp_path, **toy))
        return made[-1]

    yield make
    for each in made:
        for store in each.stores:
            store.close()


@pytest.fixture
def bench(make_bench):
    """A bench of the toy zone."""
    return make_bench()
