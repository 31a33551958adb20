"""What the portal writes about its work: text for people on a terminal, else a JSON line each."""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.request_ids import current_request_id

TEXT, JSON = "text", "json"


def set_up_logs(style: str) -> None:
    """Let every log line of this process be `style`; "": text on a terminal, else JSON.

    May be called again: a reload, and each test, does so.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(style))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*_SHARED, *_rendered(style)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # One write for each line: those of several threads must not mix.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def formatter(style: str) -> logging.Formatter:
    """For lines of the standard library's loggers, ours and those of the server."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name, _add_request_id],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_rendered(style),
        ],
    )


def _add_request_id(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    if request_id := current_request_id():
        line["request_id"] = request_id
    return line


_SHARED: list[Processor] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _rendered(style: str) -> list[Processor]:
    if (style or (TEXT if sys.stderr.isatty() else JSON)) == JSON:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
