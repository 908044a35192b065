"""Committing turns: the path by which the product is measured.

A turn that only appends rows costs one INSERT per row: the run itself is read and written only if
the turn lets go of it, ends it or records progress. The INSERT carries the fence, `decide.holds`
said in SQL; where it writes nothing, the long way finds out why, and answers. A single such turn
of one row is a transaction by itself, and that is what a step of a sequential workflow costs.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.core import decide
from perdure.core.decide import Finish, Suspend, Turn, Verdict
from perdure.core.run import NewRun, Run
from perdure.stores import refusals
from perdure.stores.sql import births, letters
from perdure.stores.sql.database import Database, Session
from perdure.stores.sql.records import LONG, SELECT_BRIEF, put, run_of

_FENCE = "SELECT status, attempt FROM runs WHERE tid = ?"
_APPEND = """
    INSERT INTO journal (tid, seq, at, attempt, kind, ordinal, step_attempt, due, value, commands)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_APPEND_HELD = """
    INSERT INTO journal (tid, seq, at, attempt, kind, ordinal, step_attempt, due, value, commands)
    SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM runs WHERE tid = ? AND attempt = ? AND status = 'running'
    /*FOR UPDATE*/ ON CONFLICT DO NOTHING"""
_WRITTEN_BY = "SELECT attempt FROM journal WHERE tid = ? AND seq = ?"
_CONSUME = "UPDATE inbox SET is_read = 1, value = NULL WHERE id = ? AND tid = ?"
_HAS_MAIL = "SELECT 1 FROM inbox WHERE tid = ? AND is_read = 0 LIMIT 1"
_CHILD = "SELECT tid FROM runs WHERE parent = ? AND parent_ordinal = ?"
_PARENT = "SELECT parent FROM runs WHERE tid = ?"


def turn(
    database: Database, turns: Sequence[Turn], newborn: Sequence[NewRun], now: int
) -> list[Verdict]:
    """See `Store.turn`."""
    is_alone = len(turns) == 1 and not newborn and is_plain(turns[0])
    if is_alone and database.write_alone(append_held, turns[0]):
        return [Verdict.COMMITTED]
    return database.write(commit, turns, newborn, now)


def is_plain(turn: Turn) -> bool:
    """Whether a turn only appends one row of ordinary length."""
    if (
        turn.then is not None
        or len(turn.rows) != 1
        or turn.consumed
        or turn.children
        or turn.cancel_children
        or turn.progress
        or turn.repeated
    ):
        return False
    row = turn.rows[0]
    value = row.event.value
    return len(row.commands) <= LONG and (value is None or len(value) <= LONG)


def append_held(session: Session, turn: Turn) -> bool:
    """Append the row of a plain turn if its run is held; False: it was not written."""
    row = turn.rows[0]
    event = row.event
    tid = turn.tid
    return (
        session.run(
            _APPEND_HELD,
            (
                tid,
                row.seq,
                row.at,
                row.attempt,
                event.kind._value_,  # `value` is a property, and three times as slow
                event.ordinal,
                event.step_attempt,
                event.due,
                event.value,
                row.commands,
                tid,
                turn.attempt,
            ),
        )
        > 0
    )


def commit(
    session: Session, turns: Sequence[Turn], newborn: Sequence[NewRun], now: int
) -> list[Verdict]:
    """Commit turns, births first, within a transaction."""
    if newborn:
        births.bear(session, newborn)
    if session.locks_rows:
        _lock(session, turns)
    return [_turn(session, turn, now) for turn in turns]


def _turn(session: Session, turn: Turn, now: int) -> Verdict:
    if is_plain(turn) and append_held(session, turn):
        return Verdict.COMMITTED
    tid = turn.tid
    run: Run | None = None
    if turn.then is None and not turn.progress and not turn.repeated:
        fence = session.one(_FENCE, (tid,))
        if fence is None or not decide.holds(fence[0], fence[1], turn):
            return Verdict.STALE
    else:
        record = session.one(SELECT_BRIEF, (tid,))
        if record is None:
            return Verdict.STALE
        run = run_of(record)
        if turn.repeated and _is_written(session, turn):
            return decide.after_repeat(run, turn)
        if not decide.holds(run.status, run.attempt, turn):
            return Verdict.STALE
    _append(session, turn)
    for id in turn.consumed:
        session.run(_CONSUME, (id, tid))
    if turn.children:
        births.bear(session, turn.children)
    for ordinal in turn.cancel_children:
        child = session.one(_CHILD, (tid, ordinal))
        if child is not None:
            letters.post(session, decide.cancel_child(child[0]), now)
    if run is None:
        return Verdict.COMMITTED
    mail = isinstance(turn.then, Suspend) and session.one(_HAS_MAIL, (tid,)) is not None
    verdict, change = decide.after_turn(run, turn, mail=mail, now=now)
    if change is not None:
        letters.apply(session, run, change)
    return verdict


def _append(session: Session, turn: Turn) -> None:
    tid = turn.tid
    for row in turn.rows:
        event = row.event
        value, commands = event.value, row.commands
        if value is not None and len(value) > LONG:
            value = put(session, tid, row.seq, "value", value)
        if len(commands) > LONG:
            commands = put(session, tid, row.seq, "commands", commands)
        appended = session.run(
            _APPEND,
            (
                tid,
                row.seq,
                row.at,
                row.attempt,
                event.kind._value_,  # `value` is a property, and three times as slow
                event.ordinal,
                event.step_attempt,
                event.due,
                value,
                commands,
            ),
        )
        if not appended:
            raise refusals.row_taken(tid, row.seq)


def _is_written(session: Session, turn: Turn) -> bool:
    """Whether an earlier try of a turn was committed: its first row is there, and its own."""
    if not turn.rows:
        return False
    first = session.one(_WRITTEN_BY, (turn.tid, turn.rows[0].seq))
    return first is not None and first[0] == turn.attempt


def _lock(session: Session, turns: Sequence[Turn]) -> None:
    """Lock the runs of these turns, the parents that will be told and the children that will be
    cancelled, all in one order. Who is whose child never changes, so it is read before."""
    tids: set[int | None] = set()
    for turn in turns:
        tids.add(turn.tid)
        if isinstance(turn.then, Finish):
            parent = session.one(_PARENT, (turn.tid,))
            tids.add(parent[0] if parent else None)
        for ordinal in turn.cancel_children:
            child = session.one(_CHILD, (turn.tid, ordinal))
            tids.add(child[0] if child else None)
    letters.lock(session, tids)
