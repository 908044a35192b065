"""The machine inside of a host: whatever runs around it is as it was before."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import Any

from perdure.machine import Machine, current
from tests.machine.driver import Play, step


def test_a_machine_is_activated_from_a_callback_of_a_host_loop() -> None:
    """The host's loop, its generator hooks and its tasks are there again after each event."""
    plays: list[Play] = []

    async def body() -> object:
        inside.append(current())
        async with asyncio.timeout(10):
            return await step("one", 1)

    inside: list[Machine | None] = []

    async def host() -> None:
        loop, hooks = asyncio.get_running_loop(), sys.get_asyncgen_hooks()
        turned = loop.create_future()

        def turn() -> None:
            play = Play(body)
            play.start()
            assert current() is None
            assert asyncio.get_running_loop() is loop
            assert sys.get_asyncgen_hooks() == hooks
            play.answer(1)
            plays.append(play)
            turned.set_result(None)

        loop.call_soon(turn)
        await turned
        assert current() is None

    asyncio.run(host())
    assert plays[0].result == 1
    assert inside == [plays[0].machine]


def test_a_machine_runs_without_any_host_loop() -> None:
    """A plain script can activate it; afterwards no loop is running."""

    async def body() -> object:
        return await step("one", 2)

    assert Play(body).start()
    assert asyncio._get_running_loop() is None


def test_the_body_starts_with_an_empty_context() -> None:
    """What the host has in its context variables must not decide what the body does."""
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")
    user.set("host")

    async def body() -> object:
        before = user.get()
        user.set("body")
        await step("one")
        return [before, user.get(), await asyncio.create_task(_get(user))]

    play = Play(body)
    play.start()
    assert play.answer_all().result == ["nobody", "body", "body"]
    assert user.get() == "host"


async def _get(variable: contextvars.ContextVar[Any]) -> Any:
    return variable.get()


def test_the_body_runs_in_the_context_that_it_was_given() -> None:
    """The author layer can put its own variables there; what the body sets stays there."""
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")
    given = contextvars.Context()
    given.run(user.set, "given")

    async def body() -> object:
        seen = user.get()
        user.set("changed")
        return seen

    play = Play(body, context=given)
    play.start()
    assert play.result == "given"
    assert given.run(user.get) == "changed"


def test_tasks_have_names_of_their_own() -> None:
    """Names count from 1 in every run, whatever the host has started."""

    async def body() -> object:
        main = asyncio.current_task()
        assert main is not None
        named = asyncio.create_task(_idle(), name="mine")
        other = asyncio.create_task(_idle())
        await asyncio.gather(named, other)
        return [main.get_name(), named.get_name(), other.get_name()]

    for _ in range(2):
        play = Play(body)
        play.start()
        assert play.result == ["Task-1", "mine", "Task-3"]


async def _idle() -> None:
    await asyncio.sleep(0)


def test_machines_do_not_disturb_each_other() -> None:
    """Two runs, activated in turns, each with its own loop, tasks and calls."""

    async def body() -> object:
        return [await step("one", number) for number in range(3)]

    first, second = Play(body, tid=1), Play(body, tid=2)
    first.start()
    second.start()
    for ordinal in range(3):
        first.answer(ordinal)
        second.answer(ordinal)
    assert first.result == second.result == [0, 1, 2]
