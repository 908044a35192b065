"""Logging with the run's context in every record.

The standard library's logging is all there is: `logging.getLogger(__name__).info(…)` in a step, or
`get_context().logger`. What this file adds is a filter that puts the run, the step and the attempt
on every record, and two formatters that show them.

A worker process calls `configure`. An application that hosts a worker has its own logging, and
nothing of it is touched; to have the context there, add the filter to a handler::

    handler.addFilter(perdure.ContextFilter())

While a workflow's body is replayed it does again what it did before, logging too; the filter lets
no record of a replay through.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, TextIO

from perdure.author.context import current_context

FIELDS = ("tid", "run", "step", "step_name", "attempt")
"""What the filter puts on records; None where there is no such thing."""


class ContextFilter(logging.Filter):
    """Puts tid, run, step, step_name and attempt of the running code on each record, and drops what
    a replay repeats."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = current_context()
        told: dict[str, object] | None = getattr(record, "perdure", None)  # by `Context.logger`
        if told is None:
            told = {} if context is None else context.fields()
        for name in FIELDS:
            setattr(record, name, told.get(name))
        return context is None or not context.is_replaying


class PlainFormatter(logging.Formatter):
    """Lines for people: time, level, logger, message, and in brackets where it belongs."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - the standard library's name
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        return f"{at}.{int(record.msecs):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - likewise
        where = _where(record)
        return (
            f"{self.formatTime(record)} {record.levelname:<7} {record.name}: {record.message}"
            f"{f'  [{where}]' if where else ''}"
        )


class JsonFormatter(logging.Formatter):
    """One JSON object per line; what a caller gave as `extra` stands in it, too."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                told[name] = value
        for name, value in vars(record).items():
            if name not in _USUAL and name not in told:
                told[name] = value
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            told["stack"] = record.stack_info
        return json.dumps(told, ensure_ascii=False, default=repr)


_USUAL = {*vars(logging.makeLogRecord({})), *FIELDS, "message", "asctime", "perdure", "taskName"}


def configure(*, level: str, format: str, stream: TextIO | None = None) -> None:
    """Set up the logging of a process that is a worker and nothing else.

    Args:
        level: "debug", "info", "warning" or "error".
        format: "plain" or "json".
        stream: Where to; stderr by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else PlainFormatter())
    handler.addFilter(ContextFilter())
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)


def _where(record: logging.LogRecord) -> str:
    """The run and the step, as in "fulfil 1799182467912345601, step 3 charge(), attempt 2"."""
    tid, run = getattr(record, "tid", None), getattr(record, "run", None)
    if not tid:
        return ""
    where = f"{run} {tid}"
    step = getattr(record, "step", None)
    if step is not None:
        where += f", step {step} {getattr(record, 'step_name', '')}()"
        attempt = getattr(record, "attempt", None)
        if attempt is not None and attempt > 1:
            where += f", attempt {attempt}"
    return where
