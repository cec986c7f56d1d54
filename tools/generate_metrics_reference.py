"""Make docs/reference/metrics.md out of the metrics that a node shows."""

from __future__ import annotations

import importlib

INTRODUCTION = """\
# Metrics

A node shows these at `/metrics` in the text format of Prometheus, to whoever has an API key of any role: `tally key create
--api monitoring --role observer --out monitoring.key`. Names that begin with `tallystick_engine_` or
`tallystick_mempool_` are there where the node is a validator; those that the core tells are missing while it does not
answer. What to wake somebody for: [run a node](../howto/run-a-node.md#see-how-it-does).

| metric | what it is |
|---|---|
"""


def generate() -> str:
    """Return the page.

    Raises:
        ModuleNotFoundError: the room is missing.
    """
    metrics: dict[str, str] = importlib.import_module("tallystick.api.metrics").METRICS
    return INTRODUCTION + "".join(f"| `{name}` | {text} |\n" for name, text in metrics.items())
