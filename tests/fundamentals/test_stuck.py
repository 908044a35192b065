"""A run that is stuck goes on when a person says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure import Run, Status, function, get_run, start, workflow
from perdure.client.connection import connect
from perdure.core.decide import STUCK_AFTER_CRASHES
from perdure.core.errors import RunNotFound
from perdure.core.run import NewRun
from perdure.engine.tids import make_tid
from perdure.store import Claim, Store
from tests.engine.queued import dead_worker, new_run


@function
async def twice_at_last(n: int) -> int:
    return 2 * n


@workflow
async def doubled_in_spite(n: int) -> int:
    return await twice_at_last(n)


def stuck(n: int) -> str:
    """The TID of a run of which so many workers have died that it is parked; nobody hosts yet."""
    store = connect().store
    run = new_run(doubled_in_spite, n, at=store.now())
    store.submit([run])
    for _ in range(STUCK_AFTER_CRASHES):
        die_of(store, run)
    return str(run.tid)


def die_of(store: Store, run: NewRun) -> None:
    """A worker claims the run and dies of it."""
    now = store.now()
    worker = dead_worker(now)
    store.register(worker)
    for alone in (False, True):
        store.claim(
            Claim(worker=worker.id, names=[(run.name, run.version)], limit=1, alone=alone), now
        )
    assert store.bury(worker.id, now, proven=True) == 1


def test_a_retried_run_completes_in_this_process(project, open_host):
    """It is taken up by the host at once, and its deaths are forgotten."""
    tid = stuck(4)
    with open_host():
        handle = get_run(tid)
        assert handle.status() is Status.STUCK
        assert handle.retry() is True
        assert handle.result(20) == 8
        assert handle.record().crashes == 0


def test_a_run_is_retried_in_async_code(project, open_host):
    """The same call, on the host's own loop."""
    tid = stuck(5)

    async def main() -> object:
        async with open_host():
            handle: Run[Any] = get_run(tid)
            assert handle.retry() is True
            return await asyncio.wait_for(handle, 20)

    assert asyncio.run(main()) == 10


def test_a_run_that_is_not_stuck_is_left_alone(host):
    """A finished run stays as it is, and keeps its result."""
    handle = start(doubled_in_spite, 3)
    assert handle.result() == 6
    before = handle.record()
    assert handle.retry() is False
    assert handle.record() == before


def test_a_run_that_is_not_there_is_not_retried(host):
    """It was deleted, or never was."""
    handle = Run[Any](host.connection, make_tid(1), name="x")
    with pytest.raises(RunNotFound, match="there is no run"):
        handle.retry()
