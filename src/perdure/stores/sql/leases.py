"""Workers: who they are, how long they are believed to live, and who inherits from them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from perdure.core import decide
from perdure.core.decide import RunChange
from perdure.core.run import Run
from perdure.store import WorkerRow
from perdure.stores.sql.database import Session
from perdure.stores.sql.records import BRIEF_COLUMNS, WORKER_COLUMNS, marks, run_of, write_change

_FORGET = "DELETE FROM workers WHERE id = ?"
_REGISTER = f"INSERT INTO workers ({WORKER_COLUMNS}) VALUES ({marks(13)})"
_RENEW = "UPDATE workers SET lease_until = ? WHERE id = ?"
_PROGRESS = "UPDATE runs SET progress = ? WHERE tid = ? AND worker = ?"
_LEASE = "SELECT lease_until, namespace FROM workers WHERE id = ? /*FOR UPDATE*/"
_ORPHANS = f"""
    SELECT {BRIEF_COLUMNS} FROM runs
    WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM workers)
    ORDER BY tid /*FOR UPDATE*/"""
_HELD = f"SELECT {BRIEF_COLUMNS} FROM runs WHERE worker = ? ORDER BY tid /*FOR UPDATE*/"


def register(session: Session, worker: WorkerRow) -> None:
    """See `Store.register`."""
    session.run(_FORGET, (worker.id,))
    session.run(
        _REGISTER,
        (
            worker.id,
            worker.name,
            worker.host,
            worker.boot_id,
            worker.pid_namespace,
            worker.pid,
            worker.started,
            worker.lease_until,
            worker.registered_at,
            worker.namespace,
            json.dumps(worker.serves),
            int(worker.is_background),
            worker.python,
        ),
    )


def renew(session: Session, worker: int, lease_until: int) -> bool:
    """See `Store.renew`."""
    return session.run(_RENEW, (lease_until, worker)) == 1


def bury(session: Session, worker: int, now: int, proven: bool) -> int | None:
    """See `Store.bury`."""
    lease = session.one(_LEASE, (worker,))
    if lease is None or not decide.is_dead(lease[0], now=now, proven=proven):
        return None
    held = len(session.all(_HELD, (worker,)))
    session.run(_FORGET, (worker,))
    if session.locks_rows:  # this locks them; only a later statement sees who holds them now
        session.all(_ORPHANS)
    orphans = [run_of(record) for record in session.all(_ORPHANS)]
    _let_go(session, [(run, decide.after_death(run, now=now)) for run in orphans])
    return held


def retire(session: Session, worker: int, if_idle: bool) -> int | None:
    """See `Store.retire`."""
    if if_idle and session.locks_rows:
        # Whoever starts a run looks for a worker after its commit. Now either the run is seen
        # here, or that look comes after this worker is forgotten.
        session.run("LOCK TABLE runs IN SHARE MODE")
    known = session.one(_LEASE, (worker,))
    if if_idle and known is not None and not decide.is_idle(_left(session, known[1])):
        return None
    session.run(_FORGET, (worker,))
    held = [run_of(record) for record in session.all(_HELD, (worker,))]
    return _let_go(session, [(run, decide.after_retire(run)) for run in held])


def progress(session: Session, worker: int, latest: Mapping[int, str]) -> None:
    """See `Store.progress`."""
    for tid in sorted(latest):
        session.run(_PROGRESS, (latest[tid], tid, worker))


def _left(session: Session, namespace: str) -> int:
    """How many runs of a namespace keep a worker awake."""
    statuses = sorted(decide.KEEPS_AWAKE)
    sql = f"SELECT COUNT(*) FROM runs WHERE namespace = ? AND status IN ({marks(len(statuses))})"
    counted = session.one(sql, (namespace, *(status.value for status in statuses)))
    return int(counted[0]) if counted else 0


def _let_go(session: Session, decisions: list[tuple[Run, RunChange]]) -> int:
    for run, change in decisions:
        write_change(session, run.tid, change)
    return len(decisions)
