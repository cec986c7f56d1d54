"""The node's configuration: one `tally.toml`, read once, unknown keys refused, every key overridable from outside.

`TALLY_SECTION_KEY` in the environment replaces `key` of `[section]`. What the whole zone must agree on is on the ledger,
never here.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tallystick.errors import ConfigurationError

FILE_NAME = "tally.toml"


class NodeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who runs this node and how it takes part."""

    organisation: str
    role: Literal["orderer", "replica", "validator"]


class PeersSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How other organisations' nodes reach this one, and where it looks for blocks."""

    listen: str = ""
    follow: list[str] = []
    poll_seconds: int = 15


class EngineSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The distributed engine of a validator."""

    listen: str = ""
    peers: list[str] = []
    commit_ms: int = 50
    retain_blocks: int = 0
    retain_days: int = 7
    stall_seconds: int = 30


class ApiSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP API for this organisation's own people and programs."""

    listen: str = "127.0.0.1:7070"


class LedgerSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ledger's copy."""

    state_cache_mib: int = 256
    heartbeat_seconds: int = 600
    snapshot_from: int = 50_000


class DataSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Moving data."""

    max_transfers: int = 8


class LogSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the node writes about itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `tally.toml`."""

    node: NodeSection
    peers: PeersSection = PeersSection()
    engine: EngineSection = EngineSection()
    api: ApiSection = ApiSection()
    ledger: LedgerSection = LedgerSection()
    data: DataSection = DataSection()
    log: LogSection = LogSection()


DOCS: dict[str, str] = {
    "node.organisation": "Id of the organisation whose node this is.",
    "node.role": "`orderer` in the one node that orders for a zone on the embedded engine, `validator` in those that order "
    "together on the distributed engine, `replica` in all others.",
    "peers.listen": "`host:port` where other members' nodes connect (mutual TLS). Empty: nobody can; the node then only "
    "makes connections of its own, which is enough to follow, cosign, ask and fetch.",
    "peers.follow": "`host:port` of nodes to take blocks from, the first that answers. Empty: the addresses that members "
    "have registered, the orderer's first.",
    "peers.poll_seconds": "How long a request for the next block waits for it; also how often cosignatures are exchanged "
    "while nothing happens.",
    "engine.listen": "`host:port` where the engines of the other validators connect.",
    "engine.peers": "`id@host:port` of the engines of the other validators.",
    "engine.commit_ms": "How long a validator waits after a decision for late votes before it begins the next block.",
    "engine.retain_blocks": "How many of its own blocks the engine keeps at least, for other validators that catch up. It "
    "keeps 10,000 blocks and those of 48 hours in any case, for evidence of double votes. The ledger itself keeps "
    "everything.",
    "engine.retain_days": "For how many days the engine keeps its own blocks at least; both this and `retain_blocks` must "
    "be over before one goes. With 0 here and there it keeps all. A validator that was away for longer begins its engine "
    "anew: `tally node repair --engine`.",
    "engine.stall_seconds": "How long the engine may stand still, while transactions wait and enough validators are "
    "connected, before it is started again; as much more for each validator that is away, and twice as long after each "
    "try that did not help. A core or an office that gives no sign of life is given ten times as long.",
    "api.listen": "`host:port` of the HTTP API. Loopback only; put a proxy with TLS in front for anything else.",
    "ledger.state_cache_mib": "Memory for the state tree and records; beyond it they are read from disk, slower.",
    "ledger.heartbeat_seconds": "The orderer makes an empty block after so long without one, so that deadlines pass.",
    "ledger.snapshot_from": "A new replica fetches the records of another member's node, and checks them, instead of "
    "executing all blocks, where the history has at least so many operations; older blocks follow in the background. "
    "0: never.",
    "data.max_transfers": "Deliveries served at the same time; further ones wait.",
    "log.level": "Least severe message that is written.",
    "log.format": "`text`, `json`, or `auto`: text on a terminal, JSON elsewhere.",
}


def load_settings(home: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a home's configuration.

    Args:
        home: the node's home.
        environment: overrides; the process's own by default.

    Raises:
        ConfigurationError: no file, not TOML, an unknown key or a value of the wrong form; names the key.
    """
    path = home / FILE_NAME
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no node at {home}",
            remedy="Name its home with --home or TALLY_HOME, or make one: `tally zone create` or `tally node join`.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}", remedy="Correct the line that it names.") from None
    _override(data, os.environ if environment is None else environment)
    try:
        return msgspec.convert(data, Settings)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"{path}: {error}", remedy="See docs/reference/configuration.md for the keys and their values."
        ) from None


def _override(data: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put `TALLY_SECTION_KEY` values into `data`, each read as the type of its key."""
    for dotted in DOCS:
        section, key = dotted.split(".")
        text = environment.get(f"TALLY_{section}_{key}".upper())
        if text is None:
            continue
        kind = _kind_of(section, key)
        try:
            value: Any = (
                int(text) if kind is int else [part for part in text.split(",") if part] if kind is list else text
            )
        except ValueError:
            raise ConfigurationError(
                f"TALLY_{section.upper()}_{key.upper()} is not a number: {text}", remedy="Give a whole number."
            ) from None
        table = data.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value


def _kind_of(section: str, key: str) -> type:
    for field in msgspec.structs.fields(Settings):
        if field.name == section:
            for inner in msgspec.structs.fields(field.type):
                if inner.name == key:
                    return int if inner.type is int else list if "list" in str(inner.type) else str
    raise KeyError(f"{section}.{key}")


def render_settings(settings: Settings) -> str:
    """Return the TOML of a new home: what differs from the defaults, each with its meaning."""
    lines = ["# Configuration of this node; see docs/reference/configuration.md for every key."]
    for field in msgspec.structs.fields(Settings):
        section = getattr(settings, field.name)
        shown = (
            [
                (inner.name, getattr(section, inner.name))
                for inner in msgspec.structs.fields(field.type)
                if inner.required or getattr(section, inner.name) != getattr(field.type(), inner.name, None)
            ]
            if field.name != "node"
            else [("organisation", section.organisation), ("role", section.role)]
        )
        if not shown:
            continue
        lines += ["", f"[{field.name}]"]
        for name, value in shown:
            lines.append(f"# {DOCS[f'{field.name}.{name}']}")
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
