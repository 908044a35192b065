"""Bodies of async steps share a task only as long as none of them can notice."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import weakref
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


class Incomparable:
    """Like an array: asked whether it equals another, it raises."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value of this is ambiguous")

    __hash__ = None  # type: ignore[assignment]


thing: contextvars.ContextVar[Any] = contextvars.ContextVar("thing")
kept: dict[Any, int | None] = {}


@function
async def replace_thing() -> None:
    thing.set(Incomparable())


@function
async def take_thing() -> bool:
    return thing.get() is HOSTS


HOSTS = Incomparable()


@function
async def file_task_away() -> int | None:
    """As what keeps a session per task does; returns whose task it was before."""
    task = asyncio.current_task()
    before = kept.get(task)
    kept[task] = get_context().step
    return before


@function
async def file_task_away_weakly() -> int | None:
    task = asyncio.current_task()
    before = weakly_kept.get(task)
    weakly_kept[task] = get_context().step
    return before


weakly_kept: weakref.WeakKeyDictionary[Any, int | None] = weakref.WeakKeyDictionary()


@function
async def rename_task() -> str:
    task = asyncio.current_task()
    assert task is not None
    before = task.get_name()
    task.set_name("mine")
    return before


@function
async def cancel_and_take_back() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    task.uncancel()


@function
async def cancel_later() -> None:
    """A time-out made by hand that is not taken back: it hits what has the task by then."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(0.05, task.cancel)


@function
async def outlive_the_cancel() -> str:
    await asyncio.sleep(0.15)
    return "fine"


@workflow
async def replaces_thing() -> list[bool | None]:
    return list(await asyncio.gather(replace_thing(), take_thing(), replace_thing(), take_thing()))


@workflow
async def files_tasks_away() -> list[list[int | None]]:
    strong = await asyncio.gather(*(file_task_away() for _ in range(3)))
    weak = await asyncio.gather(*(file_task_away_weakly() for _ in range(3)))
    return [list(strong), list(weak)]


@workflow
async def renames_tasks() -> list[str]:
    return list(await asyncio.gather(*(rename_task() for _ in range(3))))


@workflow
async def takes_cancels_back() -> list[str | None]:
    return list(await asyncio.gather(cancel_and_take_back(), outlive_the_cancel()))


@workflow
async def cancels_later() -> list[str | None]:
    return list(await asyncio.gather(cancel_later(), outlive_the_cancel()))


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


def test_what_steps_keep_in_contextvars_is_never_compared() -> None:
    """It may not be comparable; and what is equal is not the same."""

    async def main() -> list[bool | None]:
        thing.set(HOSTS)
        async with perdure.open():
            result: list[bool | None] = await result_of(replaces_thing)
            return result

    assert asyncio.run(main()) == [None, True, None, True]


def test_who_keeps_something_by_task_finds_nothing_of_others(execute: Any) -> None:
    assert execute(files_tasks_away) == [[None] * 3, [None] * 3]


def test_the_name_that_a_step_gives_its_task_is_gone_with_it(execute: Any) -> None:
    assert "mine" not in execute(renames_tasks)


def test_a_cancel_hits_nobody_but_the_step_that_asked_for_it(
    execute: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Taken back at once, or coming when the step is long over."""
    assert execute(takes_cancels_back) == [None, "fine"]
    assert execute(cancels_later) == [None, "fine"]
    assert "cancelled from outside" not in caplog.text


@pytest.mark.parametrize("kind", ["plain", "eager"])
def test_a_task_factory_of_the_application_does_not_matter(kind: str) -> None:
    if kind == "eager" and sys.version_info < (3, 12):
        pytest.skip("eager tasks are new in 3.12")

    def plain(loop: Any, coro: Any) -> asyncio.Task[Any]:  # as factories were written before 3.11
        return asyncio.Task(coro, loop=loop)

    async def main() -> Any:
        factory = plain if kind == "plain" else vars(asyncio)["eager_task_factory"]
        async with perdure.open():
            asyncio.get_running_loop().set_task_factory(factory)
            return await result_of(tells_steps)

    assert asyncio.run(main()) == list(range(6))


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
