"""Runs are taken up by a worker: in bursts, through faults, alone, and when it is full."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import Status, function, get_run, list_runs, sleep, start, workflow
from perdure.client.connection import connect
from perdure.core.decide import Turn
from perdure.core.errors import RunCancelled, StoreUnavailable
from perdure.core.events import Event, EventKind, Row, encode_commands
from perdure.engine.resident import STARTED, Definition, Resident
from perdure.store import Claim, WorkerRow
from perdure.stores.memory import MemoryStore
from perdure.worker import claiming
from tests.engine.queued import dead_worker, new_run, queue

ran: Counter[int] = Counter()
release = threading.Event()
began = threading.Event()


@function
async def note(n: int) -> int:
    ran[n] += 1
    await asyncio.sleep(0.02)
    return n


@workflow
async def cleans_up(n: int) -> None:
    try:
        await sleep("1h")
    except asyncio.CancelledError:
        await note(n)
        raise


@workflow
async def notes(n: int) -> int:
    return await note(n)


@workflow
async def sleeper(n: int) -> int:
    await sleep("1.2s")
    return n


@workflow
async def waits_for_child(n: int) -> int:
    return await note(await sleeper(n))


@function(on_crash="fail")
async def note_once(n: int) -> int:
    ran[n] += 1
    return n


@workflow
async def gathers_once(n: int) -> list[int]:
    return list(await asyncio.gather(note_once(n), note(n)))


@workflow
async def groups_once(n: int) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(note_once(n))
        group.create_task(note(n))


@function
async def blocks() -> None:
    began.set()
    while not release.is_set():
        await asyncio.sleep(0.01)


@workflow
async def takes_long() -> None:
    await blocks()


@workflow
async def deadly() -> int:
    return 1


@workflow
async def gives_back(n: int) -> int:
    return n


@pytest.fixture(autouse=True)
def _fresh() -> object:
    ran.clear()
    began.clear()
    release.clear()
    yield
    release.set()


def test_a_burst_of_cancels(project: Path) -> None:
    """Waiting runs are cancelled together in an async program: each cleans up exactly once."""

    async def main() -> None:
        async with perdure.open():
            runs = [start(cleans_up, n) for n in range(20)]
            async with asyncio.timeout(20):
                while any(run.status() is not Status.WAITING for run in runs):
                    await asyncio.sleep(0.01)
                for run in runs:
                    run.cancel()
                for run in runs:
                    with pytest.raises(RunCancelled):
                        await run

    asyncio.run(main())
    assert ran == dict.fromkeys(range(20), 1)


def test_parents_that_are_woken_together(project: Path) -> None:
    """Children end together in an async program: what each parent does next runs exactly once."""

    async def main() -> None:
        async with perdure.open():
            runs = [start(waits_for_child, n) for n in range(30)]
            async with asyncio.timeout(30):
                assert [await run for run in runs] == list(range(30))

    asyncio.run(main())
    assert ran == dict.fromkeys(range(30), 1)


@pytest.mark.parametrize(
    ("verb", "after"),
    [
        ("due", False),
        ("claim", False),
        ("claim", True),
        ("journal", False),
        ("mail", False),
        ("mail", True),
        ("inbox", False),
        ("turn", False),
        ("turn", True),
        ("held", False),
        ("workers", False),
        ("unclaimed", False),
    ],
)
def test_a_fault_while_a_run_is_taken_up(
    project: Path, monkeypatch: pytest.MonkeyPatch, verb: str, after: bool
) -> None:
    """Whichever verb of the worker fails once, done or not done, a queued run is taken up."""
    faults: list[str] = []
    is_armed, is_claimed = threading.Event(), threading.Event()
    original, claim = getattr(MemoryStore, verb), MemoryStore.claim
    comes_after_the_claim = verb in ("journal", "mail", "inbox", "turn")

    def claiming(self: Any, what: Claim, now: int) -> Any:
        taken = claim(self, what, now)
        if taken:
            is_claimed.set()
        return taken

    def failing(self: Any, *args: Any, **kwargs: Any) -> Any:
        fails = (
            is_armed.is_set()
            and not faults
            and threading.current_thread().name == "perdure-host"
            and (is_claimed.is_set() or not comes_after_the_claim)
            and (verb != "claim" or self.due(args[0]) is not None)
        )
        answer = original(self, *args, **kwargs) if after or not fails else None
        if fails:
            faults.append(verb)
            raise StoreUnavailable("the connection was lost (once)")
        return answer

    monkeypatch.setattr(MemoryStore, "claim", claiming)
    monkeypatch.setattr(MemoryStore, verb, failing)
    with perdure.open(store="memory:") as host:
        store = host.connection.store
        now = store.now()
        dead = dead_worker(now)
        has_mail = verb == "inbox"  # mail that is found later would hide that nobody began
        what = cleans_up if has_mail else notes
        run = new_run(what, 1, at=now, worker=dead.id)

        def leave_behind() -> perdure.Run[Any]:
            # All at once, on the worker's loop: it sees the run when its mail is there.
            store.register(dead)
            store.submit([run])
            store.retire(dead.id)
            handle = perdure.get_run(str(run.tid))
            if has_mail:
                assert handle.cancel()
            is_armed.set()
            host.worker._net_at = 0.0  # all that is done once a second is done now, too
            return handle

        handle = host.call(leave_behind)
        if has_mail:
            with pytest.raises(RunCancelled):
                handle.result(15)
        else:
            assert handle.result(15) == 1
    assert faults == [verb]
    assert ran[1] == 1


def test_a_run_that_killed_workers_starves_nobody(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits to be alone while a long step runs; others are claimed meanwhile, by turns, and it
    gets its turn when the step has ended."""
    monkeypatch.setattr(claiming, "STARVED_SECONDS", 0.3)
    with perdure.open(store="memory:") as host:
        store = host.connection.store
        busy = start(takes_long)
        assert began.wait(10)

        def kill_two() -> perdure.Run[int]:
            now = store.now()
            first, second = dead_worker(now), dead_worker(now)
            run = new_run(deadly, at=now, worker=first.id)
            store.register(first)
            store.submit([run])
            store.bury(first.id, now, proven=True)
            store.register(second)
            names = [(deadly.name, deadly.version)]
            [claimed] = store.claim(Claim(worker=second.id, names=names, limit=1), store.now())
            assert claimed.tid == run.tid
            store.bury(second.id, store.now(), proven=True)
            return perdure.get_run(str(run.tid))

        lone = host.call(kill_two)
        assert lone.record().crashes == 2
        until = time.monotonic() + 1.0
        count = 0
        while time.monotonic() < until:
            fresh = queue(host, gives_back, count)
            host.wake()
            assert fresh.result(10) == count
            count += 1
        assert lone.status() is Status.QUEUED
        assert busy.status() is Status.RUNNING
        release.set()
        assert lone.result(10) == 1


