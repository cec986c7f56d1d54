"""A node that lies is refused by name, through the interfaces that real nodes use, and left for one that does not.

A zone of three is made once. Each test copies the home of a member that is a few blocks behind, and lets it follow a liar
first: whatever holds the TLS key of a member, and where the orderer itself lies, its system key as well.
"""

import asyncio
import shutil
import time

import msgspec
import pytest

from tallystick.merkle import EMPTY_ROOT
from tallystick.node.homes import Home, open_keys
from tallystick.node.inspection import check, kept_forks, read_fork_proof
from tallystick.node.join import invite, join
from tallystick.node.peers.messages import SignedBlock, Witnessed
from tallystick.proofs.checkpoints import cosign, sign_checkpoint
from tallystick.proofs.headers import decode_signatures, encode_signatures
from tests.support.liars import Liar, blocks_of, evidence_of, hash_of, next_block, resigned
from tests.support.nodes import PASSPHRASE, LocalNode, free_port, make_zone, open_quickly, until

HOSPITAL, UNIVERSITY, BANK = "city-hospital", "river-university", "harbour-bank"
BEHIND = 3


def now_ms():
    return time.time_ns() // 1_000_000


class Stage:
    """Three homes of one zone: the orderer and the bank have all blocks, the university all but the last three."""

    def __init__(self, folder):
        self.folder = folder
        self.keys = {}
        asyncio.run(self._make())
        for name in (HOSPITAL, UNIVERSITY, BANK):
            self.keys[name] = open_keys(self.home(name), PASSPHRASE)
        self.blocks = blocks_of(self.home(HOSPITAL))
        self.orderer = self.keys[HOSPITAL].signer("system")

    def home(self, name):
        return Home(self.folder / name)

    async def _make(self):
        async with LocalNode(make_zone(self.folder, HOSPITAL).home) as hospital:
            for name in (UNIVERSITY, BANK):
                invitation = invite(hospital.home, name)
                address = f"127.0.0.1:{free_port()}"
                home, card = await join(self.folder / name, invitation, name, PASSPHRASE, address, "127.0.0.1:0")
                open_quickly(home)
                await hospital.office.office.members.admit(name, card)
            async with LocalNode(self.home(BANK)) as bank:
                async with LocalNode(self.home(UNIVERSITY)) as university:
                    # A member witnesses histories that are longer than the one it joined with.
                    raw = evidence_of(hospital.home, hospital.keys, "f" * 64, time=now_ms())
                    await hospital.office.ledger.submit_signed([raw])
                    await until(lambda: university.height == hospital.height, "the university to follow")
                for number in range(BEHIND):
                    raw = evidence_of(hospital.home, hospital.keys, f"{number:064x}", time=now_ms())
                    await hospital.office.ledger.submit_signed([raw])
                await until(lambda: bank.height == hospital.height, "the bank to follow")

    def copy(self, folder, name=UNIVERSITY):
        """Return a fresh copy of a home."""
        target = folder / f"{name}-{len(list(folder.iterdir()))}"
        shutil.copytree(self.folder / name, target)
        return Home(target)

    def victim(self, folder, *sources, name=UNIVERSITY, **options):
        """Return a node on a copy of a home, which follows these sources in this order."""
        follow = [source.address for source in sources]
        return LocalNode(
            self.copy(folder, name), self.keys[name], follow=follow, poll_seconds=1, listen="127.0.0.1:0", **options
        )

    def liar(self, blocks, name=BANK, **options):
        """Return a liar that holds a member's TLS key."""
        return Liar(self.home(name), self.keys[name], blocks, **options)

    def honest(self):
        """Return what answers as the orderer's node does."""
        return Liar(self.home(HOSPITAL), self.keys[HOSPITAL], self.blocks)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return Stage(tmp_path_factory.mktemp("stage"))


def at(stage, change):
    """Return all blocks, with the first one that the university lacks replaced."""
    blocks = list(stage.blocks)
    place = len(blocks) - BEHIND
    blocks[place] = change(blocks[place])
    return blocks


