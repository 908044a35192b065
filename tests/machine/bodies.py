"""Workflow bodies that use each of asyncio's waits, and random programs of all of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from typing import Any

from perdure.machine import current
from tests.machine.driver import Body, StepBroke, child, step

BODIES: dict[str, Body] = {}


def body(function: Body) -> Body:
    BODIES[function.__name__] = function
    return function


async def call(name: str, value: object = None) -> Any:
    return await step(name, value)


@body
async def sequence() -> object:
    total = 0
    for number in range(5):
        total += await step("add", number)
        await asyncio.sleep(number / 4)
    return [total, await child("inner", total)]


@body
async def gathering() -> object:
    values = await asyncio.gather(*(call("square", n) for n in range(4)), asyncio.sleep(1, "slept"))
    outcomes = await asyncio.gather(
        step("a", 1), call("fail", 2), step("fail_too", 3), return_exceptions=True
    )
    done = step("done_before", 5)
    await done
    async with asyncio.TaskGroup() as group:
        group.create_task(call("beside", 6))
        group.create_task(_gather_then(done, "after_done"))
    try:
        await asyncio.gather(call("slow", 1), call("fail", 2), call("slow", 3))
    except StepBroke as error:
        return [values, [str(o) for o in outcomes], str(error)]
    return None


async def _gather_then(done: asyncio.Future[Any], name: str) -> None:
    first, second = await asyncio.gather(done, done)
    await step(name, [first, second])


@body
async def task_group_abort() -> object:
    seen: list[object] = []

    async def worker(number: int) -> None:
        try:
            seen.append(await step("fail_work" if number % 3 == 1 else "work", number))
            await asyncio.sleep(2)
            await step("more", number)
        except asyncio.CancelledError:
            seen.append(f"cancelled {number}")
            await step("cleanup", number)
            raise

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(worker(number))
            await step("beside", None)
    except* StepBroke as errors:
        seen.append(sorted(str(error) for error in errors.exceptions))
    return seen


@body
async def nested_groups_in_timeouts() -> object:
    seen: list[object] = []
    for limit in (1, 3, 10):
        try:
            async with asyncio.timeout(limit) as deadline:
                async with asyncio.TaskGroup() as outer:
                    outer.create_task(call("outer", limit))
                    try:
                        async with asyncio.TaskGroup() as inner:
                            inner.create_task(call("fail_inner", limit))
                            inner.create_task(call("inner", limit))
                            await asyncio.sleep(2)
                    except* StepBroke:
                        seen.append("inner broke")
                    await step("between", limit)
        except TimeoutError:
            seen.append(f"timeout {limit} {deadline.expired()}")
        seen.append(asyncio.current_task().cancelling())  # type: ignore[union-attr]
        await step("then", limit)
    return seen


@body
async def timeouts() -> object:
    seen: list[object] = []
    for limit in (0, -1, 0.5, 1.5, None):
        for wait in (asyncio.wait_for, _with_timeout):
            try:
                seen.append(await wait(call("quick", limit), limit))
            except TimeoutError:
                seen.append(f"timeout {limit}")
            await step("next", len(seen))
    loop = asyncio.get_running_loop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(loop.time() + 1) as deadline:
            await step("before", 1)
            deadline.reschedule(loop.time() + 2)
            await asyncio.sleep(5)
    return seen


async def _with_timeout(awaitable: Any, limit: float | None) -> Any:
    async with asyncio.timeout(limit):
        return await awaitable


@body
async def waits() -> object:
    seen: list[object] = []
    tasks = {asyncio.create_task(call("fail" if n == 2 else "job", n)) for n in range(6)}
    while tasks:
        done, tasks = await asyncio.wait(tasks, timeout=0.75, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            seen.append(str(task.exception() or task.result()))
            await step("note", seen[-1])
        if not done:
            for task in tasks:
                task.cancel()
            seen.append(await asyncio.gather(*tasks, return_exceptions=True) and "cancelled")
            break
    outer = [asyncio.gather(call("x", n), call("y", n)) for n in range(5)]
    done, _ = await asyncio.wait(outer)
    for future in done:
        await step("gathered", future.result())
    return seen


@body
async def completions() -> object:
    seen: list[object] = []
    for result in asyncio.as_completed([call("fail" if n == 1 else "n", n) for n in range(5)]):
        try:
            seen.append(await result)
        except StepBroke as error:
            seen.append(str(error))
        await step("seen", len(seen))
    try:
        for result in asyncio.as_completed([call("m", n) for n in range(4)], timeout=1):
            seen.append(await result)
            await asyncio.sleep(0.4)
    except TimeoutError:
        seen.append("timeout")
    return seen


@body
async def locks() -> object:
    seen: list[object] = []
    lock, semaphore = asyncio.Lock(), asyncio.Semaphore(2)

    async def locked(number: int) -> None:
        async with semaphore:
            await step("enter", number)
            async with lock:
                seen.append(await step("inside", number))
                await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(locked(number)) for number in range(7)]
    await step("first", None)
    tasks[2].cancel()
    tasks[5].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seen


@body
async def semaphores_under_cancel() -> object:
    semaphore = asyncio.Semaphore(1)
    order: list[int] = []

    async def worker(number: int) -> None:
        async with asyncio.timeout(1 + number % 3):
            async with semaphore:
                order.append(number)
                await step("hold", number)
                await asyncio.sleep(0.6)

    results = await asyncio.gather(*(worker(n) for n in range(8)), return_exceptions=True)
    await semaphore.acquire()
    semaphore.release()
    return [order, [type(result).__name__ for result in results]]


@body
async def events_and_conditions() -> object:
    seen: list[object] = []
    event, condition = asyncio.Event(), asyncio.Condition()
    ready: list[int] = []

    async def consumer(number: int) -> None:
        await event.wait()
        async with condition:
            await condition.wait_for(lambda: ready)
            seen.append([number, ready.pop()])
        await step("consumed", number)

    consumers = [asyncio.create_task(consumer(number)) for number in range(5)]
    await step("before", None)
    event.set()
    for number in range(4):
        await step("make", number)
        async with condition:
            ready.append(number)
            condition.notify()
        if number == 1:
            consumers[0].cancel()
    await asyncio.sleep(1)
    async with condition:
        ready.extend([10, 11])
        condition.notify_all()
    await asyncio.gather(*consumers, return_exceptions=True)
    return seen


@body
async def queues_and_barriers() -> object:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
    ranked: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
    barrier = asyncio.Barrier(3)
    seen: list[object] = []

    async def worker(number: int) -> None:
        await barrier.wait()
        while True:
            item = await queue.get()
            seen.append([number, await step("item", item)])
            ranked.put_nowait(-item)
            queue.task_done()

    workers = [asyncio.create_task(worker(number)) for number in range(3)]
    for item in range(8):
        await queue.put(item)
    await queue.join()
    for task in workers:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return [seen, [ranked.get_nowait() for _ in range(ranked.qsize())]]


@body
async def shields_and_cancels() -> object:
    seen: list[object] = []
    kept = asyncio.create_task(call("kept", 1))
    try:
        await asyncio.wait_for(asyncio.shield(kept), 0.5)
    except TimeoutError:
        seen.append("gave up")
    task = asyncio.create_task(call("dropped", 2))
    await step("meanwhile", 3)
    seen.append(task.cancel())
    with contextlib.suppress(asyncio.CancelledError):
        await task
    future = step("withdrawn", 4)
    future.cancel()
    seen.append(await kept)
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError as error:
        seen.append(f"asked to end: {error}")
        await step("undo", None)
        raise
    return seen


@body
async def generators_and_chance() -> object:
    machine = current()
    assert machine is not None

    async def numbers() -> Any:
        try:
            for number in range(10):
                yield await step("next", number)
        finally:
            seen.append("closed")

    seen: list[object] = []
    async for number in numbers():
        seen.append(number)
        if number == 2:
            break
    seen += [machine.random.random(), str(machine.uuid4()), machine.now]
    seen.append(asyncio.current_task().get_name())  # type: ignore[union-attr]
    seen.append(asyncio.create_task(call("named", 0)).get_name())
    return await step("show", seen)


@body
async def ends_with_work_open() -> object:
    background = [asyncio.create_task(call("open", n)) for n in range(4)]
    asyncio.create_task(asyncio.sleep(50))
    await asyncio.sleep(1)
    await background[2]
    step("last", None)
    return "done"


# --- random programs ------------------------------------------------------------------------------


def program(seed: int) -> Body:
    """A body that joins waits at random, always the same for a seed."""

    async def program_body() -> object:
        return await _part(random.Random(seed), 3, asyncio.Semaphore(2), asyncio.Lock())

    program_body.__name__ = f"program_{seed}"
    return program_body


async def _part(
    dice: random.Random, depth: int, semaphore: asyncio.Semaphore, lock: asyncio.Lock
) -> object:
    """One part of a program; each part throws its dice before it waits for the first time."""
    kinds = _LEAVES if depth == 0 else _LEAVES + _BRANCHES * 2
    kind = dice.choice(kinds)
    number = dice.randrange(100)
    inner = [
        _part(random.Random(dice.random()), depth - 1, semaphore, lock)
        for _ in range(dice.randrange(2, 5) if kind in _BRANCHES else 0)
    ]
    try:
        return await kind(inner, number, semaphore, lock)
    except (StepBroke, TimeoutError) as error:
        return await step("mended", type(error).__name__)
    except ExceptionGroup as errors:
        return await step("mended_group", sorted(type(e).__name__ for e in errors.exceptions))


Part = Callable[
    [list[Coroutine[Any, Any, object]], int, asyncio.Semaphore, asyncio.Lock],
    Coroutine[Any, Any, object],
]


async def _one(inner: Any, number: int, *_: Any) -> object:
    return await step("fail_one" if number < 15 else "one", number)


async def _nap(inner: Any, number: int, *_: Any) -> object:
    return await asyncio.sleep(number / 20, number)


async def _held(
    inner: Any, number: int, semaphore: asyncio.Semaphore, lock: asyncio.Lock
) -> object:
    async with semaphore:
        value = await step("held", number)
        if number % 2:
            async with lock:
                await asyncio.sleep(number / 50)
        return value


async def _gathered(inner: Any, number: int, *_: Any) -> object:
    results = await asyncio.gather(*inner, return_exceptions=number % 2 == 0)
    return [str(result) for result in results]


async def _grouped(inner: Any, number: int, *_: Any) -> object:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in inner]
        if number < 30:
            await step("fail_in_group", number)
    return [str(task.result()) for task in tasks]


async def _hurried(inner: Any, number: int, *_: Any) -> object:
    first, *rest = inner
    tasks = [asyncio.create_task(part) for part in rest]
    try:
        return await asyncio.wait_for(first, number / 40)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _raced(inner: Any, number: int, *_: Any) -> object:
    tasks = {asyncio.create_task(part) for part in inner}
    done, late = await asyncio.wait(tasks, timeout=number / 10, return_when=asyncio.FIRST_COMPLETED)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
    return [str(task.cancelled() or task.exception() or task.result()) for task in done]


async def _completed(inner: Any, number: int, *_: Any) -> object:
    results: list[str] = []
    for part in asyncio.as_completed(inner, timeout=number / 10 if number % 3 else None):
        results.append(str(await part))
        await step("counted", len(results))
    return results


_LEAVES: tuple[Part, ...] = (_one, _one, _nap, _held, _held)
_BRANCHES: tuple[Part, ...] = (_gathered, _grouped, _hurried, _raced, _completed)


def find(name: str) -> Body:
    """The body that a journal names."""
    return program(int(name.removeprefix("program_"))) if name not in BODIES else BODIES[name]
