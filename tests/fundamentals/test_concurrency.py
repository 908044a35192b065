"""Side by side: plain asyncio in a workflow is durable, and steps overlap for real."""

from __future__ import annotations

import asyncio
import threading

import pytest

from perdure import RunFailed, function, sleep, start, workflow


@function
async def echo(value: str, seconds: float = 0) -> str:
    await asyncio.sleep(seconds)
    return value


@function
async def refuse(value: str) -> str:
    raise ValueError(value)


def test_gather_runs_steps_at_once(host):
    """Five steps that wait for each other could not end one after the other."""
    meeting = threading.Barrier(5)

    @function
    def meet(n: int) -> int:
        meeting.wait(10)
        return n

    @workflow
    async def five() -> list[int]:
        return await asyncio.gather(*(meet.step(n) for n in range(5)))

    assert start(five).result(20) == [0, 1, 2, 3, 4]


def test_gather_gives_the_results_in_order(host):
    """Whatever ends first."""

    @workflow
    async def three() -> list[str]:
        return list(await asyncio.gather(echo("a", 0.05), echo("b", 0.02), echo("c")))

    assert start(three).result() == ["a", "b", "c"]


def test_gather_returns_exceptions_of_steps_and_nothing_else(host):
    """There are no signals of the machinery among them."""

    @workflow
    async def both() -> list[str]:
        found = await asyncio.gather(
            echo("a", 0.02), refuse("b"), sleep("10ms"), return_exceptions=True
        )
        return [repr(one) for one in found]

    assert start(both).result() == ["'a'", "ValueError('b')", "None"]


def test_a_task_group_cancels_the_others_when_one_fails(host):
    """The failed step ends the group; the step that still ran is stopped."""
    stopped = threading.Event()

    @function
    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    @workflow
    async def group() -> str:
        said = "all went well"
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(endless())
                tasks.create_task(refuse("no"))
        except* ValueError as errors:
            said = str(errors.exceptions[0])
        return said

    assert start(group).result(10) == "no"
    assert stopped.wait(10)


def test_a_task_group_collects_results(host):
    """Tasks are ordinary asyncio tasks."""

    @workflow
    async def group() -> list[str]:
        async with asyncio.TaskGroup() as tasks:
            some = [tasks.create_task(echo(letter)) for letter in "xyz"]
        return [task.result() for task in some]

    assert start(group).result() == ["x", "y", "z"]


def test_the_first_of_several(host):
    """`asyncio.wait(FIRST_COMPLETED)`: a race whose winner is recorded."""

    @workflow
    async def race() -> str:
        runners = [asyncio.create_task(echo(n, s)) for n, s in [("slow", 30), ("fast", 0.01)]]
        done, others = await asyncio.wait(runners, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        return done.pop().result()

    assert start(race).result(10) == "fast"


def test_as_completed(host):
    """Results in the order in which they came; a replay sees the same order."""

    @workflow
    async def order() -> list[str]:
        calls = [echo("third", 0.2), echo("first", 0), echo("second", 0.1)]
        return [await one for one in asyncio.as_completed(calls)]

    assert start(order).result() == ["first", "second", "third"]


def test_a_semaphore_bounds_what_runs_at_once(host):
    """At most two steps at a time, as the body says."""
    lock = threading.Lock()
    running = []
    most = []

    @function
    async def work(n: int) -> int:
        with lock:
            running.append(n)
            most.append(len(running))
        await asyncio.sleep(0.01)
        with lock:
            running.remove(n)
        return n

    @workflow
    async def bounded() -> list[int]:
        two = asyncio.Semaphore(2)

        async def one(n: int) -> int:
            async with two:
                return await work(n)

        return await asyncio.gather(*(one(n) for n in range(8)))

    assert start(bounded).result() == list(range(8))
    assert max(most) == 2


def test_queue_event_and_lock(host):
    """Parts of the body talk to each other as in any asyncio program."""

    @workflow
    async def pipeline() -> list[str]:
        queue: asyncio.Queue[str | None] = asyncio.Queue(1)
        ready = asyncio.Event()
        lock = asyncio.Lock()
        seen = []

        async def produce() -> None:
            await ready.wait()
            for letter in "abc":
                await queue.put(await echo(letter))
            await queue.put(None)

        async def consume() -> None:
            ready.set()
            while (letter := await queue.get()) is not None:
                async with lock:
                    seen.append(await echo(letter * 2))

        await asyncio.gather(produce(), consume())
        return seen

    assert start(pipeline).result() == ["aa", "bb", "cc"]


def test_what_a_replay_could_not_repeat_is_refused(host):
    """Threads and I/O in a body raise a sentence that says what to do instead."""

    @workflow
    async def tempted() -> str:
        return await asyncio.to_thread(lambda: "unrecorded")

    with pytest.raises(RunFailed, match="do it in a function"):
        start(tempted).result()


def test_a_body_that_never_waits_ends_with_an_error(host):
    """`while True: await asyncio.sleep(0)` cannot hang the host."""

    @workflow
    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(RunFailed, match="ran 100,000 callbacks in a row"):
        start(spin).result(30)
