"""The generated pages of the reference say what the code says."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import msgspec
import pytest
import typer

from tools import generate_cli_reference
from tools.generate_configuration_reference import describe


class _Node(msgspec.Struct):
    organisation: str
    address: str = "127.0.0.1:7400"
    peers: list[str] = []
    cache: Path | None = None
    memory_mib: Annotated[int, msgspec.Meta(ge=1)] = 400


class _Log(msgspec.Struct):
    level: Literal["info", "debug"] = "info"


class _Settings(msgspec.Struct):
    node: _Node
    log: _Log = msgspec.field(default_factory=_Log)


_DOCS = {
    "node": "This node.",
    "node.organisation": "Whose node it is.",
    "node.address": "Where it listens.",
    "node.peers": "Whom it follows.",
    "node.cache": "Where it keeps\nwhat it can lose.",
    "node.memory_mib": "Most memory | of caches.",
    "log.level": "How much it says.",
}


def test_configuration_page_names_every_key() -> None:
    """Each key is shown with type, default, environment variable and sentence."""
    page = describe(_Settings, _DOCS)

    assert "## [node]\n\nThis node.\n" in page
    assert "| `organisation` | text | required | `TALLY_NODE_ORGANISATION` | Whose node it is. |" in page
    assert '| `address` | text | `"127.0.0.1:7400"` | `TALLY_NODE_ADDRESS` | Where it listens. |' in page
    assert "| `peers` | list of text | `[]` | `TALLY_NODE_PEERS` | Whom it follows. |" in page
    assert "| `cache` | path |  | `TALLY_NODE_CACHE` | Where it keeps what it can lose. |" in page
    assert "| `memory_mib` | integer | `400` | `TALLY_NODE_MEMORY_MIB` | Most memory \\| of caches. |" in page
    assert '| `level` | one of `info`, `debug` | `"info"` | `TALLY_LOG_LEVEL` | How much it says. |' in page


def test_undocumented_setting_is_refused() -> None:
    """A setting without a sentence makes no page."""
    docs = {name: text for name, text in _DOCS.items() if name != "node.peers"}

    with pytest.raises(ValueError, match=r"the setting node\.peers is not described"):
        describe(_Settings, docs)


def test_sentence_without_setting_is_refused() -> None:
    """A sentence about a setting that is gone makes no page."""
    with pytest.raises(ValueError, match=r"described, but no settings: node\.gone"):
        describe(_Settings, _DOCS | {"node.gone": "Was here."})


class _Form(enum.Enum):
    TEXT = "text"
    JSON = "json"


@pytest.fixture
def _command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(help="A record neither side can alter alone.")
    receipt = typer.Typer(help="Proofs of record.")
    app.add_typer(receipt, name="receipt")

    @app.callback()
    def root(home: Annotated[Path, typer.Option(help="The node's home.")] = Path("tally-home")) -> None: ...

    @app.command()
    def demo(serve: Annotated[bool, typer.Option("--serve", help="Leave it running.")] = False) -> None:
        """Run the main job | once."""

    @app.command(hidden=True)
    def secret() -> None: ...

    @receipt.command()
    def verify(
        file: Annotated[Path, typer.Argument(help="The receipt.")],
        zone: Annotated[Path, typer.Option(help="The trust file.")],
        more: Annotated[list[str] | None, typer.Argument()] = None,
        form: Annotated[_Form | None, typer.Option(help="How it prints.")] = None,
        limit: Annotated[int, typer.Option(metavar="N", help="Most lines.")] = 20,
    ) -> None:
        """Verify a receipt."""

    module = ModuleType("tallystick.cli.main")
    module.app = app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tallystick.cli.main", module)


@pytest.mark.usefixtures("_command_line")
def test_cli_page_describes_every_shown_command() -> None:
    """Commands, arguments, options, defaults and help are shown; hidden ones are not."""
    page = generate_cli_reference.generate()

    assert "## tally\n\nA record neither side can alter alone.\n" in page
    assert "- [`tally receipt`](#tally-receipt)" in page
    assert "| `--home` PATH | `tally-home` | The node's home. |" in page
    assert "## tally demo\n\nRun the main job | once.\n\n```text\ntally demo [OPTIONS]\n```\n" in page
    assert "| `--serve` |  | Leave it running. |" in page
    assert "tally receipt verify FILE [MORE...] [OPTIONS]" in page
    assert "| `FILE` | required | The receipt. |" in page
    assert "| `--zone` PATH | required | The trust file. |" in page
    assert "| `--form` one of `text`, `json` |  | How it prints. |" in page
    assert "| `--limit` N | `20` | Most lines. |" in page
    assert "secret" not in page
    assert "--help" not in page


@pytest.mark.usefixtures("_command_line")
def test_cli_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is the same at every width."""
    monkeypatch.setenv("COLUMNS", "40")
    narrow = generate_cli_reference.generate()
    monkeypatch.setenv("COLUMNS", "200")

    assert narrow == generate_cli_reference.generate()