def with_a_bit_flipped(data, position):
    return data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]


def forged_transaction(block):
    """Return the block's transaction with one bit of its signature changed."""
    (raw,) = block.transactions
    return with_a_bit_flipped(raw, raw.index(b"\x58\x40") + 20)


def forged_signature(block):
    """Return the block's signatures with the first one that of another header."""
    first, *others = decode_signatures(block.signatures)
    forged = with_a_bit_flipped(bytes.fromhex(first.signature), 7).hex()
    return encode_signatures([msgspec.structs.replace(first, signature=forged), *others])


SOURCE_LIES = {
    "bad_header_signature": lambda stage, block: SignedBlock(block.header, forged_signature(block), block.transactions),
    "bad_header_signature of another member": lambda stage, block: resigned(
        block, stage.keys[BANK].signer("system"), app_hash="00" * 32
    ),
    "transactions_mismatch": lambda stage, block: SignedBlock(
        block.header, block.signatures, [forged_transaction(block)]
    ),
    "transactions_mismatch by none": lambda stage, block: SignedBlock(block.header, block.signatures, []),
    "malformed_header": lambda stage, block: SignedBlock(b" " + block.header, block.signatures, block.transactions),
    "wrong_chain": lambda stage, block: resigned(block, stage.orderer, chain="other-zone-00000000"),
    "not_next": lambda stage, block: stage.blocks[0],
}


@pytest.mark.parametrize("lie", SOURCE_LIES)
async def test_source_that_lies_is_left_for_one_that_does_not(stage, tmp_path, lie):
    """What says nothing about the orderer is blamed on who gave it; the copy goes on with the next source."""
    blocks = at(stage, lambda block: SOURCE_LIES[lie](stage, block))
    async with (
        stage.liar(blocks) as liar,
        stage.honest() as honest,
        stage.victim(tmp_path, liar, honest) as victim,
    ):
        told = await victim.office.link.ask("apply", list(blocks[-BEHIND]))
        assert (lie.split()[0], "source") == (told["refused"], told["blame"])
        await until(lambda: victim.height == len(stage.blocks), "the victim to find the honest source")
        assert liar.asked and honest.asked
        assert victim.core.alarm is None
        assert honest.address == victim.peers.follower.source
    assert check(victim.home.path).ok


ORDERER_LIES = {
    "app_hash_mismatch": lambda stage, block: resigned(block, stage.orderer, app_hash="00" * 32),
    "time_went_back": lambda stage, block: resigned(block, stage.orderer, time=1),
    "refused_transaction": lambda stage, block: resigned(block, stage.orderer, [forged_transaction(block)]),
    "refused_transaction that is none": lambda stage, block: resigned(block, stage.orderer, [b"none"]),
    "refused_transaction twice": lambda stage, block: resigned(block, stage.orderer, block.transactions * 2),
    "wrong_previous": lambda stage, block: resigned(block, stage.orderer, previous="00" * 32),
}


@pytest.mark.parametrize("lie", ORDERER_LIES)
async def test_orderer_that_lies_is_followed_no_more(stage, tmp_path, lie):
    """What the orderer signed and is wrong raises the alarm, whoever brought it; the status tells; it outlives news."""
    blocks = at(stage, lambda block: ORDERER_LIES[lie](stage, block))
    async with stage.liar(blocks) as liar, stage.victim(tmp_path, liar) as victim:
        height = victim.height
        await until(lambda: victim.core.alarm, "the alarm")
        await until(lambda: victim.peers.follower.trouble, "the follower to say why")
        told = await victim.office.link.ask("apply", list(stage.blocks[-BEHIND]))
        assert ("alarm", "orderer") == (told["refused"], told["blame"])
        assert height == victim.height
        assert "" == victim.peers.follower.source
        assert victim.core.alarm == (await victim.office.status()).alarm
    assert check(victim.home.path).ok


