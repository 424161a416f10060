"""Structured logs: pretty on a terminal, otherwise one JSON object per line."""

import logging
import sys
from typing import TextIO

import structlog
from rich.traceback import Traceback
from structlog.tracebacks import ExceptionDictTransformer

from config.console import PlainConsole
from config.settings import Settings
from config.terminal import plain

CHATTY = ("httpx", "httpx2")  # they log each model request; one line per job is enough


def is_pretty(settings: Settings) -> bool:
    """Whether logs are for people; otherwise they are JSON lines."""
    return settings.log_format == "pretty" or (settings.log_format == "auto" and sys.stderr.isatty())


def configure(settings: Settings) -> None:
    """Send structlog and the standard library's loggers to stderr in the same format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # Tracebacks without local variables: those of a connection hold the URL with its password.
    pretty = structlog.dev.ConsoleRenderer(exception_formatter=_plain_traceback)
    tracebacks = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    renderer: list[structlog.typing.Processor] = (
        [_without_controls, pretty] if is_pretty(settings) else [tracebacks, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


def _without_controls(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Texts of endpoints and runs, in which an escape sequence would reach the terminal; JSON escapes them."""
    return {plain(key): plain(value) if isinstance(value, str) else value for key, value in event.items()}


def _plain_traceback(out: TextIO, error: structlog.typing.ExcInfo) -> None:
    out.write("\n")
    PlainConsole(file=out).print(Traceback.from_exception(*error, show_locals=False))


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: `log.info("job.finished", run_id=..., seconds=...)`."""
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return log
