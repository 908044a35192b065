"""Committing turns: the path by which the product is measured.

A turn that only appends rows costs one short SELECT (the fence) and one INSERT per row: the run
itself is read and written only if the turn lets go of it, ends it or records progress.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.core import decide
from perdure.core.decide import Finish, Suspend, Turn, Verdict
from perdure.core.run import NewRun
from perdure.stores import refusals
from perdure.stores.sql import births, letters
from perdure.stores.sql.database import Session
from perdure.stores.sql.records import LONG, SELECT_BRIEF, put, run_of

_FENCE = "SELECT status, attempt FROM runs WHERE tid = ?"
_APPEND = """
    INSERT INTO journal (tid, seq, at, attempt, kind, ordinal, step_attempt, due, value, commands)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_WRITTEN_BY = "SELECT attempt FROM journal WHERE tid = ? AND seq = ?"
_CONSUME = "UPDATE inbox SET is_read = 1, value = NULL WHERE id = ? AND tid = ?"
_HAS_MAIL = "SELECT 1 FROM inbox WHERE tid = ? AND is_read = 0 LIMIT 1"
_CHILD = "SELECT tid FROM runs WHERE parent = ? AND parent_ordinal = ?"
_PARENT = "SELECT parent FROM runs WHERE tid = ?"


def commit(
    session: Session, turns: Sequence[Turn], newborn: Sequence[NewRun], now: int
) -> list[Verdict]:
    """See `Store.turn`."""
    if newborn:
        births.bear(session, newborn)
    if session.locks_rows:
        _lock(session, turns)
    return [_turn(session, turn, now) for turn in turns]


def _turn(session: Session, turn: Turn, now: int) -> Verdict:
    tid = turn.tid
    fence = session.one(_FENCE, (tid,))
    if fence is None:
        return Verdict.STALE
    status, attempt = fence
    if turn.repeated and turn.rows:
        first = session.one(_WRITTEN_BY, (tid, turn.rows[0].seq))
        if first is not None and first[0] == turn.attempt:
            return _answer_again(session, turn)
    if not decide.holds(status, attempt, turn):
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
    if turn.then is None and not turn.progress:
        return Verdict.COMMITTED
    return _go_on(session, turn, now)


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
                event.kind.value,
                event.ordinal,
                event.step_attempt,
                event.due,
                value,
                commands,
            ),
        )
        if not appended:
            raise refusals.row_taken(tid, row.seq)


def _go_on(session: Session, turn: Turn, now: int) -> Verdict:
    """Decide what becomes of the run after its rows, and write it."""
    record = session.one(SELECT_BRIEF, (turn.tid,))
    if record is None:
        return Verdict.STALE
    run = run_of(record)
    mail = isinstance(turn.then, Suspend) and session.one(_HAS_MAIL, (turn.tid,)) is not None
    verdict, change = decide.after_turn(run, turn, mail=mail, now=now)
    if change is not None:
        letters.apply(session, run, change)
    return verdict


def _answer_again(session: Session, turn: Turn) -> Verdict:
    """Answer a turn that was committed before."""
    record = session.one(SELECT_BRIEF, (turn.tid,))
    return decide.after_repeat(run_of(record), turn) if record else Verdict.STALE


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
