"""Looking at runs, journals and inboxes; nothing here writes, decides or locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perdure.core.run import Kind, Run
from perdure.store import Claim, RunFilter, Unclaimed, WorkerRow
from perdure.stores.sql.database import Record, Session
from perdure.stores.sql.records import (
    BRIEF_COLUMNS,
    ELSEWHERE,
    ROW_COLUMNS,
    SELECT_RUN,
    WORKER_COLUMNS,
    fetch,
    marks,
    pairs,
    run_of,
    whole_run,
)

if TYPE_CHECKING:
    from perdure.core.events import Row
    from perdure.core.inbox import Mail

_JOURNAL = f"SELECT {ROW_COLUMNS} FROM journal WHERE tid = ? AND seq > ? ORDER BY seq"
_MATCH = """
    SELECT tid FROM runs WHERE CAST(tid AS TEXT) LIKE ? OR CAST(tid AS TEXT) LIKE ?
    ORDER BY tid DESC LIMIT ?"""
_CHILDREN = """
    SELECT parent_ordinal, tid FROM runs WHERE parent = ? AND parent_ordinal IS NOT NULL
    ORDER BY parent_ordinal"""
_WORKERS = f"SELECT {WORKER_COLUMNS} FROM workers ORDER BY id"
_INBOX = "SELECT id, tid, kind, value, ordinal FROM inbox WHERE tid = ? AND is_read = 0 ORDER BY id LIMIT ?"
_HELD = "SELECT tid, attempt FROM runs WHERE worker = ? ORDER BY tid"
# The plus keeps the database from starting at the runs of the worker: the inbox is the short side.
_MAIL = """
    SELECT tid FROM runs
    WHERE tid IN (SELECT tid FROM inbox WHERE is_read = 0) AND +worker = ? ORDER BY tid"""


def get(session: Session, tid: int) -> Run | None:
    """See `Store.get`."""
    record = session.one(SELECT_RUN, (tid,))
    return whole_run(session, record) if record else None


def runs(session: Session, where: RunFilter) -> list[Run]:
    """See `Store.runs`."""
    conditions: list[str] = []
    params: list[object] = []
    if where.namespace is not None:
        conditions.append("namespace = ?")
        params.append(where.namespace)
    if where.statuses is not None:
        if not where.statuses:
            return []
        conditions.append(f"status IN ({marks(len(where.statuses))})")
        params.extend(status.value for status in where.statuses)
    if where.name is not None:
        conditions.append("name = ?")
        params.append(where.name)
    if where.parent is not None:
        conditions.append("parent = ?")
        params.append(where.parent)
    if where.before is not None:
        conditions.append("tid < ?")
        params.append(where.before)
    condition = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    sql = f"SELECT {BRIEF_COLUMNS} FROM runs {condition} ORDER BY tid DESC LIMIT ?"
    return [run_of(record) for record in session.all(sql, (*params, where.limit))]


def match(session: Session, digits: str, limit: int) -> list[int]:
    """See `Store.match`."""
    if not (digits.isascii() and digits.isdigit()):
        return []
    return [tid for (tid,) in session.all(_MATCH, (f"{digits}%", f"%{digits}", limit))]


def journal(session: Session, tid: int, after: int, limit: int | None) -> list[Row]:
    """See `Store.journal`."""
    from perdure.core.events import Event, EventKind, Row

    kinds = {kind.value: kind for kind in EventKind}
    if limit is None:
        records = session.all(_JOURNAL, (tid, after))
    else:
        records = session.all(f"{_JOURNAL} LIMIT ?", (tid, after, limit))
    rows: list[Row] = []
    for seq, at, attempt, kind, ordinal, step_attempt, due, value, commands in records:
        if value == ELSEWHERE:
            value = fetch(session, tid, seq, "value")
        if commands == ELSEWHERE:
            commands = fetch(session, tid, seq, "commands")
        event = Event(
            kind=kinds[kind], ordinal=ordinal, value=value, step_attempt=step_attempt, due=due
        )
        rows.append(Row(seq, at, attempt, event, commands))
    return rows


def children(session: Session, tid: int) -> list[tuple[int, int]]:
    """See `Store.children`."""
    return [(ordinal, child) for ordinal, child in session.all(_CHILDREN, (tid,))]


def inbox(session: Session, tid: int, limit: int) -> list[Mail]:
    """See `Store.inbox`."""
    from perdure.core.events import EventKind
    from perdure.core.inbox import Mail

    return [
        Mail(id=id, tid=tid, kind=EventKind(kind), value=value, ordinal=ordinal)
        for id, tid, kind, value, ordinal in session.all(_INBOX, (tid, limit))
    ]


def held(session: Session, worker: int) -> list[tuple[int, int]]:
    """See `Store.held`."""
    return [(tid, attempt) for tid, attempt in session.all(_HELD, (worker,))]


def mail(session: Session, worker: int) -> list[int]:
    """See `Store.mail`."""
    return [tid for (tid,) in session.all(_MAIL, (worker,))]


def unclaimed(
    session: Session, what: Claim, now: int, blocked: bool, importable: bool
) -> list[Unclaimed]:
    """See `Store.unclaimed`."""
    if not what.queues:
        return []
    others = f"AND (name, version) NOT IN ({pairs(len(what.names))})" if what.names else ""
    statuses = "'queued', 'waiting', 'blocked'" if blocked else "'queued', 'waiting'"
    sourced = "AND source <> ''" if importable else ""
    records = session.all(
        f"""
        SELECT tid, kind, name, version, source FROM runs
        WHERE tid IN (
            SELECT MIN(tid) FROM runs
            WHERE wake_at <= ? AND namespace = ? AND queue IN ({marks(len(what.queues))}) {others}
                AND status IN ({statuses}) {sourced}
            GROUP BY kind, name, version, source)
        ORDER BY tid LIMIT 100""",
        (now, what.namespace, *what.queues, *(part for pair in what.names for part in pair)),
    )
    return [
        Unclaimed(tid=tid, kind=Kind(kind), name=name, version=version, source=source)
        for tid, kind, name, version, source in records
    ]


def workers(session: Session) -> list[WorkerRow]:
    """See `Store.workers`."""
    return [_worker_of(record) for record in session.all(_WORKERS)]


def _worker_of(record: Record) -> WorkerRow:
    import json  # who looks at runs alone has no use for it

    serves = json.loads(record[10])
    return WorkerRow(
        id=record[0],
        name=record[1],
        host=record[2],
        boot_id=record[3],
        pid_namespace=record[4],
        pid=record[5],
        started=record[6],
        lease_until=record[7],
        registered_at=record[8],
        namespace=record[9],
        serves=None if serves is None else tuple(serves),
        is_background=bool(record[11]),
        python=record[12],
    )
