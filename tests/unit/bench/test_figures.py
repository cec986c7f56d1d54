"""Figures: each is judged by its own rule, and beside the ceiling that it was measured with."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bench import figures
from bench.figures import AT_LEAST, LESS_THAN, Round, beside_v, bytes_on_disk, figure, percentile, rate_figure
from tools.tracked import ROOT


@pytest.fixture(autouse=True)
def _nothing_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_printed", [])


@pytest.mark.parametrize(
    ("value", "rule", "met"),
    [(2.0, AT_LEAST, True), (1.9, AT_LEAST, False), (1.9, LESS_THAN, True), (2, LESS_THAN, False)],
)
def test_value_is_judged_by_its_rule(value: float, rule: str, met: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Exactly the goal is enough for `at least` and too much for `less than`."""
    line = figure("thing", value, "things", goal=2, rule=rule)
    assert line == json.loads(capsys.readouterr().out)
    assert (met, False) == (line["met"], "ratio" in line)
    assert met == figures.all_met()


def test_share_of_a_ceiling_is_what_is_judged() -> None:
    """With a ceiling, the goal is for the ratio, whatever the value."""
    line = figure("thing", 5_000.0, "things", ceiling=20_000.0, goal=0.3, rule=AT_LEAST)
    assert (0.25, False) == (line["ratio"], line["met"])


def test_disturbed_ceiling_does_not_make_a_better_share() -> None:
    """The best rate is held against the best ceiling of all rounds, not against that of its own."""
    line = rate_figure("thing", [Round(900.0, 1_000.0), Round(950.0, 2_000.0)], "things", goal=0.5)
    assert (950.0, 2_000.0, 0.475, False) == (line["value"], line["ceiling"], line["ratio"], line["met"])


def test_one_missed_goal_is_a_missed_run() -> None:
    """All figures of a run count, not only the last."""
    figure("first", 1, "things", goal=2, rule=AT_LEAST)
    figure("second", 3, "things", goal=2, rule=AT_LEAST)
    assert not figures.all_met()


async def test_ceiling_is_measured_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """V is the better of just before and just after: the lower one says that something else was running."""
    measured = iter((100.0, 300.0))
    monkeypatch.setattr(figures, "verifies_per_second", lambda: next(measured))

    async def work() -> float:
        return 50.0

    assert Round(50.0, 300.0) == await beside_v(work)


def test_percentiles_and_bytes(tmp_path: os.PathLike[str]) -> None:
    """A percentile is one of the values; disk is counted in the blocks that are taken."""
    assert (3.0, 5.0) == (percentile([5, 1, 3, 2, 4], 0.5), percentile([5, 1, 3, 2, 4], 1.0))
    file = tmp_path / "file"  # type: ignore[operator]
    file.write_bytes(bytes(10_000))
    assert 10_000 <= bytes_on_disk(file) == bytes_on_disk(tmp_path) < 20_000  # type: ignore[arg-type]


def test_unknown_bench_is_named() -> None:
    """What there is no bench for is bad usage, and the answer says what there is."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "speed"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert 2 == done.returncode
    assert "no bench speed; choose from receipts" in done.stderr


@pytest.mark.timeout(300)
def test_short_run_measures_real_processes(tmp_path: os.PathLike[str]) -> None:
    """A short run over real core and office prints every figure of its benches; their goals are for full sizes."""
    command = [sys.executable, "-m", "bench", "replay", "http", "receipts", "--short", "--dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode in (0, 1), done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["disk", "replay", "http_single", "http_bulk", "receipt_size", "receipt_verify"] == [
        line["name"] for line in lines
    ]
    assert all(line["value"] > 0 and line.keys() >= {"unit", "goal", "rule", "met"} for line in lines)
    assert [] == os.listdir(tmp_path)
