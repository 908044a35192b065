"""Events: the journal of a run, readable while it runs and after."""

from __future__ import annotations

import threading

import pytest

from perdure import Status, function, get_run, list_runs, sleep, start, workflow
from perdure.core.errors import RunNotFound


@function
async def double(n: int) -> int:
    return 2 * n


def test_the_journal_tells_what_happened(host):
    """One entry per event, in order, with what the body asked for in answer."""

    @workflow
    async def work() -> int:
        first = await double(2)
        await sleep("10ms")
        return await double(first)

    handle = start(work)
    assert handle.result() == 8
    entries = list(handle.events())
    assert [entry.seq for entry in entries] == [0, 1, 2, 3]
    assert [entry.kind for entry in entries] == [
        "started",
        "step_completed",
        "timer_fired",
        "step_completed",
    ]
    assert [entry.name for entry in entries] == [None, "double", None, "double"]
    assert [entry.value for entry in entries] == [None, 4, None, 8]
    assert entries[0].commands == [
        {"do": "step", "ordinal": 0, "name": "double", "input": {"n": 2}}
    ]
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert entries[3].commands == [{"do": "complete"}]


def test_following_a_run(host):
    """`events(follow=True)` goes on until the run is finished."""
    may_go = threading.Event()

    @function
    def hold() -> str:
        may_go.wait(10)
        return "held"

    @workflow
    async def work() -> None:
        await hold.step()
        await double(1)

    handle = start(work)
    following = handle.events(follow=True)
    assert next(following).kind == "started"
    may_go.set()
    assert [entry.value for entry in following] == ["held", 2]


def test_a_run_is_found_by_its_tid_or_a_part_of_it(host):
    """Any unique beginning or end."""

    @workflow
    async def work() -> str:
        return "done"

    handle = start(work)
    assert handle.result() == "done"
    assert len(handle.tid) == 19
    assert get_run(handle.tid).result() == "done"
    assert get_run(handle.tid[-8:]).tid == handle.tid
    with pytest.raises(RunNotFound, match="no run"):
        get_run("1" * 19)


def test_runs_are_listed_newest_first(host):
    """By name and by status."""

    @workflow
    async def one() -> None: ...

    @workflow
    async def two() -> None:
        await sleep("1h")

    first, second = start(one), start(two)
    assert first.wait(10) is Status.COMPLETED
    assert [run.tid for run in list_runs()] == [second.tid, first.tid]
    assert [run.tid for run in list_runs(name="one")] == [first.tid]
    assert [run.tid for run in list_runs(status="completed")] == [first.tid]
    second.cancel()
