"""Taking runs, and what happens to those that nobody here can take.

A run that may be claimed has a `wake_at`, and no other run has one (rule 5 of `core.run`), so the
index on it answers every question of this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from perdure.core import decide
from perdure.core.decide import Retried, RunChange
from perdure.core.run import Run
from perdure.store import Claim, Unclaimed
from perdure.stores.sql import states
from perdure.stores.sql.births import require_worker
from perdure.stores.sql.database import Session
from perdure.stores.sql.records import (
    BRIEF_COLUMNS,
    RUN_COLUMNS,
    marks,
    pairs,
    run_of,
    whole_run,
    write_change,
)


def claim(session: Session, what: Claim, now: int) -> list[Run]:
    """See `Store.claim`."""
    require_worker(session, what.worker)
    if not what.names or not what.queues:
        return []
    wanted, params = _wanted(what)
    records = session.all(
        f"""
        SELECT {RUN_COLUMNS} FROM runs WHERE wake_at <= ? AND {wanted}
        ORDER BY wake_at, tid LIMIT ? /*FOR UPDATE SKIP LOCKED*/""",
        (now, *params, 1 if what.alone else what.limit),
    )
    claimed: list[Run] = []
    for record in records:
        run = whole_run(session, record)
        change = decide.after_claim(run, what.worker, now=now)
        write_change(session, run.tid, change)
        claimed.append(_changed(run, change))
    return claimed


def due(session: Session, what: Claim) -> int | None:
    """See `Store.due`."""
    if not what.names or not what.queues:
        return None
    wanted, params = _wanted(what)
    record = session.one(
        f"SELECT MIN(wake_at) FROM runs WHERE wake_at IS NOT NULL AND {wanted}", params
    )
    return record[0] if record else None


def _wanted(what: Claim) -> tuple[str, list[str | int]]:
    """The condition that a run is one that this claim can take, once it is due."""
    condition = f"""
        namespace = ? AND queue IN ({marks(len(what.queues))})
        AND (name, version) IN ({pairs(len(what.names))})
        AND crashes {">=" if what.alone else "<"} ?"""
    params: list[str | int] = [
        what.namespace,
        *what.queues,
        *_flat(what.names),
        decide.ALONE_AFTER_CRASHES,
    ]
    return condition, params


def block(session: Session, what: Unclaimed, namespace: str, reason: str, now: int) -> int:
    """See `Store.block`."""
    records = session.all(
        f"""
        SELECT {BRIEF_COLUMNS} FROM runs
        WHERE wake_at <= ? AND namespace = ? AND name = ? AND version = ? AND source = ?
            AND status IN ('queued', 'waiting')
        ORDER BY tid /*FOR UPDATE*/""",
        (now, namespace, what.name, what.version, what.source),
    )
    return _apply(session, [(run, decide.after_block(run, reason)) for run in map(run_of, records)])


def unpark(
    session: Session, names: Sequence[tuple[str, str]], namespace: str, code: str, now: int
) -> int:
    """See `Store.unpark`."""
    if not names:
        return 0
    records = session.all(
        f"""
        SELECT {BRIEF_COLUMNS} FROM runs
        WHERE status = 'stuck' AND namespace = ? AND (name, version) IN ({pairs(len(names))})
        ORDER BY tid /*FOR UPDATE*/""",
        (namespace, *_flat(names)),
    )
    return _apply(
        session, [(run, decide.after_unpark(run, code, now=now)) for run in map(run_of, records)]
    )


def retry(session: Session, tid: int, now: int) -> Retried:
    """See `Store.retry`."""
    run = states.read(session, tid)
    if run is None:
        return Retried.UNKNOWN
    change = decide.after_retry(run, now=now)
    if change is None:
        return Retried.NOT_STUCK
    write_change(session, tid, change)
    return Retried.QUEUED


def _apply(session: Session, decisions: list[tuple[Run, RunChange | None]]) -> int:
    count = 0
    for run, change in decisions:
        if change is not None:
            write_change(session, run.tid, change)
            count += 1
    return count


def _changed(run: Run, change: RunChange) -> Run:
    return replace(
        run,
        status=change.status,
        worker=change.worker,
        attempt=change.attempt,
        crashes=change.crashes,
        wake_at=change.wake_at,
        started_at=change.started_at,
        finished_at=change.finished_at,
        output=change.output,
        error=change.error,
        reason=change.reason,
        code=change.code,
    )


def _flat(names: Sequence[tuple[str, str]]) -> list[str]:
    return [part for pair in names for part in pair]
