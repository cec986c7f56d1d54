"""The documentation check finds dead links, stale pages, unnamed rejections and examples that fail."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.check_docs import (
    anchors,
    check_generated,
    check_links,
    check_module_readmes,
    module_names,
    run_examples,
    runnable_blocks,
)


def _page(root: Path, name: str, text: str) -> Path:
    page = root / name
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text)
    return page


def test_good_links_pass(tmp_path: Path) -> None:
    """Links to files, folders, headings, the page itself and other sites hold."""
    _page(tmp_path, "docs/b.md", "# B\n\n## The `tally` command, twice\n\n## A & B\n## A & B\n")
    page = _page(
        tmp_path,
        "a.md",
        "# Top\n[b](docs/b.md) [h](docs/b.md#the-tally-command-twice) [two](docs/b.md#a--b-1) [me](#top) [d](docs/)\n"
        "[out](https://example.org/x) ![i](docs/b.md) [ref]\n\n[ref]: docs/b.md\n",
    )

    assert [] == check_links([page], tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[x](gone.md)", "the link gone.md leads to no file"),
        ("[x](#gone)", "the link #gone leads to no heading"),
        ("[x](a.md#gone)", "the link a.md#gone leads to no heading"),
        ("[x](../x.md)", "the link ../x.md leaves the project"),
        ("[x](/etc/passwd)", "the link /etc/passwd leaves the project"),
        ("[ref]: gone.md", "the link gone.md leads to no file"),
    ],
)
def test_dead_link_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    """A link that leads nowhere is reported with page and line."""
    page = _page(tmp_path, "a.md", f"# A\n\n{text}\n")

    assert [f"a.md:3: {problem}"] == check_links([page], tmp_path)


def test_links_in_code_are_no_links(tmp_path: Path) -> None:
    """What stands in a fence or in backticks is code."""
    page = _page(tmp_path, "a.md", "```text\n[x](gone.md)\n```\n~~~\n[x](gone.md)\n~~~\n`[x](gone.md)`\n")

    assert [] == check_links([page], tmp_path)


def test_headings_in_code_are_no_anchors() -> None:
    """A comment in a shell block is not a heading."""
    assert {"a", "made"} == anchors('# A\n```sh\n# not one\n```\n<a id="made"></a>\n')


def test_stale_page_is_reported_then_written(tmp_path: Path) -> None:
    """A generated page that differs fails the check; writing it repairs that."""
    pages = {"docs/x.md": lambda: "new\n"}
    _page(tmp_path, "docs/x.md", "old\n")

    assert ["docs/x.md: out of date; type: make docs"] == check_generated(tmp_path, pages, write=False)
    assert [] == check_generated(tmp_path, pages, write=True)
    assert [] == check_generated(tmp_path, pages, write=False)


def test_only_a_room_that_is_not_there_excuses_a_missing_page(tmp_path: Path) -> None:
    """A missing room is passed over; a missing library, or a page without its room, is not."""

    def missing(name: str) -> str:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    _page(tmp_path, "old.md", "left over")
    pages = {
        "room.md": lambda: missing("tallystick.console"),
        "library.md": lambda: missing("typer"),
        "old.md": lambda: missing("tallystick.console"),
    }

    problems = check_generated(tmp_path, pages, write=False)

    assert ["library.md", "old.md"] == [problem.partition(":")[0] for problem in problems]


def test_module_readme_must_name_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A README that leaves out a number, or holds it only inside a longer one, is reported."""
    room = tmp_path / "src" / "specimen_modules" / "tallies"
    room.mkdir(parents=True)
    (room.parent / "__init__.py").write_text("")
    (room / "__init__.py").write_text(
        "from types import SimpleNamespace as N\n"
        "class Module: ...\n"
        "MODULE = Module()\n"
        "MODULE.collections = [N(name='tallies')]\n"
        "MODULE.operations = [N(name='split_tally')]\n"
        "MODULE.events = []\n"
        "MODULE.rejections = [N(code=9001, name='no_such_tally'), N(code=9002, name='already_split')]\n"
    )
    (room / "README.md").write_text("# tallies\n`split_tally` is refused with 9001, or 90021.\n")
    monkeypatch.syspath_prepend(str(tmp_path / "src"))

    problems = check_module_readmes(tmp_path, "specimen_modules")

    where = "src/specimen_modules/tallies/README.md"
    assert [f"{where}: does not mention the rejection 9002 (already_split)"] == problems


def test_all_parts_of_a_module_are_named() -> None:
    """Collections, operations, events and rejections all count."""
    event = SimpleNamespace(__struct_config__=SimpleNamespace(tag="tally_split"))
    module = SimpleNamespace(
        collections=[SimpleNamespace(name="tallies")],
        operations=[SimpleNamespace(name="split_tally")],
        events=[event],
        rejections=[SimpleNamespace(code=9001, name="no_such_tally")],
    )

    assert ["tallies", "split_tally", "tally_split", "9001"] == [word for _, word in module_names(module)]


def test_only_marked_python_blocks_run() -> None:
    """A block runs if it is Python and opens with the mark."""
    text = "```python\n# runnable\nx = 1\n```\n```python\ny = 2\n```\n```sh\n# runnable\nrm\n```\n"

    assert [(1, "# runnable\nx = 1\n")] == list(runnable_blocks(text))


def test_failing_example_is_reported(tmp_path: Path) -> None:
    """An example that raises is named with its line and its reason; one that works is not."""
    page = _page(
        tmp_path,
        "a.md",
        "# A\n```python\n# runnable\nprint(1)\n```\n```python\n# runnable\nraise ValueError('no')\n```\n",
    )

    assert ["a.md:6: the example fails: ValueError: no"] == run_examples([page], tmp_path)
