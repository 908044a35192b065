"""Storing new runs, once each: by key, by TID, and by the call of the parent."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from perdure.core import decide
from perdure.core.errors import TidTaken
from perdure.core.run import JOURNAL_FORMAT, NewRun
from perdure.store import Submitted
from perdure.stores import refusals
from perdure.stores.sql import bulk
from perdure.stores.sql.database import Session
from perdure.stores.sql.records import (
    ELSEWHERE,
    LONG,
    OF_RUN,
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
    INSERT INTO runs (
        tid, namespace, kind, name, version, source, queue, key, parent, parent_ordinal, chain,
        status, attempt, crashes, worker, created_at, started_at, wake_at, python, journal_format,
        code, input)
    VALUES ({marks(22)}) ON CONFLICT DO NOTHING"""
_GET_SIBLING = "SELECT tid FROM runs WHERE parent = ? AND parent_ordinal = ?"
_WORKER_LIVES = "SELECT 1 FROM workers WHERE id = ? /*FOR KEY SHARE*/"


def submit(session: Session, in_bulk: bool, runs: Sequence[NewRun]) -> list[Submitted]:
    """See `Store.submit`, and for `in_bulk` the module `bulk`."""
    _check_workers(session, runs)
    if in_bulk:
        return _insert_all(session, runs)
    return [_insert(session, new) for new in runs]


def bear(session: Session, in_bulk: bool, runs: Sequence[NewRun]) -> list[NewRun]:
    """Store runs that must be stored under their own key, or not at all (a turn's).

    Returns those that were not there before.
    """
    if in_bulk and not any(new.key is not None for new in runs):
        _check_workers(session, runs)
        _insert_new(session, runs)
        return list(runs)
    borne: list[NewRun] = []
    for new, stored in zip(runs, submit(session, in_bulk, runs), strict=True):
        if stored.is_new:
            borne.append(new)
        elif stored.tid != new.tid and new.key is not None:
            raise refusals.key_taken(new, stored.tid)
    return borne


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
    if session.run(_INSERT_RUN, _columns(new)):
        put(session, new.tid, OF_RUN, "input", new.input)
        return Submitted(tid=new.tid, is_new=True)
    return Submitted(tid=_resubmitted(session, new), is_new=False)


def _insert_all(session: Session, runs: Sequence[NewRun]) -> list[Submitted]:
    """Insert runs of which none is there, but for those whose key is taken."""
    answers: list[Submitted] = []
    unheld: list[NewRun] = []
    for new in runs:
        holder = new.tid if new.key is None else _take_key(session, new, new.key)
        answers.append(Submitted(tid=holder, is_new=holder == new.tid))
        if holder == new.tid:
            unheld.append(new)
    _insert_new(session, unheld)
    return answers


def _insert_new(session: Session, runs: Sequence[NewRun]) -> None:
    for new in runs:
        if len(new.input) > LONG:
            put(session, new.tid, OF_RUN, "input", new.input)
    bulk.run(session, _INSERT_RUN, [_columns(new) for new in runs])


def _columns(new: NewRun) -> tuple[Any, ...]:
    """The parameters of `_INSERT_RUN`."""
    state = decide.birth(new)
    return (
        new.tid,
        new.namespace,
        new.kind._value_,  # `value` is a property, and three times as slow
        new.name,
        new.version,
        new.source,
        new.queue,
        new.key,
        new.parent,
        new.parent_ordinal,
        decide.chain_of(new),
        state.status._value_,
        state.attempt,
        state.crashes,
        state.worker,
        state.created_at,
        state.started_at,
        state.wake_at,
        new.python,
        JOURNAL_FORMAT,
        state.code,
        ELSEWHERE if len(new.input) > LONG else new.input,
    )


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