@pytest.mark.parametrize("size", [0, 2, 3, 4_000])
async def test_orderer_that_includes_what_an_author_saw_differently_is_proved_wrong(stage, tmp_path, size):
    """An included transaction whose author had signed another history is a fork proof: the orderer against itself."""
    home = stage.copy(tmp_path)
    other = (size, b"\x07" * 32)
    raw = evidence_of(home, stage.keys[UNIVERSITY], "ab" * 32, time=now_ms(), seen=other)
    lie = next_block(home, stage.orderer, [raw], now_ms())
    async with (
        stage.liar([*stage.blocks[:-BEHIND], lie]) as liar,
        stage.victim(tmp_path, liar) as victim,
    ):
        await until(lambda: victim.core.alarm, "the alarm")
        (proof,) = kept_forks(victim.home)
        found = read_fork_proof(proof, victim.home.read_trust())
        assert (HOSPITAL, "seen") == (found.culprit, found.kind)
        assert len(stage.blocks) - BEHIND == victim.height


async def test_block_from_the_future_waits_until_its_time(stage, tmp_path):
    """More than ten seconds ahead of the own clock is not kept; nobody is blamed, and later it is taken."""
    offset = 0
    clock = lambda: now_ms() + offset  # noqa: E731
    home = stage.copy(tmp_path)
    raw = evidence_of(home, stage.keys[UNIVERSITY], "cd" * 32, time=now_ms())
    ahead = next_block(home, stage.orderer, [raw], now_ms() + 40_000)
    blocks = [*stage.blocks[:-BEHIND], ahead]
    async with stage.liar(blocks) as liar, stage.victim(tmp_path, liar, clock_ms=clock) as victim:
        await until(lambda: "ahead" in victim.peers.follower.trouble, "the block to be refused")
        assert (len(blocks) - 1, None) == (victim.height, victim.core.alarm)
        offset = 35_000
        await until(lambda: victim.height == len(blocks), "its time to come")


async def test_truncated_history_is_left_for_a_longer_one(stage, tmp_path):
    """A source that ends early is left as soon as another node says that there is more."""
    async with (
        stage.liar(stage.blocks[: -BEHIND + 1]) as liar,
        stage.honest() as honest,
        stage.victim(tmp_path, liar, honest) as victim,
    ):
        await until(lambda: victim.height == len(stage.blocks) - BEHIND + 1, "the liar's block")
        victim.peers.follower.heard(len(stage.blocks))
        await until(lambda: victim.height == len(stage.blocks), "the rest")
        assert victim.core.alarm is None


async def test_two_headers_of_one_height_become_a_fork_proof(stage, tmp_path):
    """A source with another history of the orderer's gives itself away: the first two headers that differ are kept."""
    height = len(stage.blocks) - BEHIND
    forked = resigned(stage.blocks[height - 1], stage.orderer, time=now_ms())
    lie = resigned(stage.blocks[height], stage.orderer, previous=hash_of(forked), time=now_ms())
    blocks = [*stage.blocks[: height - 1], forked, lie]
    async with stage.liar(blocks) as liar, stage.victim(tmp_path, liar) as victim:
        await until(lambda: victim.core.store.forks(), "the fork proof")
        await until(lambda: victim.core.alarm, "the alarm")
        (proof,) = kept_forks(victim.home)
        found = read_fork_proof(proof, victim.home.read_trust())
        assert (HOSPITAL, "headers") == (found.culprit, found.kind)


