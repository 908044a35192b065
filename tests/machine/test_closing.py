"""Leaving memory: an evicted body ends quietly, and is made anew from its journal."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perdure.core.events import EventKind
from tests.machine import bodies
from tests.machine.driver import Play, machine_of, step

HOUSE = Path(__file__).parents[2]


def test_plain_cleanup_runs_and_calls_in_it_are_refused() -> None:
    """`await refund()` in a `finally` must not start the step when a run leaves memory."""
    seen: list[str] = []

    async def body() -> None:
        try:
            await step("charge")
        finally:
            seen.append("closed")
            for refused in (lambda: step("refund"), lambda: asyncio.create_task(_idle())):
                try:
                    refused()
                except RuntimeError as error:
                    seen.append(str(error))

    play = Play(body)
    play.start()
    play.machine.close()
    assert seen[0] == "closed"
    assert "refund cannot be called while the body of body is being closed" in seen[1]
    assert "a task cannot be started" in seen[2]


async def _idle() -> None:
    await asyncio.sleep(0)


def test_closing_twice_is_fine_and_changes_nothing_durable() -> None:
    """Nothing is told to anybody: no command, no ending."""

    async def body() -> None:
        async with asyncio.timeout(5):
            await step("one")

    play = Play(body)
    play.start()
    play.machine.close()
    play.machine.close()
    assert (play.ending, play.machine.pending) == (None, {})


def test_a_closed_machine_takes_no_events() -> None:
    """An event that would be lost in it is refused; the journal brings the run back."""

    async def body() -> None:
        await step("one")

    play = Play(body)
    play.start()
    play.machine.close()
    with pytest.raises(RuntimeError, match=r"machine of run 7 \(body\) is closed; replay it"):
        play.feed(EventKind.STEP_COMPLETED, 0, "1")


def test_a_machine_that_never_started_can_be_closed() -> None:
    """Its body was never made: nothing runs."""
    machine = machine_of(bodies.BODIES["sequence"])
    machine.close()
    assert machine.ending is None


def test_tasks_are_closed_newest_first_each_in_its_context() -> None:
    """What a task started is closed before it; context variables are those of the task."""
    seen: list[object] = []
    place: contextvars.ContextVar[str] = contextvars.ContextVar("place")

    async def inner(name: str) -> None:
        token = place.set(name)
        try:
            await step(name)
        finally:
            seen.append([name, place.get()])
            place.reset(token)

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(inner("first"))
            group.create_task(inner("second"))
            await inner("body")

    play = Play(body)
    play.start()
    play.machine.close()
    assert seen == [["second", "second"], ["first", "first"], ["body", "body"]]
    assert play.machine.background_errors == []


def test_a_body_that_ignores_being_closed_is_closed_all_the_same() -> None:
    """`await` in a `finally` ignores GeneratorExit; it is asked again until it goes."""
    seen: list[int] = []

    async def body() -> None:
        for number in range(5):
            try:
                await asyncio.Event().wait()
            finally:
                seen.append(number)
                continue  # noqa: B012 - the stubbornness that is to be tested

    async def stubborn() -> None:
        try:
            await body()
        finally:
            await asyncio.Event().wait()

    play = Play(stubborn)
    play.start()
    play.machine.close()
    assert seen == [0, 1, 2, 3, 4]


def test_asynchronous_generators_are_closed_with_the_body() -> None:
    """A generator that was left in the middle is held, and ends with the machine."""
    seen: list[str] = []

    async def numbers() -> Any:
        try:
            yield 1
            yield 2
        finally:
            seen.append("generator closed")

    async def body() -> None:
        async for _ in numbers():
            break
        gc.collect()
        assert seen == []
        await step("one")

    play = Play(body)
    play.start()
    assert seen == []
    play.machine.close()
    assert seen == ["generator closed"]


def test_the_collector_does_not_end_a_waiting_task() -> None:
    """A task that nobody holds, waiting for a future that nobody else holds, goes on."""
    seen: list[object] = []

    async def background() -> None:
        await asyncio.sleep(1)
        seen.append(await step("later"))

    async def body() -> None:
        asyncio.create_task(background())
        await step("one", 1)
        await step("two", 2)

    play = Play(body)
    play.start()
    gc.collect()
    play.answer(1)
    gc.collect()
    play.answer(2)
    assert seen == [None]


def test_an_error_while_closing_is_kept_for_the_log() -> None:
    """The host goes on; the error is with the background errors."""

    async def body() -> None:
        try:
            await step("one")
        finally:
            raise SystemExit("in finally")

    play = Play(body)
    play.start()
    play.machine.close()
    assert [str(error) for error in play.machine.background_errors] == ["in finally"]


def evict_everything() -> None:
    """Play all bodies to random places, with runs dropped there and made anew, and to the end."""
    noise: list[object] = []
    sys.unraisablehook = noise.append
    for seed in range(12):
        dice = random.Random(seed)
        for name in [*bodies.BODIES, f"program_{seed}", f"program_{seed + 500}"]:
            body = bodies.find(name)
            play = Play(body)
            play.start()
            while play.ending is None and play.machine.pending:
                if dice.random() < 0.3:
                    play.machine.close()
                    play.machine = machine_of(body)
                    play.machine.replay(play.rows)
                play.answer(dice.choice(list(play.machine.pending)))
            play.machine.close()
    gc.collect()
    assert noise == [], noise


def test_eviction_and_recreation_leave_no_warnings() -> None:
    """With warnings as errors, in development mode, not one word on stderr."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.machine.test_closing"],
        capture_output=True,
        cwd=HOUSE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HOUSE / "src"), str(HOUSE)])},
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


if __name__ == "__main__":
    evict_everything()
