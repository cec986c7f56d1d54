"""The determinism lint finds each thing it names, and leaves ordinary code alone."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tools.determinism_lint import FORBIDDEN_IMPORTS, check_source, main

BREACHES = [
    ("import", "import time"),
    ("import", "import os.path"),
    ("import", "from datetime import datetime"),
    ("import", "from concurrent.futures import Future"),
    ("import", "def f():\n    import random"),
    ("float", "x = 1.5"),
    ("float", "x = float(y)"),
    ("float", "def f(x: float): ..."),
    ("float", "x = a / b"),
    ("float", "a /= b"),
    ("float", "x = 2j"),
    ("set", "for x in {1, 2}: ..."),
    ("set", "for x in set(names): ..."),
    ("set", "for x in frozenset(names): ..."),
    ("set", "for x in {n for n in names}: ..."),
    ("set", "s = set()\nfor x in s: ..."),
    ("set", "s: set[str] = make()\nfor x in s: ..."),
    ("set", "def f(s: frozenset[str]):\n    return [x for x in s]"),
    ("set", "def f(s: set[str] | None):\n    return {x: 1 for x in s}"),
    ("set", "def f(s: 'set[str]'):\n    return list(s)"),
    ("set", "a = {1}\nb = a\nfor x in b: ..."),
    ("set", "def f(a, b):\n    for x in set(a) - set(b): ..."),
    ("set", "for x in set(a).union(b): ..."),
    ("set", "x = tuple({1, 2})"),
    ("set", "x = ''.join(set(names))"),
    ("set", "x = next(iter({1, 2}))"),
    ("set", "x = [*set(names)]"),
    ("set", "f(*set(names))"),
    ("set", "a, b = {1, 2}"),
    ("set", "x = set(names).pop()"),
    ("set", "x = dict.fromkeys(set(names))"),
    ("set", "def f(s):\n    yield from set(s)"),
    ("set", "class A:\n    names: set[str]\n    def f(self):\n        return list(self.names)"),
    (
        "set",
        "class A:\n    def __init__(self):\n        self.n = set()\n    def f(self):\n        return list(self.n)",
    ),
    ("except", "try: ...\nexcept: ..."),
    ("except", "try: ...\nexcept Exception: ..."),
    ("except", "try: ...\nexcept (ValueError, BaseException): ..."),
    ("except", "with suppress(Exception): ..."),
    ("case", "x = name.lower()"),
    ("case", "x = name.casefold()"),
    ("case", "x = name.isdigit()"),
    ("case", "x = list(map(str.upper, names))"),
    ("builtin", "x = hash(y)"),
    ("builtin", "x = id(y)"),
    ("builtin", "print(y)"),
    ("builtin", "open('a')"),
]

CLEAN = [
    "from __future__ import annotations\nfrom collections.abc import Iterator\nimport msgspec",
    "from .time import x",
    "x = a // b\nq, r = divmod(a, b)",
    "for x in sorted({1, 2}): ...",
    "for x in {1: 2}: ...",
    "for k, v in mapping.items(): ...",
    "s = set(names)\nif name in s and len(s) > 1: ...",
    "s = {1, 2}\nx = sorted(n for n in s)",
    "x = all(n > 0 for n in {1, 2})",
    "x = {n + 1 for n in {1, 2}}",
    "try: ...\nexcept ValueError: ...",
    "x = dataset.title",
    "class A:\n    def f(self):\n        n = set()\n        return n\n    def g(self):\n        return list(self.n)",
]


@pytest.mark.parametrize(("rule", "source"), BREACHES)
def test_breach_is_found(rule: str, source: str) -> None:
    """Each forbidden construct is reported once, under its rule."""
    assert [rule] == [finding.rule for finding in check_source(source, "x.py")]


@pytest.mark.parametrize("source", CLEAN)
def test_ordinary_code_passes(source: str) -> None:
    """What cannot differ between two machines is left alone."""
    assert [] == check_source(source, "x.py")


@pytest.mark.parametrize("module", sorted(FORBIDDEN_IMPORTS))
def test_every_forbidden_module_is_found_in_both_forms(module: str) -> None:
    """A forbidden module is reported whether imported whole or in part."""
    source = f"import {module}\nfrom {module} import x\nfrom {module}.y import z"

    assert [1, 2, 3] == [finding.line for finding in check_source(source, "x.py")]


def test_command_names_file_line_and_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command walks folders, prints file:line: rule, and exits 1."""
    bad = tmp_path / "room" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(
        textwrap.dedent("""
        def share(total, parties):
            return total / parties
        """)
    )

    assert 1 == main([str(tmp_path)])
    assert f"{bad}:3: float: / gives a float; use // or divmod()" == capsys.readouterr().out.splitlines()[0]


def test_command_passes_clean_code(tmp_path: Path) -> None:
    """A folder without a breach exits 0."""
    (tmp_path / "good.py").write_text("x = 1\n")

    assert 0 == main([str(tmp_path)])


def test_command_refuses_a_missing_path(tmp_path: Path) -> None:
    """A path that is not there is an error, never a pass."""
    assert 2 == main([str(tmp_path / "nothing")])
