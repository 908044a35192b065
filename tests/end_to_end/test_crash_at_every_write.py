"""The process dies at every commit, once before it and once after; another one finishes.

The scenario of `tests.end_to_end.crash` has steps in both forms, retries, a sleep, gather, a child,
a timeout, a failure, a task group, and a second run that is cancelled with its child, all started
with keys. It is run once per commit and side. After each death the journal is read, and the next
process may not execute a step whose outcome stands there.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from perdure import Status
from tests.end_to_end.effects import check_journals, effects, every_run, open_of, recorded
from tests.end_to_end.zygote import Zygote

DRIVE = "tests.end_to_end.crash:drive"

EXPECTED = {
    "crash_scenario": Status.COMPLETED,
    "crash_child": Status.COMPLETED,
    "crash_doomed": Status.CANCELLED,
    "crash_child_that_waits": Status.CANCELLED,
}


Calls = set[tuple[int, int, int]]


def die(
    zygote: Zygote, project: Path, when: str, commit: int, batch: int | None = None
) -> int | None:
    """Let a process die at this commit; its pid, or None: it had fewer commits and came through."""
    child = zygote.fork(project, DRIVE, when, commit, batch)
    code = child.wait()
    assert code in (0, -signal.SIGKILL), child.said()
    return child.pid if code else None


def known(project: Path) -> Calls:
    """What is recorded now: (TID, step, attempt) of every outcome."""
    if not (project / ".perdure" / "perdure.db").exists():
        return set()
    store = open_of(project)
    try:
        check_journals(store)
        return recorded(store)
    finally:
        store.close()


def recover(zygote: Zygote, project: Path) -> int:
    """Let a fresh process finish, and check that all is done; returns its pid."""
    child = zygote.fork(project, DRIVE)
    assert child.wait() == 0, child.said()
    store = open_of(project)
    try:
        check_journals(store)
        runs = every_run(store)
        assert {run.name: run.status for run in runs} == EXPECTED
        assert len(runs) == len(EXPECTED)
        assert store.workers() == []
        done = recorded(store)
    finally:
        store.close()
    assert done <= {effect.call for effect in effects(project)}, "an outcome that nobody produced"
    return child.pid


def check_effects(project: Path, processes: list[tuple[int, Calls]]) -> None:
    """Compare what processes executed with what was recorded when each of them began.

    Args:
        processes: (pid, what was recorded before), in order.
    """
    for pid, before in processes:
        calls = [effect.call for effect in effects(project) if effect.pid == pid]
        assert len(calls) == len(set(calls)), "one process executed an attempt twice"
        assert not before & set(calls), "a recorded outcome was executed again"


def commits_of(zygote: Zygote, project: Path, batch: int | None) -> int:
    """How many commits the scenario takes, undisturbed."""
    assert zygote.run(project, DRIVE, "count", 0, batch) == 0
    return int((project / "commits").read_text())


@pytest.mark.parametrize("batch", [1, None], ids=["one_by_one", "group_commit"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_commit_loses_nothing_and_repeats_nothing(zygote, new_project, when, batch):
    """Same results, every run ends, and no recorded outcome is executed again."""
    commits = commits_of(zygote, new_project(), batch)
    assert commits >= (25 if batch else 20)
    points = 0
    for commit in range(1, commits + 4):
        project = new_project()
        dead = die(zygote, project, when, commit, batch)
        if dead is not None:
            points += 1
            before = known(project)
            check_effects(project, [(dead, set()), (recover(zygote, project), before)])
    assert points >= commits - 5


def test_one_crash_after_the_other(zygote, new_project):
    """Chains of three deaths at random commits, the later ones of processes that recover."""
    dice = random.Random(20)
    deaths = 0
    for _ in range(25):
        project = new_project()
        processes = []
        for _death in range(3):
            before = known(project)
            pid = die(zygote, project, dice.choice(["before", "after"]), dice.randint(1, 24))
            if pid is None:
                break
            processes.append((pid, before))
        deaths += len(processes)
        before = known(project)
        processes.append((recover(zygote, project), before))
        check_effects(project, processes)
    assert deaths > 40


@pytest.mark.parametrize("when", ["before", "after"])
def test_at_most_once_holds_at_any_commit(zygote, new_project, when):
    """A step with on_crash="fail" never begins twice; what was interrupted is told as such."""
    drive = "tests.end_to_end.crash:drive_cautious"
    outcomes = set()
    for commit in range(1, 12):
        project = new_project()
        child = zygote.fork(project, drive, when, commit)
        assert child.wait() in (0, -signal.SIGKILL), child.said()
        child = zygote.fork(project, drive)
        assert child.wait() == 0, child.said()
        begun = [effect for effect in effects(project) if effect.step == 1]
        assert len(begun) <= 1, f"begun twice after a death {when} commit {commit}"
        store = open_of(project)
        check_journals(store)
        (run,) = every_run(store)
        store.close()
        outcomes.add(run.output)
    assert outcomes == {'["before","done","after"]', '["before","interrupted","after"]'}
