"""The table of faults comes from one whole run, and names what the suite knows and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.faults import FAULTS, RECORD_VARIABLE, record_fault
from tools.write_faults import PAGE, SUITE, RecordError, check_faults, page, read_record


def _record() -> list[str]:
    return [json.dumps({"fault": name, "tried": 3, "lost": 0, "forked": 0, "recovery_s": [1.0]}) for name in FAULTS]


def test_scenes_of_one_fault_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What scenes record is one row each, with the median and the worst of all recoveries."""
    path = tmp_path / "record.jsonl"
    monkeypatch.setenv(RECORD_VARIABLE, str(path))
    for name in FAULTS:
        record_fault(name, tried=2, lost=0, forked=0, recovery_s=[1.0, 2.0])
    record_fault("partition", tried=1, lost=1, forked=2, recovery_s=[9.04])
    rows = page(read_record(path.read_text().splitlines()), "a machine").splitlines()
    assert f"| {FAULTS['partition']} | 3 | **1** | **2** | 2.0 | 9.0 |" in rows
    assert f"| {FAULTS['one-down']} | 2 | 0 | 0 | 1.5 | 2.0 |" in rows


def test_nothing_is_recorded_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary run of the tests leaves no record; an unknown fault is refused even then."""
    monkeypatch.delenv(RECORD_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    record_fault("partition", tried=1, lost=0, forked=0)
    assert [] == list(tmp_path.iterdir())
    with pytest.raises(KeyError, match="no fault 'earthquake'"):
        record_fault("earthquake", tried=1, lost=0, forked=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: lines[1:], f"no row of {next(iter(FAULTS))}"),
        (lambda lines: [*lines, lines[0].replace(next(iter(FAULTS)), "earthquake")], "knows no fault earthquake"),
        (lambda lines: [*lines, "3 passed"], f"line {len(FAULTS) + 1} is no line"),
    ],
)
def test_part_of_a_run_or_anything_else_is_refused(change, reason) -> None:  # type: ignore[no-untyped-def]
    """A table never mixes runs and never has a row that no scene stands for."""
    with pytest.raises(RecordError, match=reason):
        read_record(change(_record()))


def test_scene_that_was_run_again_by_itself_is_marked(tmp_path: Path) -> None:
    """Its row takes the place of the one before, and the reader is told; the page is still whole."""
    again = read_record(
        [json.dumps({"fault": "two-down", "tried": 8, "lost": 0, "forked": 0, "recovery_s": [6.0]})], whole=False
    )
    text = page(read_record(_record()), "a machine", again)
    assert f"| {FAULTS['two-down']} | 8¹ | 0 | 0 | 6.0 | 6.0 |" in text.splitlines()
    assert f"| {FAULTS['one-down']} | 3 | 0 | 0 | 1.0 | 1.0 |" in text.splitlines()
    assert "¹ Run again by itself, later than the rest." in text
    assert "¹" not in page(read_record(_record()), "a machine")
    with pytest.raises(RecordError, match="knows no fault earthquake"):
        read_record(
            [json.dumps({"fault": "earthquake", "tried": 1, "lost": 0, "forked": 0, "recovery_s": []})], whole=False
        )


def test_page_and_suite_are_held_to_each_other(tmp_path: Path) -> None:
    """A fault without a row, a row without a fault and a fault without a scene are each named."""
    (tmp_path / PAGE).parent.mkdir(parents=True)
    (tmp_path / SUITE).mkdir(parents=True)
    (tmp_path / PAGE).write_text(page(read_record(_record()), "a machine"))
    (tmp_path / SUITE / "test_all.py").write_text(f"KNOWN = {list(FAULTS)!r}\n")
    assert [] == check_faults(tmp_path)
    assert [
        f"{PAGE}: no row of flood; type: make faults",
        f"{SUITE}: no scene records the fault flood",
    ] == check_faults(tmp_path, {**FAULTS, "flood": "a flood"})
    fewer = {name: label for name, label in FAULTS.items() if name != "partition"}
    assert [f"{PAGE}: the suite knows no fault {FAULTS['partition']!r}; type: make faults"] == check_faults(
        tmp_path, fewer
    )
