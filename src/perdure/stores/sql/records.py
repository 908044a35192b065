"""Rows of tables as records of the core, and back; long texts go to `blobs` and come from there."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from perdure.core.run import Kind, Run, Status
from perdure.store import WorkerRow
from perdure.stores.sql.database import Record, Session

if TYPE_CHECKING:
    from perdure.core.decide import RunChange

LONG = 16 * 1024
"""A text with more characters than this stands in `blobs`."""

ELSEWHERE = "@"
"""Stands in a column for a text in `blobs`."""

OF_RUN = -1
"""The `seq` of blobs that belong to the run itself."""

RUN_COLUMNS = ", ".join(field.name for field in fields(Run))
BRIEF_COLUMNS = RUN_COLUMNS.replace("input, output, error", "'', NULL, NULL")
"""A run without its payloads: what lists show, and what decisions look at."""

ROW_COLUMNS = "seq, at, attempt, kind, ordinal, step_attempt, due, value, commands"
WORKER_COLUMNS = ", ".join(field.name for field in fields(WorkerRow))

SELECT_RUN = f"SELECT {RUN_COLUMNS} FROM runs WHERE tid = ?"

_STATUS = {status.value: status for status in Status}
_KIND = {kind.value: kind for kind in Kind}

_KEEP = """
    UPDATE runs SET status = ?, worker = ?, attempt = ?, crashes = ?, wake_at = ?, started_at = ?,
        finished_at = NULL, output = NULL, error = NULL, reason = ?, code = ?
    WHERE tid = ?"""
_LET_GO = _KEEP.replace("code = ?", "code = ?, progress = NULL")
END = """
    UPDATE runs SET status = ?, worker = NULL, attempt = ?, crashes = ?, wake_at = NULL,
        started_at = ?, finished_at = ?, output = ?, error = ?, reason = ?, code = ?,
        progress = NULL
    WHERE tid = ?"""
"""Ends a run: nobody holds it, and nothing wakes it (rules 4 and 5 of `core.run`)."""

_PUT_BLOB = """
    INSERT INTO blobs (tid, seq, part, value) VALUES (?, ?, ?, ?)
    ON CONFLICT (tid, seq, part) DO UPDATE SET value = excluded.value"""
_GET_BLOB = "SELECT value FROM blobs WHERE tid = ? AND seq = ? AND part = ?"


def put(session: Session, tid: int, seq: int, part: str, text: str) -> str:
    """Keep a long text in `blobs`; returns what its column shall have."""
    if len(text) <= LONG:
        return text
    session.run(_PUT_BLOB, (tid, seq, part, text))
    return ELSEWHERE


def fetch(session: Session, tid: int, seq: int, part: str) -> str:
    """The text for which a column has `ELSEWHERE`."""
    found = session.one(_GET_BLOB, (tid, seq, part))
    return found[0] if found else ELSEWHERE


def run_of(record: Record) -> Run:
    """A run as its columns have it; its payloads may be `ELSEWHERE`."""
    return Run(
        tid=record[0],
        namespace=record[1],
        kind=_KIND[record[2]],
        name=record[3],
        version=record[4],
        source=record[5],
        queue=record[6],
        key=record[7],
        parent=record[8],
        parent_ordinal=record[9],
        chain=record[10],
        status=_STATUS[record[11]],
        attempt=record[12],
        crashes=record[13],
        worker=record[14],
        created_at=record[15],
        started_at=record[16],
        finished_at=record[17],
        wake_at=record[18],
        python=record[19],
        journal_format=record[20],
        code=record[21],
        input=record[22],
        output=record[23],
        error=record[24],
        reason=record[25],
        progress=record[26],
    )


def whole_run(session: Session, record: Record) -> Run:
    """A run with its payloads, from where they are."""
    run = run_of(record)
    if run.input == ELSEWHERE:
        run.input = fetch(session, run.tid, OF_RUN, "input")
    if run.output == ELSEWHERE:
        run.output = fetch(session, run.tid, OF_RUN, "output")
    if run.error == ELSEWHERE:
        run.error = fetch(session, run.tid, OF_RUN, "error")
    return run


def write_change(session: Session, tid: int, change: RunChange) -> None:
    """Set the columns of a run that a decision changes; progress is told only while it is held."""
    if change.finished_at is not None:
        session.run(END, end_of(session, tid, change))
        return
    session.run(
        _LET_GO if change.worker is None else _KEEP,
        (
            change.status._value_,
            change.worker,
            change.attempt,
            change.crashes,
            change.wake_at,
            change.started_at,
            change.reason,
            change.code,
            tid,
        ),
    )


def end_of(session: Session, tid: int, change: RunChange) -> tuple[Any, ...]:
    """The parameters of `END` for a change that ends a run; its payloads are put where they go."""
    output, error = change.output, change.error
    if output is not None and len(output) > LONG:
        output = put(session, tid, OF_RUN, "output", output)
    if error is not None and len(error) > LONG:
        error = put(session, tid, OF_RUN, "error", error)
    return (
        change.status._value_,  # `value` is a property, and three times as slow
        change.attempt,
        change.crashes,
        change.started_at,
        change.finished_at,
        output,
        error,
        change.reason,
        change.code,
        tid,
    )


def marks(count: int) -> str:
    """As many parameters, for a list in parentheses."""
    return ", ".join("?" * count)


def pairs(count: int) -> str:
    """As many rows of two parameters, for `IN (VALUES …)`."""
    return "VALUES " + ", ".join(["(?, ?)"] * count)
