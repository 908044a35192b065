"""Short words for what the suite begins with: workers, runs, rows, and runs in a certain state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from perdure.core import decide
from perdure.core.decide import Finish, Park, Suspend, Turn, Verdict
from perdure.core.events import Event, EventKind, Row
from perdure.core.inbox import NewMail
from perdure.core.run import Kind, NewRun, Run, Status
from perdure.store import Claim, RunFilter, Store, WorkerRow

NOW = 1_700_000_000_000_000
"""The time at which the stories begin (µs)."""

WORKER = 100
NAME = "shop:fulfil"
_WORKER = WorkerRow(
    id=WORKER,
    name="host:1",
    host="host",
    boot_id="boot",
    pid_namespace="pid:[1]",
    pid=1,
    started=2,
    lease_until=NOW + 1000,
    registered_at=NOW,
)


def a_worker(id: int = WORKER, **fields: Any) -> WorkerRow:
    """A worker whose lease ends at NOW + 1000."""
    return replace(_WORKER, id=id, **fields)


def a_run(tid: int, **fields: Any) -> NewRun:
    """A workflow run that may be claimed at NOW."""
    return replace(NewRun(tid=tid, kind=Kind.WORKFLOW, name=NAME, input="[1]", at=NOW), **fields)


def a_row(seq: int, **fields: Any) -> Row:
    """A journal row of attempt 1."""
    attempt = fields.pop("attempt", 1)
    commands = fields.pop("commands", "")
    kind = fields.pop("kind", EventKind.STARTED if seq == 0 else EventKind.STEP_COMPLETED)
    return Row(seq, NOW + seq, attempt, Event(kind=kind, **fields), commands)


def a_turn(tid: int, *rows: Row, **fields: Any) -> Turn:
    """A turn of attempt 1."""
    return msgspec.structs.replace(Turn(tid=tid, attempt=1, rows=list(rows)), **fields)


def a_claim(**fields: Any) -> Claim:
    """What the worker can take: runs of NAME."""
    return replace(Claim(worker=WORKER, names=[(NAME, "")], limit=10), **fields)


def a_letter(tid: int, dedup_key: str = "letter", **fields: Any) -> NewMail:
    """A letter that tells of a finished child, unless `fields` say otherwise."""
    letter = NewMail(tid=tid, dedup_key=dedup_key, kind=EventKind.CHILD_COMPLETED)
    return replace(letter, **fields)


def a_cancel(tid: int) -> NewMail:
    """A request to end."""
    return a_letter(tid, "cancel", kind=EventKind.CANCEL_REQUESTED, value='"enough"')


def with_worker(store: Store, id: int = WORKER, **fields: Any) -> None:
    """The worker is registered."""
    store.register(a_worker(id, **fields))


def with_held(store: Store, *tids: int, **fields: Any) -> None:
    """The worker is registered and holds these runs, attempt 1."""
    with_worker(store)
    store.submit([a_run(tid, worker=WORKER, **fields) for tid in tids])


def with_suspended(store: Store, tid: int, wake_at: int | None = None, **fields: Any) -> None:
    """The run has begun (one row) and waits."""
    with_held(store, tid, **fields)
    assert one_turn(store, a_turn(tid, a_row(0), then=Suspend(wake_at))) is Verdict.COMMITTED


def with_stuck(store: Store, tid: int, code: str = "abc", **fields: Any) -> None:
    """The run is parked by code with this fingerprint."""
    with_held(store, tid, **fields)
    parked = one_turn(store, a_turn(tid, a_row(0), then=Park("journal and code part", code)))
    assert parked is Verdict.COMMITTED


def with_finished(store: Store, tid: int, **fields: Any) -> None:
    """The run is completed."""
    with_held(store, tid, **fields)
    finished = one_turn(store, a_turn(tid, then=Finish(Status.COMPLETED)))
    assert finished is Verdict.COMMITTED


def with_crashes(store: Store, tid: int, crashes: int) -> None:
    """So many workers have died with the run; it is queued. The last one was WORKER."""
    store.submit([a_run(tid)])
    for _ in range(crashes):
        a_death(store, tid)


def a_death(store: Store, tid: int) -> None:
    """WORKER claims the run, which is due, and dies of it."""
    with_worker(store)
    claimed = store.claim(a_claim(), NOW) or store.claim(a_claim(alone=True), NOW)
    assert tids_of(claimed) == [tid]
    assert store.bury(WORKER, NOW, proven=True) == 1


def one_turn(store: Store, turn: Turn, now: int = NOW) -> Verdict:
    """Commit one turn alone."""
    [verdict] = store.turn([turn], [], now)
    return verdict


def run_of(store: Store, tid: int) -> Run:
    """The run, which is there."""
    run = store.get(tid)
    assert run is not None, f"run {tid} is not there"
    return run


def tids_of(runs: Sequence[Run]) -> list[int]:
    """Which runs these are."""
    return [run.tid for run in runs]


def everything(store: Store, *tids: int) -> object:
    """All that the store tells, to compare before and after."""
    listed = [run.tid for run in store.runs(RunFilter(namespace=None, limit=1000))]
    known = sorted({*tids, *listed})
    return (
        [store.get(tid) for tid in known],
        [store.journal(tid) for tid in known],
        [store.inbox(tid) for tid in known],
        store.workers(),
    )


ALONE = decide.ALONE_AFTER_CRASHES
STUCK = decide.STUCK_AFTER_CRASHES
