"""The store in memory: for tests, and the executable specification of the port.

Rules of this file: it is written to be read. Every verb is its docstring in `perdure.store`, line
by line, on plain dictionaries; nothing is indexed, and nothing is shared with the SQL backends
but the decisions. A verb that fails leaves no trace: every change is noted with its reverse.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from perdure.core import decide
from perdure.core.decide import Retried, RunChange, Turn, Verdict
from perdure.core.errors import TidTaken
from perdure.core.events import Row
from perdure.core.inbox import Delivered, Mail, NewMail
from perdure.core.run import CLAIMABLE, NewRun, Run, Status
from perdure.store import Claim, RunFilter, Submitted, Unclaimed, WorkerRow
from perdure.stores import refusals
from perdure.stores.clock import host_now

K = TypeVar("K")
V = TypeVar("V")
_CHANGED = RunChange.__struct_fields__


@dataclass(frozen=True, slots=True)
class _Key:
    tid: int
    input: str


@dataclass(frozen=True, slots=True)
class _Letter:
    mail: Mail
    dedup_key: str
    is_read: bool = False


class MemoryStore:
    """A store that lasts as long as its process."""

    url = "memory:"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._undo: list[Any] = []
        self._runs: dict[int, Run] = {}
        self._journal: dict[int, dict[int, Row]] = {}
        self._inbox: dict[int, dict[int, _Letter]] = {}
        self._keys: dict[tuple[str, str, str], _Key] = {}
        self._workers: dict[int, WorkerRow] = {}
        self._last_mail = 0

    def close(self) -> None:
        return None

    def now(self) -> int:
        return host_now()

    # --- starting and reading -----------------------------------------------------------------

    def submit(self, runs: Sequence[NewRun]) -> list[Submitted]:
        with self._transaction():
            return [self._insert(new) for new in runs]

    def get(self, tid: int) -> Run | None:
        with self._lock:
            run = self._runs.get(tid)
            return replace(run) if run else None

    def runs(self, where: RunFilter) -> list[Run]:
        with self._lock:
            found = [
                replace(run)
                for run in self._runs.values()
                if (where.namespace is None or run.namespace == where.namespace)
                and (where.statuses is None or run.status in where.statuses)
                and (where.name is None or run.name == where.name)
                and (where.parent is None or run.parent == where.parent)
                and (where.before is None or run.tid < where.before)
            ]
        return sorted(found, key=lambda run: -run.tid)[: where.limit]

    def match(self, digits: str, limit: int = 3) -> list[int]:
        if not (digits.isascii() and digits.isdigit()):
            return []
        with self._lock:
            found = [t for t in self._runs if str(t).startswith(digits) or str(t).endswith(digits)]
        return sorted(found, reverse=True)[:limit]

    def journal(self, tid: int, after: int = -1, limit: int | None = None) -> list[Row]:
        with self._lock:
            rows = [row for seq, row in self._journal.get(tid, {}).items() if seq > after]
        return sorted(rows, key=lambda row: row.seq)[:limit]

    def children(self, tid: int) -> list[tuple[int, int]]:
        with self._lock:
            return sorted(
                (run.parent_ordinal, run.tid)
                for run in self._runs.values()
                if run.parent == tid and run.parent_ordinal is not None
            )

    # --- executing ---------------------------------------------------------------------------

    def claim(self, what: Claim, now: int) -> list[Run]:
        with self._transaction():
            if what.worker not in self._workers:
                raise refusals.not_registered(what.worker)
            due = [run for run in self._claimable(what) if (run.wake_at or 0) <= now]
            claimed: list[Run] = []
            for run in due[: 1 if what.alone else what.limit]:
                self._change(run, decide.after_claim(run, what.worker, now=now))
                claimed.append(replace(self._runs[run.tid]))
            return claimed

    def held(self, worker: int) -> list[tuple[int, int]]:
        with self._lock:
            return sorted((run.tid, run.attempt) for run in self._held_by(worker))

    def due(self, what: Claim) -> int | None:
        with self._lock:
            return next((run.wake_at for run in self._claimable(what)), None)

    def unclaimed(
        self, what: Claim, now: int, *, blocked: bool = False, importable: bool = False
    ) -> list[Unclaimed]:
        with self._lock:
            due = [
                run
                for run in self._due(what.namespace, now)
                if run.queue in what.queues
                and (blocked or run.status is not Status.BLOCKED)
                and (run.source or not importable)
                and (run.name, run.version) not in what.names
            ]
        oldest: dict[tuple[str, str, str, str], Run] = {}
        for run in sorted(due, key=lambda run: run.tid):
            oldest.setdefault((run.kind, run.name, run.version, run.source), run)
        return [
            Unclaimed(
                tid=run.tid, kind=run.kind, name=run.name, version=run.version, source=run.source
            )
            for run in oldest.values()
        ][:100]

    def block(self, what: Unclaimed, namespace: str, reason: str, now: int) -> int:
        with self._transaction():
            runs = [
                run
                for run in self._due(namespace, now)
                if run.status is not Status.BLOCKED
                and (run.name, run.version, run.source) == (what.name, what.version, what.source)
            ]
            return sum(self._change(run, decide.after_block(run, reason)) for run in runs)

    def unpark(self, names: Sequence[tuple[str, str]], namespace: str, code: str, now: int) -> int:
        with self._transaction():
            runs = [
                run
                for run in self._runs.values()
                if run.namespace == namespace and (run.name, run.version) in names
            ]
            return sum(self._change(run, decide.after_unpark(run, code, now=now)) for run in runs)

    def retry(self, tid: int, now: int) -> Retried:
        with self._transaction():
            run = self._runs.get(tid)
            if run is None:
                return Retried.UNKNOWN
            is_queued = self._change(run, decide.after_retry(run, now=now))
            return Retried.QUEUED if is_queued else Retried.NOT_STUCK

    def turn(self, turns: Sequence[Turn], births: Sequence[NewRun], now: int) -> list[Verdict]:
        with self._transaction():
            for new in births:
                self._bear(new)
            return [self._turn(turn, now) for turn in turns]

    def deliver(self, mail: NewMail, now: int) -> Delivered:
        with self._transaction():
            return self._deliver(mail, now)

    def inbox(self, tid: int, limit: int = 100) -> list[Mail]:
        with self._lock:
            return self._unread(tid)[:limit]

    def mail(self, worker: int) -> list[int]:
        with self._lock:
            return sorted(run.tid for run in self._held_by(worker) if self._unread(run.tid))

    # --- workers -------------------------------------------------------------------------------

    def register(self, worker: WorkerRow) -> None:
        with self._lock:
            self._workers[worker.id] = worker

    def renew(self, worker: int, lease_until: int) -> bool:
        with self._lock:
            known = self._workers.get(worker)
            if known is not None:
                self._workers[worker] = replace(known, lease_until=lease_until)
            return known is not None

    def workers(self) -> list[WorkerRow]:
        with self._lock:
            return sorted(self._workers.values(), key=lambda worker: worker.id)

    def bury(self, worker: int, now: int, *, proven: bool) -> int | None:
        with self._transaction():
            known = self._workers.get(worker)
            if known is None or not decide.is_dead(known.lease_until, now=now, proven=proven):
                return None
            self._drop(self._workers, worker)
            held = self._held_by(worker)
            for run in list(self._runs.values()):
                if run.worker is not None and run.worker not in self._workers:
                    self._change(run, decide.after_death(run, now=now))
            return len(held)

    def retire(self, worker: int, *, if_idle: bool = False) -> int | None:
        with self._transaction():
            known = self._workers.get(worker)
            if if_idle and known is not None:
                unfinished = sum(
                    run.namespace == known.namespace and run.status in decide.KEEPS_AWAKE
                    for run in self._runs.values()
                )
                if not decide.is_idle(unfinished):
                    return None
            self._drop(self._workers, worker)
            return sum(self._change(run, decide.after_retire(run)) for run in self._held_by(worker))

    def progress(self, worker: int, latest: Mapping[int, str]) -> None:
        with self._lock:
            for run in self._held_by(worker):
                if run.tid in latest:
                    self._runs[run.tid] = replace(run, progress=latest[run.tid])

    # --- waking --------------------------------------------------------------------------------

    def poke(self) -> None:
        return None

    def listen(self) -> MemoryListener:
        return MemoryListener()

    # --- the rules' hands ------------------------------------------------------------------------

    def _insert(self, new: NewRun) -> Submitted:
        if new.worker is not None and new.worker not in self._workers:
            raise refusals.not_registered(new.worker)
        if new.key is not None:
            slot = (new.namespace, new.name, new.key)
            taken = self._keys.get(slot)
            if taken is None:
                self._set(self._keys, slot, _Key(new.tid, new.input))
            elif taken.input != new.input:
                raise refusals.key_conflict(new, taken.tid)
            elif taken.tid != new.tid:
                return Submitted(tid=taken.tid, is_new=False)
        there = self._runs.get(new.tid)
        if there is not None:
            if not decide.is_resubmitted(there.name, there.input, new):
                raise TidTaken(new.tid)
            return Submitted(tid=new.tid, is_new=False)
        if new.parent is not None and new.parent_ordinal is not None:
            sibling = dict(self.children(new.parent)).get(new.parent_ordinal)
            if sibling is not None:
                there = self._runs[sibling]
                if not decide.is_resubmitted(there.name, there.input, new):
                    raise refusals.call_taken(new, sibling)
                return Submitted(tid=sibling, is_new=False)
        self._set(self._runs, new.tid, decide.born(new))
        return Submitted(tid=new.tid, is_new=True)

    def _bear(self, new: NewRun) -> None:
        stored = self._insert(new)
        if stored.tid != new.tid and new.key is not None:
            raise refusals.key_taken(new, stored.tid)

    def _turn(self, turn: Turn, now: int) -> Verdict:
        run = self._runs.get(turn.tid)
        if run is None:
            return Verdict.STALE
        journal = self._journal.setdefault(turn.tid, {})
        if turn.repeated and turn.rows:
            first = journal.get(turn.rows[0].seq)
            if first is not None and first.attempt == turn.attempt:
                return decide.after_repeat(run, turn)
        if not decide.holds(run.status, run.attempt, turn):
            return Verdict.STALE
        for row in turn.rows:
            if row.seq in journal:
                raise refusals.row_taken(turn.tid, row.seq)
            self._set(journal, row.seq, row)
        inbox = self._inbox.setdefault(turn.tid, {})
        for id in turn.consumed:
            if id in inbox:
                self._set(inbox, id, replace(inbox[id], is_read=True))
        for new in turn.children:
            self._bear(new)
        children = dict(self.children(turn.tid))
        for ordinal in turn.cancel_children:
            if ordinal in children:
                self._deliver(decide.cancel_child(children[ordinal]), now)
        mail = bool(self._unread(turn.tid))
        verdict, change = decide.after_turn(run, turn, mail=mail, now=now)
        self._change(run, change)
        return verdict

    def _deliver(self, new: NewMail, now: int) -> Delivered:
        run = self._runs.get(new.tid)
        if run is None:
            return Delivered.UNKNOWN
        inbox = self._inbox.setdefault(new.tid, {})
        is_repeated = any(letter.dedup_key == new.dedup_key for letter in inbox.values())
        if is_repeated and not decide.ends_at_once(run, new):
            return Delivered.REPEATED
        answer, change = decide.after_delivery(run, new, now=now)
        if answer is Delivered.ACCEPTED:
            self._last_mail += 1
            mail = Mail(
                id=self._last_mail,
                tid=new.tid,
                kind=new.kind,
                value=new.value,
                ordinal=new.ordinal,
            )
            self._set(inbox, mail.id, _Letter(mail, new.dedup_key))
        self._change(run, change)
        if answer is Delivered.ENDED:
            for _, child in self.children(run.tid):
                self._deliver(decide.cancel_child(child), now)
        return answer

    def _change(self, run: Run, change: RunChange | None) -> bool:
        """Apply a change; a run that it ends loses its inbox, and its parent is told."""
        if change is None:
            return False
        changed = replace(run, **{name: getattr(change, name) for name in _CHANGED})
        if change.worker is None:
            changed.progress = None
        self._set(self._runs, run.tid, changed)
        if change.finished_at is not None:
            self._drop(self._inbox, run.tid)
            told = decide.to_parent(run, change.status, change.output, change.error)
            if told is not None:
                self._deliver(told, change.finished_at)
        return True

    def _due(self, namespace: str, now: int | None = None) -> list[Run]:
        """Runs that can be claimed, at any time or now; the longest due first."""
        due = [
            (run.wake_at, run.tid, run)
            for run in self._runs.values()
            if run.namespace == namespace
            and run.status in CLAIMABLE
            and run.wake_at is not None
            and (now is None or run.wake_at <= now)
        ]
        return [run for _, _, run in sorted(due, key=lambda each: each[:2])]

    def _claimable(self, what: Claim) -> list[Run]:
        return [
            run
            for run in self._due(what.namespace)
            if run.queue in what.queues
            and (run.name, run.version) in what.names
            and (run.crashes >= decide.ALONE_AFTER_CRASHES) == what.alone
        ]

    def _held_by(self, worker: int) -> list[Run]:
        return [run for run in self._runs.values() if run.worker == worker]

    def _unread(self, tid: int) -> list[Mail]:
        letters = sorted(self._inbox.get(tid, {}).items())
        return [letter.mail for _, letter in letters if not letter.is_read]

    # --- all or nothing --------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Generator[None]:
        with self._lock:
            self._undo.clear()
            try:
                yield
            except BaseException:
                for undo in reversed(self._undo):
                    undo()
                raise

    def _set(self, mapping: dict[K, V], key: K, value: V) -> None:
        if key in mapping:
            old = mapping[key]
            self._undo.append(lambda: mapping.__setitem__(key, old))
        else:
            self._undo.append(lambda: mapping.__delitem__(key))
        mapping[key] = value

    def _drop(self, mapping: dict[K, Any], key: K) -> None:
        if key in mapping:
            old = mapping.pop(key)
            self._undo.append(lambda: mapping.__setitem__(key, old))


class MemoryListener:
    """An ear that hears nothing.

    A poke wakes the listeners of other `Store` objects, and a store in memory is a single object.
    The verbs are there because whoever executes runs listens, whatever the store.
    """

    def __init__(self) -> None:
        self._ear, self._mouth = socket.socketpair()

    def fileno(self) -> int:
        return self._ear.fileno()

    def drain(self) -> None:
        return None

    def close(self) -> None:
        self._ear.close()
        self._mouth.close()
