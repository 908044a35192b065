"""Timeouts: a declared timeout is enforced, for async functions and for plain ones."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from perdure import RunFailed, StepTimeout, function, start, workflow
from tests.parts import wait_for


def test_an_async_function_is_cancelled(host):
    """It sees CancelledError, may clean up, and the workflow gets a StepTimeout in time."""
    cleaned = threading.Event()

    @function(timeout="50ms")
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.set()

    @workflow
    async def ask() -> str:
        try:
            await slow()
        except TimeoutError as error:
            return f"{type(error).__name__}: {error}"
        return "no timeout"

    # It sleeps for a minute: only a timeout that is enforced is told within ten seconds.
    assert start(ask).result(10) == "StepTimeout: slow() ran longer than its timeout of 50ms"
    assert cleaned.is_set()


def test_a_plain_function_is_abandoned_and_its_late_result_refused(host, caplog):
    """Its thread cannot be stopped, so it is given up; what it returns later changes nothing."""
    caplog.set_level(logging.WARNING, "perdure")
    release = threading.Event()
    returned = threading.Event()

    @function(timeout="50ms")
    def stubborn() -> str:
        release.wait(10)
        returned.set()
        return "late"

    @workflow
    async def ask() -> str:
        try:
            return await stubborn.step()
        except StepTimeout:
            return "gave up"

    handle = start(ask)
    assert handle.result(10) == "gave up"
    rows = [entry.as_json() for entry in handle.events()]
    release.set()
    assert returned.wait(10)
    wait_for(lambda: "ended after it was abandoned; its outcome is refused" in caplog.text)
    assert [entry.as_json() for entry in handle.events()] == rows
    assert handle.result() == "gave up"


def test_a_timeout_counts_each_attempt(host):
    """An attempt that timed out is retried as any other failed one."""
    attempts = []

    @function(timeout="50ms", retries=[0])
    async def slow_at_first() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            await asyncio.sleep(60)
        return len(attempts)

    @workflow
    async def ask() -> int:
        return await slow_at_first()

    assert start(ask).result(10) == 2


def test_a_function_that_ignores_its_cancellation_is_given_up(host, monkeypatch):
    """After a grace the attempt is abandoned, whatever it does."""
    monkeypatch.setattr("perdure.engine.steps.CANCEL_GRACE_SECONDS", 0.1)
    release = threading.Event()

    @function(timeout="50ms")
    async def deaf() -> str:
        while not release.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                pass
        return "late"

    @workflow
    async def ask() -> str:
        try:
            return await deaf()
        except StepTimeout:
            return "gave up"

    try:
        assert start(ask).result(10) == "gave up"
    finally:
        release.set()


def test_asyncio_timeout_in_a_workflow_is_durable(host):
    """`asyncio.timeout` around a step ends the wait for it, and the step is stopped."""
    stopped = threading.Event()

    @function
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    @workflow
    async def ask() -> str:
        try:
            async with asyncio.timeout(0.05):
                await slow()
        except TimeoutError:
            return "too slow"
        return "in time"

    assert start(ask).result(10) == "too slow"
    assert stopped.wait(10)


def test_a_timeout_of_nothing_is_refused():
    """What cannot be kept is refused at declaration, with the value."""
    from perdure.core.errors import DeclarationError

    with pytest.raises(DeclarationError, match="timeout=0"):
        function(name="never", timeout=0)(lambda: None)


def test_waiting_for_a_thread_is_not_counted(open_host):
    """A plain function's time begins when its body does, however many stand before it."""
    turn = threading.Semaphore(1)

    @function(timeout="500ms")
    def queue(n: int) -> int:
        assert turn.acquire(blocking=False)
        time.sleep(0.2)
        turn.release()
        return n

    @workflow
    async def crowd() -> list[int]:
        return await asyncio.gather(*(queue.step(n) for n in range(4)))

    with open_host(worker={"threads": 1}):
        assert start(crowd).result(10) == [0, 1, 2, 3]


def test_an_async_function_that_blocks_past_its_timeout_has_timed_out(host):
    """Nothing can interrupt code that does not await; what it returns too late is refused."""

    @function(name="blocks_too_long", timeout="50ms")
    async def blocks() -> str:
        import time

        time.sleep(0.2)
        return "too late"

    with pytest.raises(RunFailed) as caught:
        start(blocks).result("10s")
    assert isinstance(caught.value.__cause__, StepTimeout)
