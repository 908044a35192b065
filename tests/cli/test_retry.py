"""`perdure retry`: a way out of stuck, and a sentence for whatever is not stuck."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from perdure.core.decide import Park, Suspend, Turn
from perdure.core.run import Kind, NewRun
from perdure.engine.tids import make_tid
from perdure.store import Claim, Store, Unclaimed, WorkerRow
from perdure.stores import open_store

from .conftest import Perdure, until

ELSEWHERE = "elsewhere"
NOBODY = 2**22 + 1
"""No process has this pid."""


def new_run(store: Store, name: str = "twice", worker: int | None = None) -> NewRun:
    """A run of the project's module."""
    at = store.now()
    return NewRun(
        tid=make_tid(at), kind=Kind.WORKFLOW, name=name, source="app", input='{"n": 3}', at=at,
        worker=worker,
    )  # fmt: skip


def held(store: Store) -> int:
    """The TID of a run that a worker holds, of another host: nobody can prove that it is dead."""
    now = store.now()
    me = make_tid(now)
    row = WorkerRow(
        id=me, name="far away", host=ELSEWHERE, boot_id="", pid_namespace="", pid=NOBODY, started=1,
        lease_until=now + 60_000_000, registered_at=now, serves=("nothing",),
    )  # fmt: skip
    store.register(row)
    run = new_run(store, worker=me)
    store.submit([run])
    return run.tid


def stuck(store: Store) -> int:
    """The TID of a run that a worker has parked for good; that worker is gone."""
    tid = held(store)
    [worker] = store.workers()
    store.turn([Turn(tid=tid, attempt=1, then=Park("why", ""))], [], store.now())
    store.retire(worker.id)
    return tid


def completes(project: Perdure, tid: int) -> None:
    """Wait until a run is completed; who only looks, as here, starts no worker."""
    until(lambda: project.json("status", str(tid))["status"] == "completed")


@pytest.fixture
def store(project: Perdure) -> Iterator[Store]:
    """The project's store, beside its commands."""
    store = open_store(f"sqlite://{project.root / '.perdure/perdure.db'}", create=True)
    yield store
    for row in store.workers():
        if row.host == ELSEWHERE:  # so that nobody ends it who ends the project's workers
            store.retire(row.id)
    store.close()


def test_stuck_runs_are_tried_again(project: Perdure, store: Store) -> None:
    """A worker is started for them, and they complete."""
    tids = [stuck(store), stuck(store)]

    done = project("retry", *map(str, tids))

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(" is tried again; it is ")[0] for line in done.stdout.splitlines()] == [
        f"run {tid} of twice" for tid in tids
    ]
    for tid in tids:
        completes(project, tid)
        assert project("result", str(tid)).stdout == "12\n"


def test_a_host_that_lacks_the_code_leaves_it_to_the_background_worker(
    project: Perdure, store: Store
) -> None:
    """A web application may retry what it does not execute."""
    tid = stuck(store)
    code = f"import perdure\nwith perdure.open():\n    print(perdure.get_run('{tid}').retry())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env=project.env,
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout == "True\n"
    completes(project, tid)


def test_a_retry_is_told_as_json(project: Perdure, store: Store) -> None:
    """A line for each run; who is not stuck makes the exit code 1, the others are tried again."""
    one, other = stuck(store), new_run(store)
    store.submit([other])
    done = project("retry", str(one), str(other.tid), "--json")
    assert done.returncode == 1
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["tid"], line["accepted"]) for line in told] == [
        (str(one), True),
        (str(other.tid), False),
    ]
    completes(project, one)


def test_what_is_not_stuck_is_left_alone(project: Perdure, store: Store) -> None:
    """The sentence says where the run stands, and what to do, if anything."""
    said: dict[int, str] = {}

    running = held(store)
    said[running] = "is running; there is nothing to retry"
    waiting = held(store)
    wait = Turn(tid=waiting, attempt=1, then=Suspend(store.now() + 10**12))
    store.turn([wait], [], store.now())
    said[waiting] = "is waiting and goes on by itself"
    queued = new_run(store)
    store.submit([queued])
    said[queued.tid] = "is queued already"
    blocked = new_run(store, "gone")
    store.submit([blocked])
    missing = Unclaimed(tid=blocked.tid, kind=Kind.WORKFLOW, name="gone", version="", source="app")
    assert store.block(missing, "default", "there is no gone in app", store.now()) == 1
    said[blocked.tid] = "once a worker has its code: there is no gone in app"

    for tid, sentence in said.items():
        before = store.get(tid)
        done = project("retry", str(tid))
        assert (done.returncode, done.stdout) == (1, "")
        assert sentence in done.stderr and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"perdure: run {tid} of ")
        assert store.get(tid) == before
    assert len(project.rows()) == 2, "no worker was started for what is not tried again"


def test_a_finished_run_is_started_again_instead(shared: Perdure) -> None:
    """Completed, failed and cancelled runs stay so; with a key, another one is needed."""
    assert shared("run", "app:twice", "--key", "done").returncode == 0
    assert shared("run", "app:broken", "--key", "broken").returncode == 1
    assert shared("run", "app:broken").returncode == 1
    for line, sentence in [
        (["completed"], "is completed; there is nothing to retry"),
        (["failed"], "is failed, and only a stuck run can be retried at present; start it again"),
    ]:
        for run in shared.json("list", "--status", *line):
            done = shared("retry", run["tid"])
            assert (done.returncode, done.stdout) == (1, "")
            assert sentence in done.stderr
            if line == ["failed"]:
                assert ("with another key" in done.stderr) is (run["key"] is not None)


def test_an_unknown_tid_changes_nothing(project: Perdure, store: Store) -> None:
    """Told before any of the others is tried again."""
    tid = stuck(store)
    done = project("retry", str(tid), "123")
    assert (done.returncode, done.stdout) == (2, "")
    assert "123" in done.stderr
    assert project.json("status", str(tid))["status"] == "stuck"
    assert project("retry").returncode == 2


def test_deaths_are_shown(project: Perdure, store: Store) -> None:
    """`status` tells how many workers died and what to do, to people and to programs."""
    tid = held(store)
    [worker] = store.workers()
    for _ in range(4):
        assert store.bury(worker.id, store.now(), proven=True) == 1
        store.register(worker)
        claim = Claim(worker=worker.id, names=[("twice", "")], limit=1)
        store.claim(replace(claim, alone=store.due(claim) is None), store.now())
    assert store.bury(worker.id, store.now(), proven=True) == 1

    told = project.json("status", str(tid))
    assert (told["status"], told["crashes"]) == ("stuck", 5)
    assert told["reason"].endswith(f"mend the cause, then: perdure retry {tid}")
    lines = dict(line.split(maxsplit=1) for line in project("status", str(tid)).stdout.splitlines())
    assert lines["crashes"] == "5"
    assert lines["reason"] == told["reason"]
