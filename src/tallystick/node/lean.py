"""Imported before structlog by processes that run as long as their node: structlog without rich.

Where rich is installed, for the command line, structlog loads it as well, over 4 MiB in each process, for coloured traces
that show the values of variables. `logs` never writes these. There is no setting for it; a module that is None is one that
cannot be imported, which structlog, while it is loaded, takes for one that is not there.
"""

from __future__ import annotations

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog  # noqa: F401

    del sys.modules["rich"]
