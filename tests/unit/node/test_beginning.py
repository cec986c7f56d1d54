"""Beginning from a snapshot: what holds becomes the copy, and nothing else is ever written."""

import asyncio
import shutil
import time
from contextlib import closing

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.codec import decode_json, encode_json, sha256
from tallystick.errors import NotHeldError, StorageError
from tallystick.keys import ED25519
from tallystick.modules import rulebook
from tallystick.node.beginning import SnapshotError, begin_from_snapshot, tidy
from tallystick.node.homes import Home, open_keys
from tallystick.node.inspection import check, history
from tallystick.node.older import OlderBlocks
from tallystick.node.older_main import OlderReplay
from tallystick.node.peers.heads import BlockReader
from tallystick.node.peers.messages import encode_block
from tallystick.ordering import InlineVerifier, Replica
from tallystick.ordering.snapshots import decode_chunk, decode_description, encode_chunks
from tallystick.proofs.headers import decode_header, encode_header, encode_signatures, sign_header
from tallystick.store import LedgerStore, TileLog
from tests.support.liars import blocks_of
from tests.support.newcomers import hand_over, make_history, make_newcomer, snapshot_of
from tests.support.nodes import PASSPHRASE, make_zone

NOW = time.time_ns() // 1_000_000
BLOCKS, AFTER = 120, 4


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A zone's home with a history, its keys, and a snapshot of it: (home, keys, description, chunks)."""
    home = make_zone(tmp_path_factory.mktemp("origin")).home
    keys = open_keys(home, PASSPHRASE)
    make_history(home, keys, BLOCKS)
    description, chunks = snapshot_of(home)
    return home, keys, description, chunks


@pytest.fixture
def newcomer(tmp_path, origin):
    """An empty copy."""
    return make_newcomer(tmp_path / "newcomer", origin[0])


def begin(newcomer, origin, description, chunks, trust=None):
    """Let a copy begin from a snapshot."""
    hand_over(newcomer, chunks)
    return begin_from_snapshot(newcomer, description, trust or origin[0].read_trust().encode(), now_ms=NOW)


def described(description, chunks, **changes):
    """Return the description of other chunks."""
    names = tuple(sha256(chunk).hex() for chunk in chunks)
    return encode_json(msgspec.structs.replace(decode_description(description), chunks=names, **changes))


def is_empty(home):
    """Tell whether a copy is as it was before, and nothing half written is in its home."""
    with closing(LedgerStore(home.ledger_path, rulebook())) as store:
        tidy(home, store)
        untouched = store.last_block() is None and store.base is None and store.load_state().height == 0
    return untouched and not home.beginning_path.exists()


def test_copy_is_of_the_same_state_and_says_what_it_lacks(origin, newcomer):
    """After it the copy has the origin's state and edge; older operations are refused by name, not denied."""
    home, _, description, chunks = origin
    begun = begin(newcomer, origin, description, chunks)
    assert BLOCKS == begun.height
    with (
        closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as mine,
        closing(LedgerStore(newcomer.ledger_path, rulebook())) as theirs,
    ):
        ours, state = mine.load_state(), theirs.load_state()
        assert (ours.tree.root, ours.frontier, ours.accepted) == (state.tree.root, state.frontier, state.accepted)
        assert list(mine.all_records()) == list(theirs.all_records())
        assert mine.head_at(BLOCKS) == theirs.head_at(BLOCKS)
        # Histories that authors may have seen are known although their blocks are not here.
        assert mine.history_root(30) == theirs.history_root(30)
        assert [] == list(theirs.blocks(1))
        with pytest.raises(NotHeldError, match="older than this copy"):
            theirs.check_held(0)
        with pytest.raises(NotHeldError):
            next(theirs.leaves(0, 3))
    with pytest.raises(NotHeldError, match="still fetching"):
        next(history(newcomer.path))


