"""Log records of a run carry the run, as lines for people and as JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

import perdure
from perdure.author.context import Context, enter_fresh
from perdure.author.logs import ContextFilter, JsonFormatter, PlainFormatter, configure

STEP = Context(tid="1799182467912345601", name="fulfil", step=3, step_name="charge", attempt=2)
BODY = Context(tid="1799182467912345601", name="fulfil")


@pytest.fixture
def lines() -> Iterator[tuple[logging.Logger, io.StringIO, logging.Handler]]:
    """A logger of a user, and what its handler wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(ContextFilter())
    logger = logging.getLogger("shop.orders")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger, stream, handler
    logger.removeHandler(handler)
    logger.propagate = True


Lines = tuple[logging.Logger, io.StringIO, logging.Handler]


def test_a_plain_line_says_where_it_belongs(lines: Lines) -> None:
    """The run, the step and the attempt stand in brackets at the end."""
    logger, stream, handler = lines
    handler.setFormatter(PlainFormatter())
    enter_fresh(STEP).run(logger.warning, "card %s refused", "4242")
    line = stream.getvalue()
    assert "WARNING shop.orders: card 4242 refused" in line
    assert line.endswith("[fulfil 1799182467912345601, step 3 charge(), attempt 2]\n")


def test_outside_of_runs_there_are_no_brackets(lines: Lines) -> None:
    """A record of other code has the fields, all None, and a line without an appendix."""
    logger, stream, handler = lines
    handler.setFormatter(PlainFormatter())
    logger.info("started")
    assert stream.getvalue().endswith("INFO    shop.orders: started\n")


def test_json_lines(lines: Lines) -> None:
    """One object per line, with the context and whatever the caller gave as extra."""
    logger, stream, handler = lines
    handler.setFormatter(JsonFormatter())
    enter_fresh(STEP).run(logger.info, "two\nlines", extra={"order": 42, "odd": {1, 2}})
    enter_fresh(BODY).run(logger.info, "in the body")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["message"] == "two\nlines" and first["order"] == 42 and first["odd"] == "{1, 2}"
    assert (first["tid"], first["run"]) == ("1799182467912345601", "fulfil")
    assert (first["step"], first["step_name"], first["attempt"]) == (3, "charge", 2)
    assert "step" not in second and second["tid"] == first["tid"]
    assert first["at"].endswith("+00:00") and first["level"] == "info"


@pytest.mark.parametrize("form", [PlainFormatter(), JsonFormatter()])
def test_exceptions_are_told(form: logging.Formatter, lines: Lines) -> None:
    """A traceback is in both forms, in JSON within the line."""
    logger, stream, handler = lines
    handler.setFormatter(form)
    try:
        raise ValueError("no way")
    except ValueError:
        enter_fresh(STEP).run(logger.exception, "failed")
    text = stream.getvalue()
    assert "ValueError: no way" in text
    if isinstance(form, JsonFormatter):
        assert text.count("\n") == 1


def test_a_replay_is_silent(lines: Lines) -> None:
    """What a body logged before is not logged again when it is replayed."""
    logger, stream, _ = lines
    is_replaying = True
    body = Context(tid="1", name="fulfil", replaying=lambda: is_replaying)
    enter_fresh(body).run(logger.info, "once")
    is_replaying = False
    enter_fresh(body).run(logger.info, "now")
    assert stream.getvalue() == "now\n"


def test_the_logger_of_a_context_carries_its_run(lines: Lines) -> None:
    """`get_context().logger` says which run it speaks of, wherever it is used."""
    _, stream, handler = lines
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("perdure.run.fulfil")
    logger.addHandler(handler)
    try:
        STEP.logger.warning("from a thread of my own")
    finally:
        logger.removeHandler(handler)
    told = json.loads(stream.getvalue())
    assert (told["tid"], told["step"], told["attempt"]) == (STEP.tid, 3, 2)


def test_configure_sets_up_a_process_of_its_own() -> None:
    """A worker process logs from its level on, in its form, once; the rest is as before."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    try:
        configure(level="warning", format="json", stream=stream)
        configure(level="warning", format="json", stream=stream)
        logging.getLogger("perdure.worker").info("not this")
        enter_fresh(STEP).run(logging.getLogger("anything").warning, "this")
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["step_name"] == "charge"


def test_what_an_application_needs_has_a_public_name() -> None:
    """Its own handlers take the filter and the formatter from `perdure`."""
    assert perdure.ContextFilter is ContextFilter
    assert perdure.JsonFormatter is JsonFormatter
    assert set(perdure.__all__) == {*perdure._HOMES, "__version__"}
