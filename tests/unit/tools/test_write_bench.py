"""The README's table of figures comes from one whole run and from nothing else."""

from __future__ import annotations

import json

import pytest

from tools.write_bench import BEGIN, END, LABELS, FiguresError, machine, read_figures, replaced, table


def _run() -> list[str]:
    lines = ["some talk of another program"]
    for number, name in enumerate(LABELS):
        line = {"name": name, "value": 1_234.5 + number, "unit": "things", "goal": 2, "rule": "at least", "met": True}
        if name == "replay":
            line |= {"ratio": 0.456, "ceiling": 20_000, "ceiling_name": "V"}
        if name == "restart":
            line |= {"value": 2.5, "unit": "s", "rule": "less than", "met": False}
        if name == "four_single":
            line |= {"v": 8_000.4}
        lines.append(json.dumps(line))
    return lines


def test_table_has_every_figure_with_its_goal() -> None:
    """Shares are given where there is a ceiling, and a missed goal is not hidden."""
    rows = table(read_figures(_run()), "a machine").splitlines()
    assert len(LABELS) + 4 == len(rows)
    assert f"| {LABELS['replay']} | 1,242 things | 0.46 of V | 2 or more |" in rows
    assert f"| {LABELS['restart']} | 2.50 s |  | less than 2 (**missed**) |" in rows
    assert rows[-1].endswith("signatures, here 8,000 to 20,000 a second. Machine: a machine.")


def test_part_of_a_run_is_refused() -> None:
    """A table never mixes runs: the missing figure is named."""
    with pytest.raises(FiguresError, match=f"no figure {list(LABELS)[-1]}"):
        read_figures(_run()[:-1])


def test_only_what_is_between_the_marks_changes() -> None:
    """Writing twice leaves one table."""
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = replaced(page, "new")
    assert f"before\n{BEGIN}\nnew\n{END}\nafter\n" == once == replaced(once, "new")
    with pytest.raises(FiguresError, match="has no lines"):
        replaced("a page without marks", "new")


def test_machine_is_told_in_a_few_words() -> None:
    """Cores, memory and Python."""
    assert all(word in machine() for word in ("cores", "GiB", "Python 3"))
