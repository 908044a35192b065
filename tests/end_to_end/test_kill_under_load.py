"""kill -9 in random places under load: every run completes once, whatever dies."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from perdure import Status
from perdure.core.run import FINAL
from perdure.store import RunFilter, Store
from tests.end_to_end.effects import check_journals, effects, every_run, open_of, recorded
from tests.end_to_end.load import answer
from tests.end_to_end.zygote import Zygote

RUNS = 1000
WORKERS = 3
KILLS = 60
SECONDS = 60.0

WORK = "tests.end_to_end.load:work"


def finished(store: Store) -> int:
    """How many runs are finished."""
    return len(store.runs(RunFilter(statuses=sorted(FINAL), limit=100_000)))


def test_every_run_completes_exactly_once(zygote: Zygote, project: Path):
    """Three workers execute 1000 runs and 250 children; one after the other dies by SIGKILL."""
    dice = random.Random(7)
    assert zygote.run(project, "tests.end_to_end.load:submit", RUNS) == 0
    workers = [zygote.fork(project, WORK) for _ in range(WORKERS)]
    pids = [worker.pid for worker in workers]
    store = open_of(project)
    deadline = time.monotonic() + SECONDS
    kills, done, marks = 0, 0, 0
    while done < RUNS + RUNS // 4:
        assert time.monotonic() < deadline, f"{done} runs done, {kills} workers killed"
        # The next death comes after so many more effects: work is the clock of this test.
        marks = max(marks, len(effects(project))) + dice.randint(20, 90)
        while len(effects(project)) < marks and done < RUNS + RUNS // 4:
            assert time.monotonic() < deadline, f"{done} runs done, {kills} workers killed"
            time.sleep(0.01)
            done = finished(store)
        if kills < KILLS and done < RUNS:
            victim = workers.pop(dice.randrange(WORKERS))
            victim.signal(signal.SIGKILL)
            assert victim.wait() == -signal.SIGKILL
            kills += 1
            workers.append(zygote.fork(project, WORK))
            pids.append(workers[-1].pid)
    for worker in workers:
        worker.signal(signal.SIGKILL)
        worker.wait()
    assert kills >= 20

    check_journals(store)
    runs = every_run(store)
    outcomes = recorded(store)
    store.close()
    assert len(runs) == RUNS + RUNS // 4
    assert {run.status for run in runs} == {Status.COMPLETED}
    tops = [run for run in runs if run.parent is None]
    assert {run.key: run.output for run in tops} == {
        f"load-{n}": str(answer(n)) for n in range(RUNS)
    }
    seen = effects(project)
    executed = [effect.call for effect in seen]
    assert outcomes == set(executed), "an outcome without an execution, or the other way round"
    # What ran twice was in flight when its worker died: at most what each worker had at work.
    repeated = len(executed) - len(set(executed))
    assert repeated <= kills * 40 * 3
    for pid in pids:
        mine = [effect.call for effect in seen if effect.pid == pid]
        assert len(mine) == len(set(mine)), "one process executed an attempt twice"
    print(f"{kills} kills, {len(executed)} executions, {repeated} repeated")
