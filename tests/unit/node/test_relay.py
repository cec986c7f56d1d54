"""A replica's way to the orderer: lost answers do no harm, and no answer is believed that the own copy contradicts."""

import asyncio

import pytest

from tallystick.errors import IntegrityError, PeerError, QueueFullError, RejectedError
from tallystick.machine.rejections import REPEATED
from tallystick.node.peers.bells import Bell
from tallystick.node.peers.failures import PeerUnreachableError
from tallystick.node.peers.relay import Relay
from tallystick.ordering import Submitted
from tallystick.ordering.fairness import Share
from tallystick.ordering.link import describe_error
from tests.support.ledgers import ORDERER, LedgerHome, note


class Orderer:
    """Those who order as a replica sees them: their answers, one request after the other.

    Attributes:
        orderers: who they are; all answer alike.
        absent: those of them that have registered no address.
        script: what is done with each request: a list of answers, or an error that the connection ends with.
        asked: transactions of each request.
        tried: who got each request.
    """

    def __init__(self):
        self.orderers = (ORDERER,)
        self.absent = set()
        self.script = []
        self.asked = []
        self.tried = []

    def find(self, organisation):
        return None

    async def of_first(self, organisations):
        name = next((each for each in organisations if each not in self.absent), "")
        self.tried.append(name)
        return name, self if name else None

    async def submit(self, transactions):
        self.asked.append(list(transactions))
        done = self.script.pop(0)
        if isinstance(done, Exception):
            raise done
        return done


def unreachable(*, sent):
    error = PeerUnreachableError("the orderer cannot be reached", remedy="Wait.")
    error.sent = sent
    return error


@pytest.fixture
def home(tmp_path):
    made = LedgerHome(tmp_path / "home")
    made.run([[("bank", [note("a")], True)]])
    yield made
    made.close()


@pytest.fixture
async def relay(home):
    orderer = Orderer()
    made = Relay(orderer, orderer, home.store, Bell(), attempts=3)
    made.start()
    yield made, orderer
    await made.stop()


def recorded(home):
    """Return the bytes of the transaction that the copy has, and its result."""
    block = next(iter(home.store.blocks(1)))
    (raw,) = block.transactions
    identifier = home.store.query("SELECT id FROM transactions")[0][0]
    height, first_leaf, _ = home.store.find_transaction(identifier)
    return raw, {"id": identifier, "height": height, "first_leaf": first_leaf, "outcomes": [0]}


async def test_answer_is_believed_once_the_own_copy_has_it(home, relay):
    """What the orderer says and the copy confirms is the result."""
    made, orderer = relay
    raw, answer = recorded(home)
    orderer.script = [[answer]]
    (done,) = await made.submit([raw])
    assert isinstance(done, Submitted)
    assert (answer["id"], 1, 0) == (done.id, done.height, done.outcomes[0].code)


async def test_lost_answer_is_made_up_for_by_the_same_bytes(home, relay):
    """The connection ends after the orderer has recorded it: sent again, `repeated` is read as the success it was."""
    made, orderer = relay
    raw, _ = recorded(home)
    orderer.script = [unreachable(sent=True), [describe_error(REPEATED())]]
    (done,) = await made.submit([raw])
    assert isinstance(done, Submitted)
    assert [[raw], [raw]] == orderer.asked


async def test_repeated_without_a_lost_answer_is_a_rejection(home, relay):
    """Whoever sends what was recorded before is told so."""
    made, orderer = relay
    raw, _ = recorded(home)
    orderer.script = [[describe_error(REPEATED())]]
    (done,) = await made.submit([raw])
    assert isinstance(done, RejectedError)
    assert REPEATED.code == done.code


async def test_orderer_that_tells_another_outcome_is_contradicted(home, relay):
    """The copy is right; the answer is refused by name."""
    made, orderer = relay
    raw, answer = recorded(home)
    lie = {**answer, "outcomes": [{"code": 9001, "name": "key_taken", "message": "no", "fields": {}}]}
    orderer.script = [[lie]]
    (done,) = await made.submit([raw])
    assert isinstance(done, IntegrityError)
    assert "another outcome" in done.message


async def test_result_of_another_transaction_is_no_result(home, relay):
    """An answer with another id, or of another form, is refused; others in the same request are not harmed."""
    made, orderer = relay
    raw, answer = recorded(home)
    other = home.toy.sign("bank", note("z"))
    third = home.toy.sign("bank", note("y"), nonce="1" * 32)
    orderer.script = [[answer, {**answer, "id": b"\x00" * 32}, {"odd": True}]]
    good, wrong, odd = await made.submit([raw, other, third])
    assert isinstance(good, Submitted)
    assert isinstance(wrong, PeerError)
    assert isinstance(odd, PeerError)


