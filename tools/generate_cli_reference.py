"""Make docs/reference/cli.md out of the command line itself.

It reads the commands' own declarations (names, help, defaults), never a terminal's rendering of them, so that the page
is the same at every width.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import typing
from pathlib import Path
from typing import Any

import typer

INTRODUCTION = """\
# The command line

`tally NOUN VERB`. Exit codes: 0 done; 1 refused, or verification failed (the reason in one line on stderr, with a
remedy); 2 bad usage; 3 node or network trouble; 130 stopped by Ctrl-C. `--json` prints one JSON document instead of
text. `tally --install-completion` sets up completion for your shell.

| environment | meaning |
|---|---|
| `TALLY_HOME` | home of the node, in place of `--home` |
| `TALLY_URL` | API of a node elsewhere, used where no home is named |
| `TALLY_API_KEY` | key for it |
| `TALLY_ZONE` | path of the `zone.json` that it must show |
| `TALLY_FINGERPRINT` | fingerprint of that file, where you have no copy of it |
| `TALLY_PASSPHRASE`, `TALLY_PASSPHRASE_FILE` | passphrase of the node's keys, or where it is |
| `NO_COLOR` | no colours, if it is set |
"""
_TYPES = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}


def generate() -> str:
    """Return the page.

    Raises:
        ModuleNotFoundError: the command line is not there.
    """
    root = typer.main.get_command(importlib.import_module("tallystick.cli.main").app)
    return "\n".join([INTRODUCTION, *_describe(root, "tally")]).rstrip() + "\n"


def _describe(command: Any, path: str) -> list[str]:
    """Return the lines about a command and all below it; `command` is a click command, whose package typer chooses."""
    if getattr(command, "hidden", False):
        return []
    lines = [f"## {path}", "", *_help_lines(command)]
    subcommands: dict[str, Any] = getattr(command, "commands", {})
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not _is_noise(p)]
    usage = [path, *(_usage_of(argument) for argument in arguments)]
    usage += ["[OPTIONS]"] if options else []
    usage += ["COMMAND"] if subcommands else []
    lines += ["```text", " ".join(usage), "```", ""]
    if subcommands:
        shown = {name: sub for name, sub in sorted(subcommands.items()) if not getattr(sub, "hidden", False)}
        lines += [f"- [`{path} {name}`](#{_anchor(f'{path} {name}')})" for name in shown] + [""]
    if arguments or options:
        lines += ["| name | default | meaning |", "|---|---|---|"]
        lines += [_row(parameter) for parameter in [*arguments, *options]] + [""]
    for name, subcommand in sorted(subcommands.items()):
        lines += _describe(subcommand, f"{path} {name}")
    return lines


def _help_lines(command: Any) -> list[str]:
    # Everything after a form feed is click's own convention for "not in the help".
    text = inspect.cleandoc((command.help or "").partition("\f")[0])
    return [*text.splitlines(), ""] if text else []


def _is_noise(option: Any) -> bool:
    return option.name in ("help", "install_completion", "show_completion") or getattr(option, "hidden", False)


def _usage_of(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name += "..." if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{_usage_of(parameter).strip('[]')}`"
    else:
        name = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
        if not parameter.is_flag:
            name += f" {_type_of(parameter)}"
    meaning = " ".join((getattr(parameter, "help", None) or "").split())
    return "| " + " | ".join(_cell(text) for text in (name, _default_of(parameter), meaning)) + " |"


def _type_of(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    annotation = parameter.type_descriptor.annotation
    # list[str] and str | None are shown by what they hold.
    inner = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    kind = inner[0] if inner and typing.get_origin(annotation) is not typing.Literal else annotation
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(f"`{member.value}`" for member in kind)
    return _TYPES.get(kind, getattr(kind, "__name__", "VALUE").upper())


def _default_of(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    # Callables differ from machine to machine, so only that there is one can be shown; sentinels stand for "none".
    if callable(default):
        return "computed"
    if getattr(parameter, "is_flag", False):
        return "on" if default is True else ""
    default = getattr(default, "value", default)
    shown = isinstance(default, (str, int)) or type(default).__module__.startswith("pathlib")
    return f"`{default}`" if shown and str(default) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").strip()


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")
