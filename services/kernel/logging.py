"""How the processes log: one format for structlog and for the standard library, JSON unless a person watches."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import structlog
from pydantic import BeforeValidator

if TYPE_CHECKING:
    from structlog.typing import Processor

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    BeforeValidator(lambda level: level.upper() if isinstance(level, str) else level),
]
"""A level in settings, where small letters will do."""


def configure_logging(level: str, *, stream: TextIO | None = None) -> None:
    """Sets up logging for the whole process; called once, at its start.

    Args:
        level: The least level that is written, as ``info``; for libraries at least that.
        stream: Where to write; stderr, if it is not given.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    annotate: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if stream.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=annotate,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    # The libraries' debug lines hold bodies: commands with what users wrote, frames with tokens.
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler], force=True)
    for package in ("services", "gateway"):
        logging.getLogger(package).setLevel(number)
    structlog.configure(
        processors=[*annotate, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
