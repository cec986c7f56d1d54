"""Logging: constant event names plus fields; JSON unless a terminal reads it; never payloads or secrets."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from tallystick.node.config import LogSection


def set_up_logs(section: LogSection) -> None:
    """Send this process's log to standard error in the form that the configuration says."""
    text = section.format == "text" or (section.format == "auto" and sys.stderr.isatty())
    # A trace is plain: where rich is installed, structlog would show the values of variables too, keys among them.
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if text
        else structlog.processors.JSONRenderer()
    )
    # What goes wrong in answering is logged where it is answered; the HTTP server would write it again, in its own form.
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            # What the engine wrote keeps the engine's time.
            structlog.processors.MaybeTimeStamper(fmt="iso", utc=True),
            *(() if text else (structlog.processors.format_exc_info,)),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, section.level.upper())),
        # A line and its end in one piece: all processes of a node write to the same log.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
