"""Cancelling: a run is asked to end, sees CancelledError, and may clean up."""

from __future__ import annotations

import asyncio
import threading

import pytest

from perdure import RunCancelled, Status, function, sleep, start, workflow
from tests.parts import wait_for


class Calls(list[str]):
    """What the functions below were called with, in order."""


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def note(calls):
    @function(name="note")
    async def note(text: str) -> str:
        calls.append(text)
        return text

    return note


def test_a_running_run_is_cancelled_and_its_step_stopped(host):
    """The async step that runs is cancelled too."""
    begun, stopped = threading.Event(), threading.Event()

    @function
    async def endless() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    @workflow
    async def work() -> None:
        await endless()

    handle = start(work)
    assert begun.wait(10)
    assert handle.cancel("enough")
    with pytest.raises(RunCancelled):
        handle.result(10)
    assert handle.status() is Status.CANCELLED
    assert stopped.wait(10)
    told = [entry.value for entry in handle.events() if entry.kind == "cancel_requested"]
    assert told == ["enough"]


def test_cleanup_steps_run(host, calls, note):
    """`except CancelledError` and `finally` may call functions: they are steps as any others."""

    @workflow
    async def careful() -> None:
        await note("reserve")
        try:
            await sleep("1h")
        except asyncio.CancelledError:
            await note("release")
            raise
        finally:
            await note("tidy")

    handle = start(careful)
    wait_for(lambda: handle.status() is Status.WAITING)
    handle.cancel()
    assert handle.wait(10) is Status.CANCELLED
    assert calls == ["reserve", "release", "tidy"]


def test_a_waiting_run_is_woken_to_be_cancelled(host):
    """Nobody holds it; the request brings it back at once."""

    @workflow
    async def wait_long() -> None:
        await sleep("30d")

    handle = start(wait_long)
    wait_for(lambda: handle.status() is Status.WAITING)
    assert handle.cancel()
    assert handle.wait(5) is Status.CANCELLED


def test_a_queued_run_is_cancelled_without_being_run(open_host, calls, note):
    """Nothing of it ever ran, so there is nothing to clean up."""
    begun, may_end = threading.Event(), threading.Event()

    @function
    def occupy() -> None:
        begun.set()
        may_end.wait(10)

    @workflow
    async def work() -> None:
        await note("never")

    with open_host(worker={"concurrency": 1}):
        start(occupy)
        assert begun.wait(10)
        handle = start(work)
        assert handle.status() is Status.QUEUED
        assert handle.cancel()
        assert handle.status() is Status.CANCELLED
        with pytest.raises(RunCancelled):
            handle.result(5)
        may_end.set()
    assert calls == []


def test_a_body_may_refuse_to_end(host, note, calls):
    """It catches the request and completes: the result counts. A second request changes nothing."""
    asked = threading.Event()

    @function
    async def hold() -> None:
        asked.set()
        await asyncio.sleep(0.05)

    @workflow
    async def stubborn() -> str:
        try:
            await sleep("1h")
        except asyncio.CancelledError:
            await hold()
            return "finished anyway"
        return "slept"

    handle = start(stubborn)
    wait_for(lambda: handle.status() is Status.WAITING)
    assert handle.cancel()
    assert asked.wait(10)
    assert handle.cancel()
    assert handle.result(10) == "finished anyway"


def test_shield_lets_a_step_finish(host, note, calls):
    """`asyncio.shield` protects what must not be stopped; the cleanup waits for it."""
    begun, may_end = threading.Event(), threading.Event()

    @function
    def pay() -> str:
        begun.set()
        may_end.wait(10)
        return "paid"

    @workflow
    async def work() -> str:
        paying = asyncio.ensure_future(pay.step())
        try:
            return await asyncio.shield(paying)
        except asyncio.CancelledError:
            await note(await paying)
            raise

    handle = start(work)
    assert begun.wait(10)
    handle.cancel()
    wait_for(lambda: any(e.kind == "cancel_requested" for e in handle.events()))
    may_end.set()
    assert handle.wait(10) is Status.CANCELLED
    assert calls == ["paid"]


def test_a_finished_run_cannot_be_cancelled(host):
    """`cancel` says so, and the result stays."""

    @workflow
    async def quick() -> int:
        return 3

    handle = start(quick)
    assert handle.result() == 3
    assert handle.cancel() is False
    assert handle.result() == 3


def test_cancelling_twice_is_one_request(host):
    """The journal has it once."""

    @workflow
    async def slow() -> None:
        try:
            await sleep("1h")
        except asyncio.CancelledError:
            await sleep("50ms")
            raise

    handle = start(slow)
    wait_for(lambda: handle.status() is Status.WAITING)
    assert handle.cancel("one")
    assert handle.cancel("two")
    assert handle.wait(10) is Status.CANCELLED
    kinds = [entry.kind for entry in handle.events()]
    assert kinds.count("cancel_requested") == 1


def test_a_plain_step_that_runs_is_left_to_its_thread(host, caplog):
    """A thread cannot be stopped: the run ends, the late outcome is not recorded."""
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    @function
    def stubborn() -> str:
        begun.set()
        release.wait(10)
        ended.set()
        return "late"

    @workflow
    async def work() -> str:
        return await stubborn.step()

    handle = start(work)
    assert begun.wait(10)
    handle.cancel()
    assert handle.wait(10) is Status.CANCELLED
    rows = len(list(handle.events()))
    release.set()
    assert ended.wait(10)
    assert len(list(handle.events())) == rows
    assert "its thread goes on" in caplog.text