def test_log_goes_on_from_the_edge(origin, newcomer):
    """Tiles behind the edge are those of the origin, and proofs of later operations are made from them alone."""
    home, _, description, chunks = origin
    begin(newcomer, origin, description, chunks)
    with closing(LedgerStore(newcomer.ledger_path, rulebook())) as store:
        tiles = TileLog(newcomer.log_path)
        last = store.last_block()
        tiles.resume(last.size, store.leaves, last.history_root, store.base_edge())
    assert last.history_root == tiles.frontier().root()
    width = last.size % 256
    for path in (f"tile/0/001.p/{width}", f"tile/entries/001.p/{width}", "tile/1/000.p/1"):
        assert (home.log_path / path).read_bytes() == (newcomer.log_path / path).read_bytes()
    assert not (newcomer.log_path / "tile/0/000").exists()


def test_checker_replays_what_is_there_and_says_what_is_not(origin, newcomer):
    """The check holds, names the block it began behind, and finds a changed byte of the snapshot, block or records."""
    _, _, description, chunks = origin
    begin(newcomer, origin, description, chunks)
    report = check(newcomer.path)
    assert (True, BLOCKS, BLOCKS) == (report.ok, report.begun, report.blocks), report.findings
    chunk = newcomer.beginning_path / decode_description(description).chunks[1]
    good = chunk.read_bytes()
    chunk.write_bytes(good[:-1] + b" ")
    assert "beginning/" == check(newcomer.path).first.place
    chunk.write_bytes(good)
    for statement, place in (
        ("UPDATE records SET value = replace(value, '1', '2') WHERE id = 5", "records row 5"),
        ("UPDATE blocks SET size = size + 1", f"blocks row {BLOCKS}"),
        ("UPDATE meta SET value = replace(value, '1', '2') WHERE name = 'base_edge'", "meta row base_edge"),
        ("UPDATE meta SET value = 'x' WHERE name = 'began'", "meta row 'began'"),
        ("DELETE FROM trust", "trust"),
    ):
        with closing(LedgerStore(newcomer.ledger_path, rulebook())) as store:
            store._connection.execute("BEGIN")
            store._connection.execute(statement)
            store._connection.execute("COMMIT")
            damaged = check(newcomer.path)
            assert not damaged.ok and damaged.first.place.startswith(place), (statement, damaged.findings)
        shutil.rmtree(newcomer.path)
        newcomer = make_newcomer(newcomer.path, origin[0])
        begin(newcomer, origin, description, chunks)
    shutil.rmtree(newcomer.beginning_path)
    assert not check(newcomer.path).complete


LIES = {
    "chunk altered": lambda d, c, k: (d, [c[0], c[1][:-1] + b" ", *c[2:]]),
    "chunk missing": lambda d, c, k: (d, c[:-1]),
    "chunk cut": lambda d, c, k: _again(d, [*c[:-1], c[-1][:-3]]),
    "chunks swapped": lambda d, c, k: _again(d, [c[1], c[0], *c[2:]]),
    "record left out": lambda d, c, k: _again(d, [c[0], *_without_one(c[1:])]),
    "record twice": lambda d, c, k: _again(d, [*c, c[-1]]),
    "record changed": lambda d, c, k: _again(
        d, [c[0], *(chunk.replace(b'"count":1', b'"count":2') for chunk in c[1:])]
    ),
    "unsigned": lambda d, c, k: _again(d, _first(c, signatures="[]")),
    "other edge": lambda d, c, k: _again(d, _first(c, size=decode_json(c[0])["size"] - 1)),
    "other entries": lambda d, c, k: _again(d, _first(c, entries=decode_json(c[0])["entries"][::-1])),
    "other past": lambda d, c, k: _again(d, _first(c, before=decode_json(c[0])["before"][1:])),
    "other state root": lambda d, c, k: _again(d, _first(c, state_root="0" * 64)),
    "another signer": lambda d, c, k: _forged(d, c, ED25519.from_private(b"x" * 32)),
    "other zone": lambda d, c, k: (described(d, c, genesis="0" * 64), c),
    "no description": lambda d, c, k: (b"{}", c),
    "of the future": lambda d, c, k: _forged(d, c, k.signer("system"), time=NOW + 60_000),
}


