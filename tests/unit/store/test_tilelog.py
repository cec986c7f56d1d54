"""log/: tiles follow the history, through restarts and losses."""

from tallystick.merkle import Frontier, TileReader, inclusion_path, leaf_hash, verify_inclusion
from tallystick.store import TileLog


def data(index):
    return b"leaf %d" % index


def leaves(start, end):
    return (data(index) for index in range(start, end))


def root(size):
    frontier = Frontier()
    frontier.extend(leaf_hash(data(index)) for index in range(size))
    return frontier.root()


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_proofs_come_from_tiles(tmp_path):
    """Any leaf's inclusion is proved from the files alone."""
    log = TileLog(tmp_path)
    log.append(leaves(0, 700))
    log.flush("toy\n700\n\n")
    reader = TileReader(log.read, 700)
    for index in (0, 255, 256, 699):
        path = inclusion_path(index, 700, reader.node)
        assert verify_inclusion(leaf_hash(data(index)), index, 700, path, root(700))


def test_growing_in_steps_or_at_once_gives_the_same_files(tmp_path):
    """Partial tiles give way to full ones; restarts and lost tiles make no difference."""
    stepwise, whole = tmp_path / "a", tmp_path / "b"
    size = 0
    for step in (1, 200, 100, 300):
        log = TileLog(stepwise)
        log.resume(size, leaves)
        log.append(leaves(size, size + step))
        size += step
        log.flush(f"toy\n{size}\n\n")
    log = TileLog(whole)
    log.append(leaves(0, size))
    log.flush(f"toy\n{size}\n\n")
    expected = files(whole)
    found = files(stepwise)
    assert expected == {path: found[path] for path in expected}


def test_missing_tiles_are_written_again(tmp_path):
    """What was lost under log/ comes back from ledger.db at the next start."""
    log = TileLog(tmp_path)
    log.append(leaves(0, 300))
    log.flush("toy\n300\n\n")
    before = files(tmp_path)
    for path in tmp_path.rglob("*.p/*"):
        path.unlink()
    again = TileLog(tmp_path)
    again.resume(300, leaves)
    again.flush("toy\n300\n\n")
    assert before == files(tmp_path)


def test_checkpoint_of_any_smaller_size_gets_its_files(tmp_path):
    """A replica whose tiles grew in other steps than the checkpoints still has all that each checkpoint commits to."""
    steps, exact = TileLog(tmp_path / "steps"), TileLog(tmp_path / "exact")
    size = 0
    for step in (90, 200, 300, 66_000):
        steps.append(leaves(size, size + step))
        size += step
        steps.flush()
    for checkpoint in (1, 255, 256, 289, 513, 590, 65_537, size - 1, size):
        assert steps.write_checkpoint(f"toy\n{checkpoint}\n\n")
        again = TileLog(tmp_path / "steps")
        again.resume(checkpoint, leaves)
        reader = TileReader(again.read, checkpoint)
        path = inclusion_path(0, checkpoint, reader.node)
        assert verify_inclusion(leaf_hash(data(0)), 0, checkpoint, path, root(checkpoint))
    exact.append(leaves(0, size - 1))
    exact.flush()
    found = files(tmp_path / "steps")
    for path, content in files(tmp_path / "exact").items():
        assert content == found[path]


def test_checkpoint_beyond_the_tiles_is_not_written(tmp_path):
    """Nothing is promised to readers that is not there."""
    log = TileLog(tmp_path)
    log.append(leaves(0, 10))
    log.flush("toy\n10\n\n")
    assert not log.write_checkpoint("toy\n11\n\n")
    assert b"toy\n10\n\n" == log.read("checkpoint")


def test_proof_for_a_size_between_two_flushes(tmp_path):
    """A partial tile that was never written is cut from a wider one."""
    log = TileLog(tmp_path)
    log.append(leaves(0, 100))
    log.flush()
    reader = TileReader(log.read, 37)
    path = inclusion_path(5, 37, reader.node)
    assert verify_inclusion(leaf_hash(data(5)), 5, 37, path, root(37))
    assert data(36) == reader.leaf(36)
    assert log.read("tile/0/000.p/101") is None
    assert log.read("tile/0/000.p/x") is None
