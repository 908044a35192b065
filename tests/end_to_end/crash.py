"""A scenario with all that a workflow can wait for, and a process that dies at a chosen commit."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from typing import Any

import perdure
from perdure import Context, StepInterrupted, function, list_runs, sleep, start, workflow
from perdure.engine import engine
from perdure.stores.sql.sqlite import SqliteDatabase, SqliteSession
from tests.end_to_end.effects import note


@function
async def effect(context: Context, value: str, seconds: float = 0) -> str:
    note(context)
    await asyncio.sleep(seconds)
    return value


@function
def plain_effect(context: Context, value: str) -> str:
    note(context)
    return value


@function(retries=["1ms", "1ms"])
async def flaky(context: Context, value: str) -> str:
    note(context)
    if context.attempt < 3:
        raise OSError(f"attempt {context.attempt}")
    return f"{value} at attempt {context.attempt}"


@function
async def failing(context: Context) -> None:
    note(context)
    raise LookupError("nothing there")


@workflow(name="crash_child")
async def child(n: int) -> int:
    total = 0
    for i in range(n):
        total += len(await effect(f"child {i}"))
    return total


@workflow(name="crash_scenario")
async def scenario() -> list[Any]:
    told: list[Any] = [await effect("first"), await flaky("flaky")]
    await sleep("5ms")
    told += await asyncio.gather(effect("left"), plain_effect.step("right"), child(2))
    try:
        async with asyncio.timeout(0.01):
            await effect("never", 3600)
    except TimeoutError:
        told.append("timed out")
    try:
        await failing()
    except LookupError as error:
        told.append(repr(error))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(effect(f"task {n}")) for n in range(3)]
    told += [task.result() for task in tasks]
    return told


@function(on_crash="fail")
async def at_most_once(context: Context) -> str:
    note(context)
    await asyncio.sleep(0.002)
    return "done"


@workflow(name="crash_once")
async def cautious() -> list[str]:
    told = [await effect("before")]
    try:
        told.append(await at_most_once())
    except StepInterrupted:
        told.append("interrupted")
    return [*told, await effect("after")]


def drive_cautious(when: str = "", commit: int = 0) -> None:
    """The same as `drive` for a step that may not be repeated."""
    _die_at(when, commit)
    with perdure.open():
        told = start(cautious, key="only").result(20)
        assert told in (["before", "done", "after"], ["before", "interrupted", "after"])


PLAIN_STEP = 4
"""The ordinal of the plain function in the scenario."""

RESULT = [
    "first",
    "flaky at attempt 3",
    "left",
    "right",
    14,
    "timed out",
    "LookupError('nothing there')",
    "task 0",
    "task 1",
    "task 2",
]


@workflow(name="crash_doomed")
async def doomed() -> None:
    await effect("reserve")
    try:
        await child_that_waits()
    except asyncio.CancelledError:
        await effect("release")
        raise


@workflow(name="crash_child_that_waits")
async def child_that_waits() -> None:
    try:
        await sleep("1h")
    finally:
        await effect("child tidies")


def drive(when: str = "", commit: int = 0, batch: int | None = None) -> None:
    """Start both runs (or find them), cancel one, and wait for both; perhaps die on the way.

    Args:
        when: "before" or "after" the commit; "" for not at all.
        commit: Which commit of this process, from 1.
        batch: At most so many runs share a commit; None: as in production.
    """
    if batch is not None:
        engine.MAX_BATCH = batch
    count = _die_at(when, commit)
    with perdure.open():
        play()
    if when == "count":
        with open("commits", "w") as file:
            file.write(str(count[0]))


def play(key: str = "only") -> None:
    """Start both runs (or find them), cancel one, and wait for all."""
    first = start(scenario, key=key)
    second = start(doomed, key=key)
    for entry in second.events(follow=True):
        if entry.kind == "step_completed":
            break
    second.cancel("enough")
    assert first.result(60) == RESULT
    assert second.wait(60) is perdure.Status.CANCELLED
    for run in list_runs():  # a child that was asked to end may end after its parent
        run.wait(60)


def sleepwalk(write: int) -> None:
    """Play, but stop before beginning this write; once continued, play on, and play once more."""
    logging.basicConfig(level=logging.WARNING)
    one_at_a_time = threading.RLock()  # nobody is left standing in a transaction
    count = 0

    def stopping(original: Any) -> Any:
        def write_or_stop(self: SqliteDatabase, verb: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal count
            with one_at_a_time:
                count += 1
                if count == write:
                    with open("stopped-in", "w") as file:
                        file.write(threading.current_thread().name)
                    # To this thread, which then does not return: a signal to the process lets it
                    # run on for a moment.
                    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
                return original(self, verb, *args, **kwargs)

        return write_or_stop

    for name in ("write", "write_alone"):
        setattr(SqliteDatabase, name, stopping(getattr(SqliteDatabase, name)))
    with perdure.open():
        play()
        assert count >= write, f"there were only {count} writes"
        play("again")


def _die_at(when: str, commit: int) -> list[int]:
    """End this process as a power cut would, at one of its commits; counts them."""
    original = SqliteSession.run
    count = [0]

    def run(self: SqliteSession, sql: str, params: Any = ()) -> int:
        # A statement outside of a transaction is one by itself.
        is_alone = not self._cursor.connection.in_transaction
        if sql != "COMMIT" and not (is_alone and sql.split()[0] in ("INSERT", "UPDATE", "DELETE")):
            return original(self, sql, params)
        count[0] += 1
        is_it = count[0] == commit
        if is_it and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        changed = original(self, sql, params)
        if is_it and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return changed

    SqliteSession.run = run
    return count
