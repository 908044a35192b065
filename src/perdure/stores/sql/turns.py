"""Committing turns: the path by which the product is measured.

A single turn that only appends one row is a transaction by itself, and that is what a step of a
sequential workflow costs: an INSERT that carries the fence, `decide.holds` said in SQL. Where it
writes nothing, the long way finds out why, and answers.

Turns that share a commit share statements, too (`_Batch`): their runs are read together, and what
is decided about them one after the other is written together at the end. Nobody in the batch looks
at that meanwhile: a turn reads its own run only, and what another turn can do to a run that is
held (put something before it) changes its inbox and not its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.core import decide
from perdure.core.decide import Finish, RunChange, RunState, Suspend, Turn, Verdict
from perdure.core.run import NewRun
from perdure.stores import refusals
from perdure.stores.sql import births, bulk, letters, states
from perdure.stores.sql.database import Database, Session
from perdure.stores.sql.records import END, LONG, end_of, marks, put

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


def turn(
    database: Database, turns: Sequence[Turn], newborn: Sequence[NewRun], now: int
) -> list[Verdict]:
    """See `Store.turn`."""
    if len(turns) == 1 and not newborn:
        alone = turns[0]
        if is_plain(alone) and database.write_alone(_APPEND_HELD, held_row(alone)):
            return [Verdict.COMMITTED]
    return bulk.write(database, commit, turns, newborn, now)


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


def held_row(turn: Turn) -> tuple[Any, ...]:
    """The parameters of `_APPEND_HELD` for a plain turn."""
    row = turn.rows[0]
    event = row.event
    tid = turn.tid
    return (
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
    )


def commit(
    session: Session, in_bulk: bool, turns: Sequence[Turn], newborn: Sequence[NewRun], now: int
) -> list[Verdict]:
    """Commit turns, births first, within a transaction; for `in_bulk` see the module `bulk`."""
    borne = births.bear(session, in_bulk, newborn) if newborn else []
    if session.locks_rows:
        _lock(session, turns)
    batch = _Batch(session, in_bulk, now)
    batch.look_at(turns, borne)
    verdicts = [batch.take(turn) for turn in turns]
    batch.write()
    return verdicts


class _Batch:
    """Turns that are decided one after the other, and written together."""

    def __init__(self, session: Session, in_bulk: bool, now: int) -> None:
        self._session = session
        self._in_bulk = in_bulk
        self._now = now
        self._states: dict[int, RunState] = {}
        self._rows: list[tuple[Any, ...]] = []
        self._ends: list[tuple[Any, ...]] = []
        self._ended: list[int] = []

    def look_at(self, turns: Sequence[Turn], borne: Sequence[NewRun]) -> None:
        """Get the states of the runs of these turns; those that were just born are known."""
        known = {new.tid: decide.birth(new) for new in borne}
        unknown = [turn.tid for turn in turns if turn.tid not in known]
        self._states = states.read_locked(self._session, unknown)
        self._states.update(known)

    def take(self, turn: Turn) -> Verdict:
        """Decide a turn, and write it, or note what is to be written."""
        run = self._states.get(turn.tid)
        if run is None:
            return Verdict.STALE
        if turn.repeated and self._is_written(turn):
            return decide.after_repeat(run, turn)
        if not decide.holds(run.status, run.attempt, turn):
            return Verdict.STALE
        self._append(turn)
        if turn.consumed or turn.children or turn.cancel_children:
            self._reach_out(turn)
        then = turn.then
        if then is None and not turn.progress:
            return Verdict.COMMITTED
        mail = isinstance(then, Suspend) and self._has_mail(turn.tid)
        verdict, change = decide.after_turn(run, turn, mail=mail, now=self._now)
        if change is not None:
            self._change(run, change)
        return verdict

    def write(self) -> None:
        """Write what was noted."""
        session = self._session
        rows, self._rows = self._rows, []
        if self._in_bulk:
            bulk.run(session, _APPEND, rows)
        else:
            for row in rows:
                if not session.run(_APPEND, row):
                    raise refusals.row_taken(row[0], row[1])
        if self._ended:
            ends, self._ends = self._ends, []
            ended, self._ended = self._ended, []
            session.many(END, ends)
            letters.empty(session, ended)

    def _append(self, turn: Turn) -> None:
        tid = turn.tid
        for row in turn.rows:
            event = row.event
            value, commands = event.value, row.commands
            if value is not None and len(value) > LONG:
                value = put(self._session, tid, row.seq, "value", value)
            if len(commands) > LONG:
                commands = put(self._session, tid, row.seq, "commands", commands)
            self._rows.append(
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
                )
            )

    def _reach_out(self, turn: Turn) -> None:
        """Do what a turn does elsewhere: in the inbox, and to children."""
        session = self._session
        for id in turn.consumed:
            session.run(_CONSUME, (id, turn.tid))
        if turn.children:
            births.bear(session, self._in_bulk, turn.children)
        if turn.cancel_children:
            self.write()
        for ordinal in turn.cancel_children:
            child = session.one(_CHILD, (turn.tid, ordinal))
            if child is not None:
                letters.post(session, decide.cancel_child(child[0]), self._now)

    def _change(self, run: RunState, change: RunChange) -> None:
        """Write a change; the end of a run that nobody waits for is written with the others."""
        if change.worker is None:
            del self._states[run.tid]  # it is let go of: a second turn of it would be stale
        if change.finished_at is None:
            letters.apply(self._session, run, change)
        elif run.parent is None:
            self._ends.append(end_of(self._session, run.tid, change))
            self._ended.append(run.tid)
        else:
            self.write()  # the parent may have ended in this batch
            letters.apply(self._session, run, change)

    def _has_mail(self, tid: int) -> bool:
        return self._session.one(_HAS_MAIL, (tid,)) is not None

    def _is_written(self, turn: Turn) -> bool:
        """Whether an earlier try of a turn was committed: its first row is there, and its own."""
        if not turn.rows:
            return False
        first = self._session.one(_WRITTEN_BY, (turn.tid, turn.rows[0].seq))
        return first is not None and first[0] == turn.attempt


def _lock(session: Session, turns: Sequence[Turn]) -> None:
    """Lock the runs of these turns, the parents that will be told and the children that will be
    cancelled, all in one order. Who is whose child never changes, so it is read before."""
    tids: set[int | None] = {turn.tid for turn in turns}
    finishing = [turn.tid for turn in turns if isinstance(turn.then, Finish)]
    for group in states.groups(finishing):
        parents = session.all(f"SELECT parent FROM runs WHERE tid IN ({marks(len(group))})", group)
        tids.update(parent for (parent,) in parents)
    for turn in turns:
        for ordinal in turn.cancel_children:
            child = session.one(_CHILD, (turn.tid, ordinal))
            tids.add(child[0] if child else None)
    letters.lock(session, tids)
