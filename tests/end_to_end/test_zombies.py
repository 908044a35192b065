"""Zombies: a worker that was stopped past its lease comes back, and may write nothing of before."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest

from perdure import Status
from perdure.core.events import Row
from tests.end_to_end.crash import PLAIN_STEP
from tests.end_to_end.effects import check_journals, effects, every_run, open_of
from tests.end_to_end.zygote import Child, Zygote
from tests.parts import wait_for

POINTS = (2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14, 16, 18)


@pytest.fixture(scope="module", autouse=True)
def short_lease(monkeypatch_module):
    """A second is the shortest lease that settings allow."""
    monkeypatch_module.setenv("PERDURE_WORKER_LEASE", "1s")


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def journals(project: Path) -> dict[int, list[Row]]:
    store = open_of(project)
    try:
        return {run.tid: store.journal(run.tid) for run in every_run(store)}
    finally:
        store.close()


def test_late_writes_of_a_stopped_worker_are_refused(zygote: Zygote, new_project):
    """Stopped before one of its writes, at many of them; another worker finishes; then it goes on.

    What it still wanted to write is refused, it executes nothing of before, and it works on as a
    new worker. All points are played side by side, since each one waits for a lease to end.
    """
    zombies: list[tuple[int, Path, Child]] = []
    for point in POINTS:
        project = new_project()
        child = zygote.fork(project, "tests.end_to_end.crash:sleepwalk", point)
        zombies.append((point, project, child))
    for _point, _project, zombie in zombies:
        wait_for(partial(is_stopped, zombie.pid), seconds=20)
    heirs = [
        (project, zygote.fork(project, "tests.end_to_end.crash:drive")) for _, project, _ in zombies
    ]
    for _project, heir in heirs:
        assert heir.wait() == 0, heir.said()
    told = 0
    for point, project, zombie in zombies:
        before = journals(project)
        marks = len(effects(project))
        zombie.signal(signal.SIGCONT)
        assert zombie.wait() == 0, (point, zombie.said())
        after = journals(project)
        assert {tid: after[tid] for tid in before} == before, f"a late write at {point}"
        late = [effect for effect in effects(project)[marks:] if effect.tid in before]
        # A body that other threads were just beginning when theirs was stopped goes on after it.
        is_on_loop = (project / "stopped-in").read_text() == "perdure-host"
        begun = [effect for effect in late if not is_on_loop or effect.step == PLAIN_STEP]
        assert late == begun, f"at {point} the zombie executed what others had done: {late}"
        assert len(late) <= 1, f"at {point} the zombie executed what others had done: {late}"
        assert len(after) == 2 * len(before)
        told += "buried" in zombie.said() or "held by another worker" in zombie.said()
        store = open_of(project)
        check_journals(store)
        assert {run.status for run in every_run(store)} == {Status.COMPLETED, Status.CANCELLED}
        store.close()
    assert told >= len(POINTS) - 2