async def test_orderer_that_stays_away_is_named_and_nothing_is_claimed(home, relay):
    """After some attempts each is told that it may be recorded, if anything was sent at all."""
    made, orderer = relay
    never, maybe = home.toy.sign("bank", note("q")), home.toy.sign("bank", note("r"), nonce="2" * 32)
    orderer.script = [unreachable(sent=False)] * 3
    (done,) = await made.submit([never])
    assert isinstance(done, PeerUnreachableError)
    orderer.script = [unreachable(sent=True), unreachable(sent=False), unreachable(sent=False)]
    (done,) = await made.submit([maybe])
    assert "may be recorded all the same" in done.message
    assert done.remedy


async def test_each_attempt_goes_to_another_of_those_who_order(home, relay):
    """Where several order together, one that does not answer is passed over for the next, with the same bytes."""
    made, orderer = relay
    orderer.orderers = ("bank", "city", "clinic", "port")
    raw, answer = recorded(home)
    orderer.script = [unreachable(sent=True), unreachable(sent=False), [answer]]
    (done,) = await made.submit([raw])
    assert isinstance(done, Submitted)
    assert ["bank", "city", "clinic"] == orderer.tried
    assert [[raw]] * 3 == orderer.asked


async def test_who_has_no_address_is_passed_over(home, relay):
    """One of those who order whose node cannot be found is no obstacle; that none can is told at once, by name."""
    made, orderer = relay
    orderer.orderers = ("bank", "city", "clinic", "port")
    orderer.absent = {"bank", "city"}
    raw, answer = recorded(home)
    orderer.script = [[{**answer, "id": b"\x00" * 32}]]
    (done,) = await made.submit([raw])
    assert ["clinic"] == orderer.tried
    assert "clinic" in done.message
    orderer.absent = set(orderer.orderers)
    (done,) = await made.submit([raw])
    assert "bank, city, clinic, port" in done.message
    assert done.remedy


async def test_malformed_transaction_never_leaves_this_node(home, relay):
    """Garbage is refused here, and does not disturb its neighbours."""
    made, orderer = relay
    raw, answer = recorded(home)
    orderer.script = [[answer]]
    bad, good = await made.submit([b"garbage", raw])
    assert "malformed" == bad.name
    assert isinstance(good, Submitted)
    assert [[raw]] == orderer.asked


async def test_stopping_refuses_what_waits(home):
    """Nobody waits for a node that has stopped."""
    orderer = Orderer()
    made = Relay(orderer, orderer, home.store, Bell())
    waiting = asyncio.create_task(made.submit([home.toy.sign("bank", note("w"))]))
    await asyncio.sleep(0)
    await made.stop()
    (done,) = await asyncio.wait_for(waiting, 10)
    assert isinstance(done, PeerError)
    assert done.remedy


async def test_unforeseen_mistake_leaves_nobody_waiting(home, relay):
    """Whatever goes wrong in relaying, those of that request are told that it may be recorded, and the next goes out."""
    made, orderer = relay
    raw, answer = recorded(home)
    orderer.script = [ZeroDivisionError("nobody thought of this"), [], [answer]]
    for _ in range(2):
        (done,) = await asyncio.wait_for(made.submit([home.toy.sign("bank", note("u"))]), 10)
        assert isinstance(done, PeerError)
        assert "may be recorded all the same" in done.message
    (done,) = await made.submit([raw])
    assert isinstance(done, Submitted)


async def test_full_queue_of_the_orderer_is_passed_on(home, relay):
    """That the orderer's node has the organisation's share waiting is told with the time after which to come again."""
    made, orderer = relay
    full = QueueFullError("bank has too much waiting", remedy="Wait.", retry_after_s=7)
    orderer.script = [[describe_error(full)]]
    (done,) = await made.submit([home.toy.sign("bank", note("v"))])
    assert isinstance(done, QueueFullError)
    assert (7, "Wait.") == (done.retry_after_s, done.remedy)


async def test_own_queue_is_bounded_for_each_organisation(home):
    """Beyond its share an organisation is told to wait, another is not; what is settled makes room."""
    orderer = Orderer()
    made = Relay(orderer, orderer, home.store, Bell(), share=Share(2, 1 << 20))
    waiting = asyncio.create_task(made.submit([home.toy.sign("bank", note(key)) for key in "wxy"]))
    other = asyncio.create_task(made.submit([home.toy.sign("clinic", note("z"))]))
    await asyncio.sleep(0)
    await made.stop()
    results = await asyncio.wait_for(waiting, 10)
    assert [False, False, True] == [isinstance(each, QueueFullError) for each in results]
    assert results[2].retry_after_s >= 1
    assert not isinstance((await other)[0], QueueFullError)
    assert 0 == made._shares.count("bank")
