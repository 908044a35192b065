"""The inbox of a run, and its end: what comes from outside, and what goes to the parent."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.core import decide
from perdure.core.decide import RunChange, RunState
from perdure.core.inbox import Delivered, NewMail
from perdure.stores.sql import states
from perdure.stores.sql.database import Session
from perdure.stores.sql.records import marks, write_change

_IS_THERE = "SELECT 1 FROM inbox WHERE tid = ? AND dedup_key = ?"
_INSERT = (
    "INSERT INTO inbox (tid, dedup_key, kind, ordinal, value, is_read) VALUES (?, ?, ?, ?, ?, 0)"
)
_CHILDREN = "SELECT tid FROM runs WHERE parent = ? ORDER BY parent_ordinal"


def deliver(session: Session, mail: NewMail, now: int) -> Delivered:
    """See `Store.deliver`."""
    if session.locks_rows:
        record = session.one("SELECT parent FROM runs WHERE tid = ?", (mail.tid,))
        lock(session, {mail.tid, record[0] if record else None})
    return post(session, mail, now)


def lock(session: Session, tids: set[int | None]) -> None:
    """Lock runs in the order of their TIDs, which is everybody's order, so that nobody waits for
    somebody who waits for him. Who has the whole database for himself has nothing to lock."""
    wanted = [tid for tid in tids if tid is not None]
    if session.locks_rows and wanted:
        session.all(
            f"SELECT tid FROM runs WHERE tid IN ({', '.join('?' * len(wanted))}) "
            "ORDER BY tid /*FOR UPDATE*/",
            wanted,
        )


def post(session: Session, mail: NewMail, now: int) -> Delivered:
    """Deliver within a transaction that has locked the run, and its parent."""
    run = states.read(session, mail.tid)
    if run is None:
        return Delivered.UNKNOWN
    is_repeated = session.one(_IS_THERE, (mail.tid, mail.dedup_key)) is not None
    if is_repeated and not decide.ends_at_once(run, mail):
        return Delivered.REPEATED
    answer, change = decide.after_delivery(run, mail, now=now)
    if answer is Delivered.ACCEPTED:
        session.run(_INSERT, (mail.tid, mail.dedup_key, mail.kind.value, mail.ordinal, mail.value))
    if change is not None:
        apply(session, run, change)
    if answer is Delivered.ENDED:
        for (child,) in session.all(_CHILDREN, (run.tid,)):
            post(session, decide.cancel_child(child), now)
    return answer


def apply(session: Session, run: RunState, change: RunChange) -> None:
    """Write a decision down; a run that it ends loses its inbox, and its parent is told."""
    write_change(session, run.tid, change)
    if change.finished_at is None:
        return
    empty(session, [run.tid])
    told = decide.to_parent(run, change.status, change.output, change.error)
    if told is not None:
        post(session, told, change.finished_at)


def empty(session: Session, tids: Sequence[int]) -> None:
    """Delete the inboxes of runs that have ended."""
    for group in states.groups(tids):
        session.run(f"DELETE FROM inbox WHERE tid IN ({marks(len(group))})", group)