async def test_two_histories_shown_to_two_members_are_found_out(stage, tmp_path):
    """A dishonest orderer shows each of two members its own history; they compare, both keep the proof, both stop."""
    orderers = [
        LocalNode(stage.copy(tmp_path, HOSPITAL), stage.keys[HOSPITAL], listen=f"127.0.0.1:{free_port()}")
        for _ in range(2)
    ]
    members = [
        LocalNode(
            stage.copy(tmp_path, name), stage.keys[name], follow=[orderer.home.settings.peers.listen], poll_seconds=1
        )
        for name, orderer in zip((UNIVERSITY, BANK), orderers, strict=True)
    ]
    started = []
    try:
        for number, (orderer, member) in enumerate(zip(orderers, members, strict=True)):
            started += [await orderer.start(), await member.start()]
            raw = evidence_of(orderer.home, orderer.keys, f"{number}f" * 32, time=now_ms())
            await orderer.office.ledger.submit_signed([raw])
        for member in members:
            await until(lambda member=member: member.core.alarm, f"the alarm at {member.organisation}")
            await until(lambda member=member: kept_forks(member.home), f"the proof at {member.organisation}")
        heights = [member.height for member in members]
        for orderer, member in zip(orderers, members, strict=True):
            # Where the other member's cosignature came first, a proof that names both is kept as well.
            trust = orderer.home.read_trust()
            found = [read_fork_proof(proof, trust) for proof in kept_forks(member.home)]
            assert HOSPITAL in {each.culprit for each in found}
            assert all(HOSPITAL in each.involved for each in found)
            assert HOSPITAL in (await member.office.status()).alarm
            await until(lambda member=member: member.peers.follower.trouble, "the follower to stop")
            assert "" == member.office.standing().following
        assert heights == [member.height for member in members]
    finally:
        for node in reversed(started):
            await node.stop()
    # A restart does not make the alarm forgotten.
    async with LocalNode(members[0].home, stage.keys[UNIVERSITY]) as again:
        assert HOSPITAL in again.core.alarm
        assert "" == again.peers.follower.source


async def test_witness_of_another_history_is_named_and_the_zone_goes_on(stage, tmp_path):
    """One member's word against the orderer's is kept as a suspicion: no single member can stop the others."""
    size = len(stage.blocks) - BEHIND
    lie = cosign(
        stage.home(BANK).read_trust().chain,
        size,
        b"\x01" * 32,
        organisation=BANK,
        signer=stage.keys[BANK].signer("system"),
        time_s=int(time.time()),
    )
    witnessed = Witnessed(organisation=BANK, root="01" * 32, signature=lie.signature, size=size, time=lie.time)

    def show(head):
        return msgspec.structs.replace(head, cosignatures=(witnessed,), checkpoints=())

    async with (
        stage.liar(stage.blocks, head=show) as liar,
        stage.victim(tmp_path, liar) as victim,
    ):
        await victim.peers.gossip.take(BANK, show(await _client_of(victim, liar)))
        assert BANK in victim.core.suspicion
        assert victim.core.alarm is None
        (proof,) = kept_forks(victim.home)
        assert read_fork_proof(proof, victim.home.read_trust()).culprit is None
        await until(lambda: victim.height == len(stage.blocks), "it to follow on")


async def _client_of(victim, liar):
    return await (await victim.peers.clients.at(liar.address)).head()


async def test_checkpoint_that_the_orderer_did_not_sign_is_refused(stage, tmp_path):
    """A member cannot speak for the orderer, and a proof of nothing proves nothing."""
    chain = stage.home(BANK).read_trust().chain
    note = sign_checkpoint(chain, 0, EMPTY_ROOT, organisation=BANK, signer=stage.keys[BANK].signer("system")).decode()
    async with stage.victim(tmp_path) as victim:
        before = victim.core.store.latest_checkpoint()
        head = (await victim.office.link.ask("status"))["size"]
        for size in (0, head):
            forged = note.replace("\n0\n", f"\n{size}\n", 1)
            with pytest.raises(Exception, match="not the orderer's"):
                await victim.office.link.ask("checkpoint", forged.encode())
        assert 0 == await victim.peers.gossip.take_forks([b"{}", b"\xff" * 40, b'{"kind":"headers"}'])
        assert (before, [], None) == (
            victim.core.store.latest_checkpoint(),
            victim.core.store.forks(),
            victim.core.alarm,
        )
