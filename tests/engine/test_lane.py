"""Bodies of async steps share a task only as long as none of them can notice."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator
from typing import Any

import pytest

import perdure
from perdure import Status, function, get_context, start, workflow
from perdure.engine.lane import Lane

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
gates: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def no_gates() -> Iterator[None]:
    gates.clear()
    yield
    gates.clear()


@function
async def tell_colour() -> str:
    return colour.get()


@function
async def paint(name: str) -> str:
    before = colour.get()
    colour.set(name)
    return before


@function
async def tell_step() -> int | None:
    return get_context().step


@function
async def wait_at(name: str) -> str:
    async with asyncio.timeout(60):
        await gates.setdefault(name, asyncio.Event()).wait()
    return name


@function
async def open_gate(name: str) -> None:
    gates.setdefault(name, asyncio.Event()).set()


@function
async def give_up_late() -> str:
    """Waits once, and sees in which task it goes on."""
    task = asyncio.current_task()
    await asyncio.sleep(0)
    return "same" if asyncio.current_task() is task else "another"


@function
async def cancel_own_task() -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return "done all the same"


@workflow
async def paints() -> list[str]:
    return [await paint("red"), await tell_colour(), await paint("blue"), await paint("green")]


@workflow
async def paints_side_by_side() -> list[str]:
    return list(await asyncio.gather(paint("red"), tell_colour(), paint("blue"), tell_colour()))


@workflow
async def tells_steps() -> list[int | None]:
    first = [await tell_step() for _ in range(3)]
    return first + list(await asyncio.gather(*(tell_step() for _ in range(3))))


@workflow
async def waits_for_a_later_step() -> list[str | None]:
    return list(await asyncio.gather(wait_at("a"), wait_at("b"), open_gate("b"), open_gate("a")))


@workflow
async def keeps_its_task() -> list[str]:
    return list(await asyncio.gather(*(give_up_late() for _ in range(3))))


@workflow
async def cancels_its_task() -> list[str | int | None]:
    return [await cancel_own_task(), await tell_step(), await tell_step()]


@workflow
async def counts_steps(n: int) -> int:
    for _ in range(n):
        await tell_step()
    return n


async def result_of(what: Any, *args: Any) -> Any:
    async with asyncio.timeout(60):
        return await start(what, *args)


@pytest.fixture(params=["own", "shared"])
def execute(request: pytest.FixtureRequest) -> Any:
    """Runs a workflow on a host's own loop, or on the application's."""

    def on_own(what: Any, *args: Any) -> Any:
        with perdure.open():
            return start(what, *args).result(timeout="60s")

    async def on_shared(what: Any, *args: Any) -> Any:
        async with perdure.open():
            return await result_of(what, *args)

    if request.param == "own":
        return on_own
    return lambda what, *args: asyncio.run(on_shared(what, *args))


def test_no_step_sees_what_another_one_set(execute: Any) -> None:
    assert execute(paints) == ["none"] * 4
    assert execute(paints_side_by_side) == ["none"] * 4


def test_every_step_has_its_own_context(execute: Any) -> None:
    assert execute(tells_steps) == list(range(6))


def test_a_step_that_waits_holds_up_nobody(execute: Any) -> None:
    """Also not those that are to bring what it waits for, and that stand in line behind it."""
    assert execute(waits_for_a_later_step) == ["a", "b", None, None]


def test_a_step_that_waits_keeps_its_task(execute: Any) -> None:
    assert execute(keeps_its_task) == ["same"] * 3


def test_a_step_that_cancels_its_task_harms_no_other(
    execute: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert execute(cancels_its_task) == ["done all the same", 1, 2]
    assert "cancelled from outside" not in caplog.text


def test_a_long_row_of_short_steps_lets_others_on_the_loop_have_their_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        run = start(counts_steps, 3000)
        while run.status() is not Status.COMPLETED:
            turns += 1
            await asyncio.sleep(0)

    with perdure.open() as host:
        asyncio.run_coroutine_threadsafe(others(), host.loop).result(60)
    assert turns > 20


class Waiter:
    """An entry of a lane that waits once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_over = False
        self.task: asyncio.Task[None] | None = None

    def context(self) -> Any:
        return perdure.Context(tid="", name=self.name)


async def in_lane(cancelled_after: int) -> tuple[list[str], list[str]]:
    """What began, and what was dropped, if the runner is cancelled after so many rounds."""
    began: list[str] = []
    dropped: list[str] = []

    async def body(entry: Waiter, _args: Any, _kwargs: Any) -> None:
        began.append(entry.name)
        await asyncio.sleep(0)

    lane = Lane(asyncio.get_running_loop(), body, lambda entry: dropped.append(entry.name))
    before = asyncio.all_tasks()
    for name in "abc":
        lane.add(Waiter(name), (), {})
    for _ in range(cancelled_after):
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    return began, dropped


def test_what_stands_in_line_is_told_of_when_the_loop_is_torn_down() -> None:
    """Nothing in line is lost: it began, or it is reported."""
    for rounds in range(5):
        began, dropped = asyncio.run(in_lane(rounds))
        assert sorted(began + dropped) == ["a", "b", "c"], rounds
    assert asyncio.run(in_lane(0)) == ([], ["a", "b", "c"])
