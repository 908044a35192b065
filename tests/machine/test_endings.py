"""How a body ends: with a value, an error, a cancellation; and what becomes of the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.core.errors import EncodingError
from perdure.core.events import Cancel, Cancelled, Complete, Fail
from perdure.machine import Machine
from tests.machine.driver import Play, encode_error, step
from tests.machine.test_calls import names


def test_a_returned_value_is_the_output() -> None:
    """The ending carries the encoded result, and stays on the machine."""

    async def body() -> object:
        return {"a": 1}

    play = Play(body)
    assert play.start() == [Complete(output='{"a": 1}')]
    assert play.ending == Complete(output='{"a": 1}')


def test_a_result_that_cannot_be_written_down_fails_the_run() -> None:
    """The run fails with the encoder's own error, the worker goes on."""

    def refuse(value: object) -> str:
        raise EncodingError("result is an object(); return JSON", path="result")

    async def body() -> object:
        return object()

    machine = Machine(1, "body", body, encode_result=refuse, encode_error=encode_error)
    play = Play(body)
    play.machine = machine
    assert play.start() == [Fail(error="EncodingError: result is an object(); return JSON")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException])
@pytest.mark.parametrize("where", ["at once", "after a step", "in a task"])
def test_whatever_is_raised_fails_the_run_and_not_the_host(
    error: type[BaseException], where: str
) -> None:
    """sys.exit() in a body, or in a task of it, is the end of the run alone."""

    async def fail() -> None:
        raise error("out")

    async def body() -> None:
        if where != "at once":
            await step("one")
        if where == "in a task":
            task = asyncio.create_task(fail())
            await step("two")
            await task
        raise error("out")

    play = Play(body)
    play.start()
    while play.ending is None:
        play.answer(next(iter(play.machine.pending)))
    assert play.ending == Fail(error=f"{error.__name__}: out")


def test_a_body_that_cannot_even_be_called_fails_the_run() -> None:
    """An error while the coroutine is made (a wrong signature) is an error of the run."""

    def body() -> Any:
        raise TypeError("body() missing 1 required positional argument")

    assert names(Play(body).start()) == ["fail"]


def test_a_cancel_request_raises_cancelled_error_in_the_body() -> None:
    """What the body waits for is withdrawn, the reason is in the error, the run is cancelled."""
    seen: list[object] = []

    async def body() -> None:
        try:
            await step("slow")
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise

    play = Play(body)
    play.start()
    assert play.cancel("too late") == [Cancel(0), Cancelled()]
    assert seen == [("too late",)]


def test_cleanup_after_a_cancel_request_may_call_steps() -> None:
    """The request is delivered once: the cleanup runs in peace, even if it is asked again."""

    async def body() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await step("refund")
            await asyncio.sleep(1)
            await step("tell")
            raise

    play = Play(body)
    play.start()
    assert names(play.cancel()) == ["cancel 0", "step 1 refund"]
    assert play.cancel("again") == []
    assert play.answer_all().ending == Cancelled()


def test_a_body_may_refuse_to_be_cancelled() -> None:
    """A body that catches the cancellation and returns has completed."""

    async def body() -> object:
        try:
            await step("slow")
        except asyncio.CancelledError:
            return "finished anyway"
        return None

    play = Play(body)
    play.start()
    play.cancel(None)
    assert play.result == "finished anyway"


def test_cancelled_error_without_a_request_is_a_failure() -> None:
    """Nobody asked the run to end: a stray CancelledError is an error like any other."""

    async def body() -> None:
        task = asyncio.create_task(step("never"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        await task

    assert names(Play(body).start()) == ["fail"]


def test_calls_that_are_open_at_the_end_are_cancelled_before_the_ending() -> None:
    """Steps and children get a Cancel, timers end with the run, unmade calls are not told."""

    async def body() -> object:
        background = [asyncio.create_task(_hold(number)) for number in range(3)]
        asyncio.create_task(asyncio.sleep(100))
        await step("one")
        step("too late")
        asyncio.create_task(_hold(9))
        return len(background)

    play = Play(body)
    assert names(play.start()) == [
        "step 0 one",
        "step 1 hold",
        "step 2 hold",
        "step 3 hold",
        "timer 4",
    ]
    assert names(play.answer(0)) == ["cancel 1", "cancel 2", "cancel 3", "complete"]
    assert play.machine.pending == {}


async def _hold(number: int) -> None:
    await step("hold", number)


def test_tasks_that_are_open_at_the_end_are_closed_quietly() -> None:
    """Their plain `finally` runs, a call in it is refused, and nothing of it is an error."""
    seen: list[str] = []

    async def background() -> None:
        try:
            await step("slow")
        finally:
            seen.append("closed")
            try:
                await step("cleanup")
            except RuntimeError as error:
                seen.append(str(error))

    async def body() -> None:
        asyncio.create_task(background())
        await step("one")

    play = Play(body)
    play.start()
    assert names(play.answer(0)) == ["cancel 1", "complete"]
    assert seen[0] == "closed"
    assert "has ended; await what it started" in seen[1]


def test_the_rest_of_the_turn_does_not_run_after_the_end() -> None:
    """A task that never waits for anything cannot keep a finished run alive."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(0)

    async def body() -> object:
        asyncio.create_task(beat())
        for _ in range(10):
            await asyncio.sleep(0)
        return "done"

    assert Play(body).start() == [Complete(output='"done"')]


def test_a_loop_that_waits_for_nothing_fails_the_run() -> None:
    """`while True: await sleep(0)` would hang the host; it is named instead."""

    async def spins() -> None:
        await step("one")
        while True:
            await asyncio.sleep(0)

    play = Play(spins, max_handles=1000)
    play.start()
    (ending,) = play.answer(0)
    assert isinstance(ending, Fail)
    assert "spins ran 1,000 callbacks in a row" in ending.error
    assert "asyncio.sleep(0)" in ending.error


def test_a_large_fan_out_is_not_a_loop_that_waits_for_nothing() -> None:
    """The budget counts callbacks between two calls, not the calls."""

    async def body() -> object:
        async def one(number: int) -> object:
            return await step("one", number)

        return len(await asyncio.gather(*(one(number) for number in range(1000))))

    play = Play(body, max_handles=100)
    assert len(play.start()) == 1000
    play.machine.max_handles = 100_000
    assert play.answer_all().result == 1000


def test_errors_that_nobody_awaited_are_collected() -> None:
    """They do not end the run and make no noise; the engine logs them."""

    async def fails(what: str) -> None:
        await step(what)
        raise ValueError(what)

    async def body() -> object:
        kept = asyncio.create_task(fails("kept"))
        asyncio.create_task(fails("dropped"))
        asyncio.get_running_loop().call_soon(_divide)
        await step("last")
        return repr(kept.done())

    play = Play(body)
    play.start()
    for ordinal in (1, 2, 0):
        play.answer(ordinal)
    errors = play.machine.background_errors
    assert sorted(type(error).__name__ for error in errors) == [
        "ValueError",
        "ValueError",
        "ZeroDivisionError",
    ]


def _divide() -> None:
    1 / 0  # noqa: B018
