"""Make docs/reference/configuration.md out of the settings themselves.

`tallystick.node.config` holds a msgspec struct `Settings`, one field a section, each section a struct; and `DOCS`,
which maps "section.key" (and "section") to a sentence. A setting without a sentence, or a sentence without a setting,
is an error: what is undocumented does not pass.
"""

from __future__ import annotations

import enum
import importlib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

INTRODUCTION = """\
# Configuration

One TOML file, `tally.toml`, in the node's home; read once, at start. An unknown key is an error, and so is a value of
the wrong type. Every key can be set by the environment instead, as `TALLY_SECTION_KEY`. What the whole zone must agree
on is not here: it is on the ledger.
"""
_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", bytes: "bytes"}


def generate() -> str:
    """Return the page.

    Raises:
        ModuleNotFoundError: there are no settings.
        ValueError: settings and their sentences do not match.
    """
    config = importlib.import_module("tallystick.node.config")
    return describe(config.Settings, config.DOCS)


def describe(settings: type[msgspec.Struct], docs: Mapping[str, str]) -> str:
    """Return the page about a struct of settings.

    Raises:
        ValueError: a setting has no sentence, or a sentence has no setting.
    """
    lines = [INTRODUCTION]
    seen: list[str] = []
    sections = [(field, _struct_in(field.type)) for field in msgspec.structs.fields(settings)]
    top = [field for field, section in sections if section is None]
    if top:
        lines += ["## Before any section", "", *_table("", top, docs)]
        seen += [field.encode_name for field in top]
    for field, section in sections:
        if section is not None:
            keys = msgspec.structs.fields(section)
            lines += [f"## [{field.encode_name}]", ""]
            if field.encode_name in docs:
                lines += [docs[field.encode_name], ""]
                seen.append(field.encode_name)
            lines += _table(field.encode_name, keys, docs)
            seen += [f"{field.encode_name}.{key.encode_name}" for key in keys]
    unknown = [name for name in docs if name not in seen]
    if unknown:
        raise ValueError(f"described, but no settings: {', '.join(unknown)}")
    return "\n".join(lines).rstrip() + "\n"


def _table(section: str, keys: typing.Iterable[msgspec.structs.FieldInfo], docs: Mapping[str, str]) -> list[str]:
    lines = ["| key | type | default | environment | meaning |", "|---|---|---|---|---|"]
    for key in keys:
        name = f"{section}.{key.encode_name}" if section else key.encode_name
        if name not in docs:
            raise ValueError(f"the setting {name} is not described in DOCS")
        variable = "TALLY_" + name.replace(".", "_").replace("-", "_").upper()
        cells = (f"`{key.encode_name}`", _type(key.type), _default(key), f"`{variable}`", docs[name])
        lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """Return the struct of a section, optional or not."""
    for candidate in (kind, *typing.get_args(kind)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _type(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return "one of " + ", ".join(f"`{argument}`" for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments if argument is not type(None))
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"table of {_type(arguments[1])}"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(f"`{member.value}`" for member in kind)
    return _NAMES.get(kind, getattr(kind, "__name__", str(kind)))


def _default(key: msgspec.structs.FieldInfo) -> str:
    if key.required:
        return "required"
    value = key.default if key.default_factory is msgspec.NODEFAULT else key.default_factory()
    if value is None:
        return ""
    return f"`{json.dumps(msgspec.to_builtins(value, enc_hook=str), ensure_ascii=False)}`"