def test_a_run_that_ends_while_it_is_taken_up_strands_nobody(project: Path) -> None:
    """Its at-most-once step has failed with the worker that ran it, and the body ends of that with
    another step pending; what was claimed with it goes on."""
    store = connect().store
    dead = dead_worker(store.now())
    store.register(dead)
    for what in (gathers_once, groups_once):
        begun_by(dead, what, 1, interrupted=[0])
    innocent = begun_by(dead, notes, 7)
    with perdure.open(worker={"lease": "1s"}):
        assert get_run(str(innocent)).result(timeout="30s") == 7
        failed = [run for run in list_runs() if run.name != "notes"]
        assert {run.wait(timeout="30s") for run in failed} == {Status.FAILED}
    assert ran == {7: 1}


def begun_by(dead: WorkerRow, what: Definition, n: int, *, interrupted: Sequence[int] = ()) -> int:
    """Store a run whose worker died when its first steps ran; those that are named at most once."""
    store = connect().store
    run = new_run(what, n, at=store.now(), worker=dead.id)
    store.submit([run])
    resident = Resident(run, what, attempt=1)
    commands = resident.machine.activate(STARTED, run.at)
    events = [Event(kind=EventKind.STEP_STARTED, ordinal=o, step_attempt=1) for o in interrupted]
    rows = [
        Row(seq=0, at=run.at, attempt=1, event=STARTED, commands=encode_commands(commands)),
        *(Row(seq=i, at=run.at, attempt=1, event=e) for i, e in enumerate(events, start=1)),
    ]
    assert store.turn([Turn(tid=run.tid, attempt=1, rows=rows)], [], run.at) == ["committed"]
    resident.machine.close()
    return run.tid


def test_a_full_worker_fills_a_free_place_at_once(project: Path) -> None:
    """Ten queued runs with room for two: nobody waits a second for every pair."""
    host = perdure.open(worker={"concurrency": 2})
    runs = [queue(host, gives_back, n) for n in range(10)]
    with host:
        began_at = time.monotonic()
        assert [run.result(30) for run in runs] == list(range(10))
        assert time.monotonic() - began_at < 2.5


def test_a_waiting_cancel_is_read_before_the_body_begins():
    """A run that hung its worker before anything was recorded would hang the next one, too; it was
    asked to end, and nothing of it ran that could be cleaned up."""
    bodies: list[int] = []

    @workflow(name="adoption_asked_to_end")
    async def body() -> None:
        bodies.append(1)

    with perdure.open() as host:
        store = host.connection.store
        now = store.now()
        row = dead_worker(now)
        store.register(row)
        store.submit([run := new_run(body, at=now, worker=row.id)])
        handle = perdure.get_run(str(run.tid))
        assert handle.cancel("it hangs")
        assert handle.status() is Status.RUNNING
        assert store.bury(row.id, store.now(), proven=True) == 1
        host.wake()
        assert handle.wait(10) is Status.CANCELLED
        with pytest.raises(RunCancelled, match="cancelled"):
            handle.result()
        assert bodies == []
        assert list(handle.events()) == []
