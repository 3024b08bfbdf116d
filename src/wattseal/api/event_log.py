"""The server's log of events: one line each on standard error, JSON unless a person reads it. No secrets, no bodies."""

from __future__ import annotations

import sys

import structlog
from structlog.typing import Processor


def configure() -> None:
    """From now on events go to standard error."""
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper("iso", utc=True), *last],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
