"""Children: a workflow that awaits another one."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from perdure import RunFailed, Status, function, list_runs, run, sleep, start, workflow
from perdure.core.errors import NotInWorkflow
from tests.parts import wait_for


@function
async def add(a: int, b: int) -> int:
    return a + b


def test_a_child_returns_its_result(host):
    """Awaiting a workflow in a workflow starts a run of its own and waits for it."""

    @workflow
    async def total(numbers: list[int]) -> int:
        result = 0
        for number in numbers:
            result = await add(result, number)
        return result

    @workflow
    async def parent() -> int:
        return await total([1, 2, 3])

    handle = start(parent)
    assert handle.result(10) == 6
    (child,) = list_runs(name="total")
    assert child.record().parent == int(handle.tid)
    assert child.record().parent_ordinal == 0
    assert child.result() == 6


def test_children_run_side_by_side(host):
    """Many at once, even equal ones: each call is a child of its own."""

    @workflow
    async def nap(n: int) -> int:
        await sleep("50ms")
        return n

    @workflow
    async def parent() -> list[int]:
        return await asyncio.gather(nap(1), nap(1), nap(2))

    assert start(parent).result(10) == [1, 1, 2]
    assert len(list_runs(name="nap")) == 3


def test_a_child_that_suspends_wakes_its_parent(host):
    """Both wait in the store, held by nobody; the child's end brings the parent back."""

    @workflow
    async def patient() -> str:
        await sleep("1.2s")
        return "rested"

    @workflow
    async def parent() -> str:
        return await patient()

    handle = start(parent)
    wait_for(lambda: handle.status() is Status.WAITING)
    assert handle.result(10) == "rested"


def test_the_failure_of_a_child_is_an_exception_in_the_parent(host):
    """As its own class; the parent may catch it."""

    @workflow
    async def broken() -> None:
        raise LookupError("nothing there")

    @workflow
    async def parent() -> str:
        try:
            await broken()
        except LookupError as error:
            return f"caught {error.args[0]}"
        return "no error"

    assert start(parent).result(10) == "caught nothing there"


def test_an_uncaught_failure_of_a_child_fails_the_parent(host):
    """The cause is kept."""

    @workflow
    async def broken() -> None:
        raise LookupError("nothing there")

    @workflow
    async def parent() -> None:
        await broken()

    with pytest.raises(RunFailed) as caught:
        start(parent).result(10)
    assert isinstance(caught.value.__cause__, LookupError)


def test_cancelling_the_parent_reaches_the_child(host):
    """A run that is cancelled asks the children it waits for to end as well."""
    seen = threading.Event()

    @function
    async def note() -> None:
        seen.set()

    @workflow
    async def child() -> None:
        try:
            await sleep("1h")
        except asyncio.CancelledError:
            await note()
            raise

    @workflow
    async def parent() -> None:
        await child()

    handle = start(parent)
    (young,) = wait_for(lambda: list_runs(name="child"))
    wait_for(lambda: young.status() is Status.WAITING)
    began = time.monotonic()
    assert handle.cancel()
    assert handle.wait(10) is Status.CANCELLED
    assert young.wait(10) is Status.CANCELLED
    assert seen.is_set()
    assert time.monotonic() - began < 0.5  # told, not found out a second later


def test_a_parent_that_no_longer_waits_cancels_its_child(host):
    """A timeout around a child ends the child."""

    @workflow
    async def child() -> None:
        await sleep("1h")

    @workflow
    async def parent() -> str:
        try:
            async with asyncio.timeout(0.1):
                await child()
        except TimeoutError:
            return "moved on"
        return "waited"

    assert start(parent).result(10) == "moved on"
    (young,) = list_runs(name="child")
    assert young.wait(10) is Status.CANCELLED


def test_a_cancelled_child_is_an_error_in_the_parent(host):
    """Somebody cancels the child alone: the parent is told, and goes on as it likes."""

    @workflow
    async def child() -> None:
        await sleep("1h")

    @workflow
    async def parent() -> str:
        try:
            await child()
        except Exception as error:
            return type(error).__name__
        return "no error"

    handle = start(parent)
    (young,) = wait_for(lambda: list_runs(name="child"))
    young.cancel()
    assert handle.result(10) == "RunCancelled"


def test_grandchildren(host):
    """Runs nest as calls do."""

    @workflow
    async def leaf(n: int) -> int:
        return await add(n, 1)

    @workflow
    async def branch(n: int) -> int:
        return sum(await asyncio.gather(leaf(n), leaf(n + 1)))

    @workflow
    async def tree() -> int:
        return sum(await asyncio.gather(*(branch(10 * n) for n in range(4))))

    assert start(tree).result(20) == sum(2 * 10 * n + 3 for n in range(4))


def test_outside_a_workflow_a_workflow_is_not_called(project):
    """The sentence says what to write."""

    @workflow
    async def alone() -> None: ...

    with pytest.raises(NotInWorkflow, match=r"perdure\.run\(alone, …\)"):
        alone()


def test_start_in_a_body_is_refused(host):
    """It would start again at every replay."""

    @workflow
    async def inner() -> None: ...

    @workflow
    async def outer() -> None:
        start(inner)

    with pytest.raises(RunFailed, match="would start it again at every replay"):
        run(outer)
