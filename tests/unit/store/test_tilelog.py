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
