"""Runs as another process would store them: queued, for whoever claims them."""

from __future__ import annotations

from typing import Any

from perdure.client.handle import Run
from perdure.client.host import Host
from perdure.core.codec import JSON
from perdure.core.run import NewRun
from perdure.engine.resident import Definition
from perdure.engine.tids import make_tid
from perdure.store import WorkerRow


def new_run(what: Definition, *args: Any, at: int, worker: int | None = None) -> NewRun:
    """A run of `what` that is not stored yet."""
    return NewRun(
        tid=make_tid(at),
        kind=what.kind,
        name=what.name,
        version=what.version,
        input=what.contract.encode_input(JSON, args, {}),
        at=at,
        worker=worker,
    )


def queue(host: Host, what: Definition, *args: Any) -> Run[Any]:
    """Store a run that nobody holds; an open host is to be woken."""
    store = host.connection.store
    run = new_run(what, *args, at=store.now())
    store.submit([run])
    return Run(host.connection, run.tid, name=run.name)


def dead_worker(now: int) -> WorkerRow:
    """A worker that has died: its lease is over."""
    return WorkerRow(
        id=make_tid(now),
        name="dead",
        host="elsewhere",
        boot_id="",
        pid_namespace="",
        pid=1,
        started=1,
        lease_until=now - 1,
        registered_at=now - 2,
    )
