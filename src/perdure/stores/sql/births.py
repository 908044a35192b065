"""Storing new runs, once each: by key, by TID, and by the call of the parent."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from perdure.core import decide
from perdure.core.errors import TidTaken
from perdure.core.run import NewRun
from perdure.store import Submitted
from perdure.stores import refusals
from perdure.stores.sql.database import Session
from perdure.stores.sql.records import (
    ELSEWHERE,
    LONG,
    OF_RUN,
    RUN_COLUMNS,
    SELECT_RUN,
    marks,
    put,
    whole_run,
)

_TAKE_KEY = """
    INSERT INTO keys (namespace, name, key, tid, input_hash) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING"""
_GET_KEY = "SELECT tid, input_hash FROM keys WHERE namespace = ? AND name = ? AND key = ?"
_INSERT_RUN = f"""
    INSERT INTO runs ({RUN_COLUMNS}) VALUES ({marks(27)}) ON CONFLICT DO NOTHING"""
_GET_SIBLING = "SELECT tid FROM runs WHERE parent = ? AND parent_ordinal = ?"
_WORKER_LIVES = "SELECT 1 FROM workers WHERE id = ? /*FOR KEY SHARE*/"


def submit(session: Session, runs: Sequence[NewRun]) -> list[Submitted]:
    """See `Store.submit`."""
    _check_workers(session, runs)
    return [_insert(session, new) for new in runs]


def bear(session: Session, runs: Sequence[NewRun]) -> None:
    """Store runs that must be stored under their own key, or not at all (a turn's)."""
    _check_workers(session, runs)
    for new in runs:
        stored = _insert(session, new)
        if stored.tid != new.tid and new.key is not None:
            raise refusals.key_taken(new, stored.tid)


def _check_workers(session: Session, runs: Sequence[NewRun]) -> None:
    """Refuse runs that would be held by a worker that is not registered."""
    for worker in {new.worker for new in runs if new.worker is not None}:
        require_worker(session, worker)


def require_worker(session: Session, worker: int) -> None:
    """Refuse a worker that is not registered, and keep it from being buried meanwhile."""
    if not session.one(_WORKER_LIVES, (worker,)):
        raise refusals.not_registered(worker)


def _insert(session: Session, new: NewRun) -> Submitted:
    if new.key is not None:
        holder = _take_key(session, new, new.key)
        if holder != new.tid:
            return Submitted(tid=holder, is_new=False)
    run = decide.born(new)
    is_long = len(run.input) > LONG
    inserted = session.run(
        _INSERT_RUN,
        (
            run.tid,
            run.namespace,
            run.kind.value,
            run.name,
            run.version,
            run.source,
            run.queue,
            run.key,
            run.parent,
            run.parent_ordinal,
            run.chain,
            run.status.value,
            run.attempt,
            run.crashes,
            run.worker,
            run.created_at,
            run.started_at,
            run.finished_at,
            run.wake_at,
            run.python,
            run.journal_format,
            run.code,
            ELSEWHERE if is_long else run.input,
            run.output,
            run.error,
            run.reason,
            run.progress,
        ),
    )
    if inserted:
        if is_long:
            put(session, run.tid, OF_RUN, "input", run.input)
        return Submitted(tid=new.tid, is_new=True)
    return Submitted(tid=_resubmitted(session, new), is_new=False)


def _take_key(session: Session, new: NewRun, key: str) -> int:
    """Whose the key is now: the run's own, or that of the one that has the same input."""
    input_hash = sha256(new.input.encode()).hexdigest()
    if session.run(_TAKE_KEY, (new.namespace, new.name, key, new.tid, input_hash)):
        return new.tid
    found = session.one(_GET_KEY, (new.namespace, new.name, key))
    if found is None:  # it was there a moment ago: somebody deletes keys by hand
        return new.tid
    holder, known_hash = found
    if known_hash != input_hash:
        raise refusals.key_conflict(new, holder)
    return int(holder)


def _resubmitted(session: Session, new: NewRun) -> int:
    """The TID of the run that has the place of `new`, if it is the same run."""
    record = session.one(SELECT_RUN, (new.tid,))
    if record is not None:
        there = whole_run(session, record)
        if not decide.is_resubmitted(there.name, there.input, new):
            raise TidTaken(new.tid)
        return new.tid
    sibling = session.one(_GET_SIBLING, (new.parent, new.parent_ordinal))
    record = session.one(SELECT_RUN, sibling) if sibling else None
    if record is None:
        raise TidTaken(new.tid)
    there = whole_run(session, record)
    if not decide.is_resubmitted(there.name, there.input, new):
        raise refusals.call_taken(new, there.tid)
    return there.tid