def _again(description, chunks):
    return described(description, chunks), chunks


def _first(chunks, **changes):
    return [encode_json(decode_json(chunks[0]) | changes), *chunks[1:]]


def _without_one(chunks):
    records = [record for chunk in chunks for record in decode_chunk(chunk)]
    return list(encode_chunks(records[:-1]))


def _forged(description, chunks, signer, **changes):
    """Return a snapshot whose header was changed and signed by somebody."""
    header = msgspec.structs.replace(decode_header(decode_description(description).header.encode()), **changes)
    signatures = encode_signatures([sign_header(header, "city-hospital", signer)]).decode()
    forged = _first(chunks, signatures=signatures)
    return described(description, forged, header=encode_header(header).decode()), forged


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_refused_and_nothing_is_left(origin, newcomer, lie):
    """Whatever does not lead to a header that those who order signed is refused, and the copy begins otherwise."""
    _, keys, description, chunks = origin
    other, altered = LIES[lie](description, chunks, keys)
    with pytest.raises(SnapshotError, match="a snapshot was refused"):
        begin(newcomer, origin, other, altered)
    assert is_empty(newcomer)
    assert BLOCKS == begin(newcomer, origin, description, chunks).height


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_changed_byte_of_the_beginning_is_refused(origin, tmp_path, data):
    """One changed byte of the first chunk or the description never leads to another beginning."""
    _, _, description, chunks = origin
    place = data.draw(st.integers(0, len(chunks[0]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != chunks[0][place]))
    first = chunks[0][:place] + bytes([byte]) + chunks[0][place + 1 :]
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    copy = make_newcomer(tmp_path / "copy", origin[0])
    try:
        begun = begin(copy, origin, described(description, [first, *chunks[1:]]), [first, *chunks[1:]])
    except SnapshotError:
        assert is_empty(copy)
        return
    # Only the counts are not signed; they are put right with the older blocks.
    true = decode_json(chunks[0])
    assert (true["size"], true["state_root"]) == (begun.head.size, begun.head.state_root.hex())
    assert (true["transactions"], true["events"]) != (begun.transactions, begun.events)


def test_another_zones_trust_file_is_refused(origin, newcomer, tmp_path):
    """Who spoke for the zone is told by this home's own trust file, or by one that follows from it."""
    _, _, description, chunks = origin
    other = make_zone(tmp_path / "other").home
    with pytest.raises(SnapshotError, match="another zone"):
        begin(newcomer, origin, description, chunks, other.read_trust().encode())
    assert is_empty(newcomer)


def test_copy_with_blocks_is_never_replaced(origin, newcomer):
    """A second snapshot, and the first again, are refused by a copy that has begun."""
    _, _, description, chunks = origin
    begin(newcomer, origin, description, chunks)
    before = newcomer.ledger_path.read_bytes()
    with pytest.raises(StorageError, match="blocks already"):
        begin(newcomer, origin, description, chunks)
    assert before == newcomer.ledger_path.read_bytes()


async def follow(newcomer, keys, blocks):
    """Let a copy execute blocks."""
    with closing(LedgerStore(newcomer.ledger_path, rulebook())) as store:
        replica = Replica(
            store.load_state(),
            store,
            rulebook(),
            InlineVerifier(),
            validators=lambda: {"city-hospital": keys.signer("system").public_key},
            clock_ms=lambda: NOW,
            previous=store.last_header_hash(),
            unknown_below=store.unknown_below,
        )
        for block in blocks:
            await replica.apply(*block)


async def merge(origin_home, newcomer, batches):
    """Execute older blocks and put them in; return how many steps that took."""
    replay = OlderReplay(newcomer)
    blocks = blocks_of(origin_home)[:BLOCKS]
    per_batch = -(-len(blocks) // batches)
    for at in range(0, len(blocks), per_batch):
        assert "" == await replay.take(b"".join(encode_block(*block) for block in blocks[at : at + per_batch]))
    replay.close()
    steps = 0
    with closing(LedgerStore(newcomer.ledger_path, rulebook())) as store:
        older = OlderBlocks(newcomer, store)
        assert older.ready
        while store.base is not None:
            older.step()
            steps += 1
        tidy(newcomer, store)
    return steps


@pytest.mark.parametrize("counts", [{}, {"transactions": 5}, {"events": 100_000}, {"transactions": 1_000, "events": 0}])
async def test_older_blocks_make_it_whole(origin, newcomer, counts):
    """With them the copy is the same in every row, whatever counts the snapshot came with, and the check says so."""
    home, keys, description, chunks = origin
    home = Home(shutil.copytree(home.path, newcomer.path.parent / "longer"))
    await asyncio.to_thread(make_history, home, keys, AFTER)
    first = _first(chunks, **counts)
    begin(newcomer, origin, described(description, first), first)
    await follow(newcomer, keys, blocks_of(home)[BLOCKS:])
    during = check(newcomer.path)
    assert (True, BLOCKS, BLOCKS + AFTER) == (during.ok, during.begun, during.blocks), during.findings
    assert await merge(home, newcomer, 7) >= 1
    rows = []
    for path in (home.ledger_path, newcomer.ledger_path):
        with closing(LedgerStore(path, rulebook(), read_only=True)) as store:
            names = ("blocks", "transactions", "operations", "events")
            rows.append([store.query(f"SELECT * FROM {name} ORDER BY 1") for name in names])
    assert rows[0] == rows[1]
    report = check(newcomer.path)
    assert (True, 0) == (report.ok, report.begun), report.findings
    assert not newcomer.older_path.exists() and not newcomer.beginning_path.exists()


async def test_blocks_that_are_not_held_are_not_given(origin, newcomer):
    """Another node that asks for older blocks is told that they are not here, instead of being given none or empty ones."""
    _, _, description, chunks = origin
    begin(newcomer, origin, description, chunks)
    reader = BlockReader(newcomer.ledger_path)
    with pytest.raises(NotHeldError, match=f"blocks up to {BLOCKS}"):
        await reader.read(1, 10)
    assert b"" == await reader.read(BLOCKS + 1, 10)
    reader.close()


async def test_followers_that_ask_for_the_same_blocks_share_one_reading(origin, monkeypatch):
    """What many want at one moment is read once; when the history has grown, it is read anew."""
    home = origin[0]
    reader, other = BlockReader(home.ledger_path), BlockReader(home.ledger_path)
    read = []
    blocks = LedgerStore.blocks
    monkeypatch.setattr(LedgerStore, "blocks", lambda self, *span: read.append(span) or blocks(self, *span))
    answers = await asyncio.gather(*(reader.read(2, 3) for _ in range(24)))
    assert [(2, 4)] == read
    assert {await other.read(2, 3)} == set(answers)
    reader.grown()
    assert answers[0] == await reader.read(2, 3)
    assert 3 == len(read)
    for start in range(1, BLOCKS + 1):
        assert await other.read(start, 1) == await reader.read(start, 1)
    reader.close()
    other.close()


async def test_older_blocks_of_another_history_are_refused(origin, newcomer, tmp_path):
    """Blocks that do not verify are refused by the process that executes them."""
    home, _, description, chunks = origin
    begin(newcomer, origin, description, chunks)
    replay = OlderReplay(newcomer)
    first, second, *_ = blocks_of(home)
    assert "" != await replay.take(encode_block(first.header, first.signatures, second.transactions))
    assert "" != await replay.take(b"\x00\x00\x00\x05abc")
    assert (0, False) == (replay.height, replay.complete)
    replay.close()
