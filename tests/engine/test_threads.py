"""A thread that is given up has its place taken by another one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import perdure
from perdure import function, start, workflow
from perdure.engine.threads import Threads

release = threading.Event()
hanging = threading.Event()


@function(timeout="200ms", retries=0)
def hangs_in_thread() -> int:
    hanging.set()
    release.wait(30)
    return 1


@function
def at_once() -> int:
    return 2


@workflow
async def outlives_a_hang() -> int:
    try:
        return await hangs_in_thread.step()
    except perdure.StepTimeout:
        return -1


@workflow
async def calls_at_once() -> int:
    return await at_once.step()


@pytest.fixture(autouse=True)
def _released() -> object:
    release.clear()
    hanging.clear()
    yield
    release.set()


def test_a_queued_call_gets_the_place_of_an_abandoned_one() -> None:
    """With one thread and a call behind the one that hangs, giving up starts another thread."""
    threads = Threads(1)
    began, done = threading.Event(), threading.Event()

    def block() -> None:
        began.set()
        release.wait(30)

    stuck = threads.submit(block)
    assert began.wait(10)
    threads.submit(done.set)
    assert not done.is_set()
    assert threads.abandon(stuck)
    assert done.wait(10)
    assert threads.abandoned == 1


def test_a_call_that_never_began_is_taken_back() -> None:
    """Abandoning a queued call loses no thread, and the call is never made."""
    threads = Threads(1)
    began, done, never = threading.Event(), threading.Event(), threading.Event()

    def block() -> None:
        began.set()
        release.wait(30)

    threads.submit(block)
    assert began.wait(10)
    queued = threads.submit(never.set)
    last = threads.submit(done.set)
    assert not threads.abandon(queued)
    assert threads.abandoned == 0
    release.set()
    assert done.wait(10)
    assert not never.is_set()
    assert not threads.abandon(last)


def test_a_thread_that_comes_back_counts_no_more() -> None:
    """An abandoned call that ends after all frees its thread: the limit holds again."""
    threads = Threads(1)
    began, over = threading.Event(), threading.Event()
    mine: list[threading.Thread] = []

    def block() -> None:
        mine.append(threading.current_thread())
        began.set()
        release.wait(30)

    stuck = threads.submit(block)
    assert began.wait(10)
    threads.abandon(stuck)
    release.set()
    mine[0].join(10)
    assert not mine[0].is_alive()
    assert threads.abandoned == 0
    threads.submit(over.set)
    assert over.wait(10)


def test_a_step_that_hangs_does_not_hold_up_the_next_run(project: Path) -> None:
    """Threads = 1: a step hangs past its timeout, and the plain step queued behind it runs."""
    with perdure.open(store="memory:", worker={"threads": 1}):
        first = start(outlives_a_hang)
        assert hanging.wait(10)
        second = start(calls_at_once)
        assert first.result(10) == -1
        assert second.result(10) == 2
        release.set()
