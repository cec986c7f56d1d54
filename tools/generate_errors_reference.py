"""Make docs/reference/errors.md out of what the code refuses with: numbered rejections, and names.

Numbers come from the rulebook, names from the classes that carry one, reasons of proofs from the table of their
remedies. What is written down nowhere else than here is which rooms are asked, and how the families are described.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

INTRODUCTION = """\
# Errors

Whatever is refused has a number or a name that never changes, so that a program can rely on it.

- A **rejection** has a number. The rules of the zone refuse, and every honest node refuses with the same number. What is
  refused with 1 to 9 leaves nothing on the history; from 10 on the operation is on the history with that outcome.
- A **refusal** has a name and a remedy. This node, this file or this peer is why; elsewhere it may go well.

The HTTP API answers a rejection with 409 and `{"code", "name", "message", "fields"}`, a refusal with another status and
`{"error", "message", "remedy"}`, where `error` is the name. `tally` prints either in one line on stderr: a rejection with
name and number, a refusal with its remedy. In Python a rejection is a `RejectedError` with `code` and `name`, a refusal a
`NodeError` with `remedy`. What to do about the common ones: [troubleshooting](../howto/troubleshooting.md).
"""
# Each family of refusals, and the exit code of `tally` that goes with it (`tallystick.cli.failures`).
FAMILIES = (
    ("ConfigurationError", 3),
    ("StorageError", 3),
    ("PeerError", 3),
    ("AccessError", 1),
    ("IntegrityError", 1),
    ("UsageError", 2),
)
ROOMS = (
    "tallystick.dataplane.refusals",
    "tallystick.office.refusals",
    "tallystick.ledger",
    "tallystick.node.peers.failures",
    "tallystick.sdk.trouble",
)


def generate() -> str:
    """Return the page.

    Raises:
        ModuleNotFoundError: a room is missing.
        ValueError: two rejections share a number, or a refusal is of no family.
    """
    machine = importlib.import_module("tallystick.machine.rejections")
    modules = importlib.import_module("tallystick.modules").rulebook().modules
    groups = [("machine", machine.MACHINE_REJECTIONS), *((module.name, module.rejections) for module in modules)]
    return describe(groups, _named_refusals(), importlib.import_module("tallystick.proofs.failures").REMEDIES)


def describe(
    groups: Sequence[tuple[str, Sequence[Any]]],
    refusals: Iterable[tuple[str, str, str]],
    proofs: dict[str, str],
) -> str:
    """Return the page.

    Args:
        groups: (module, its rejections).
        refusals: (name, family, what it means).
        proofs: reason and remedy of each way in which a proof can fail.

    Raises:
        ValueError: two rejections share a number, or a refusal is of no family.
    """
    codes = [rejection.code for _, rejections in groups for rejection in rejections]
    if len(set(codes)) != len(codes):
        raise ValueError("two rejections share a number")
    lines = [INTRODUCTION, "## Rejections, by number", ""]
    for module, rejections in groups:
        lines += [f"### {module}", "", "| number | name | text |", "|---|---|---|"]
        for rejection in sorted(rejections, key=lambda each: each.code):
            lines.append(f"| {rejection.code} | `{rejection.name}` | {_cell(rejection.message)} |")
        lines.append("")
    lines += [
        "Words in braces are filled in, and are in `fields` as well.",
        "",
        "## Refusals, by name",
        "",
        "The family decides the exit code of `tally`. A refusal without a name of its own has that of its family: "
        f"{_listed(_family_name(family) for family, _ in FAMILIES)}.",
        "",
    ]
    exits = dict(FAMILIES)
    found = sorted(refusals)
    for family, code in FAMILIES:
        lines += [f"### {family} (exit code {code})", "", f"{_first_line(_family(family))}", ""]
        rows = [f"| `{name}` | {_cell(meaning)} |" for name, of, meaning in found if of == family]
        if rows:
            lines += ["| name | meaning |", "|---|---|", *rows, ""]
    unknown = sorted({family for _, family, _ in found} - set(exits))
    if unknown:
        raise ValueError(f"refusals of no family: {', '.join(unknown)}")
    lines += [
        "### Proofs (exit code 1)",
        "",
        "Why a receipt, a trust file, the proof of a record or a fork proof does not hold: `reason` of a `ProofError`.",
        "",
        "| reason | what to do |",
        "|---|---|",
        *(f"| `{reason}` | {_cell(remedy)} |" for reason, remedy in sorted(proofs.items())),
        "",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _named_refusals() -> Iterator[tuple[str, str, str]]:
    """Yield (name, family, meaning) of every error class that carries a stable name."""
    for room in ROOMS:
        importlib.import_module(room)
    families = [_family(name) for name, _ in FAMILIES]
    seen: dict[str, tuple[str, str, str]] = {}
    for family in families:
        for kind in _below(family):
            name = vars(kind).get("name")
            if isinstance(name, str):
                seen.setdefault(name, (name, family.__name__, _first_line(kind)))
    yield from seen.values()


def _below(kind: type) -> Iterator[type]:
    found: list[type] = kind.__subclasses__()
    for each in found:
        yield each
        yield from _below(each)


def _family(name: str) -> type:
    found: type = getattr(importlib.import_module("tallystick.errors"), name)
    return found


def _family_name(family: str) -> str:
    return f"`{family.removesuffix('Error').lower()}`"


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
