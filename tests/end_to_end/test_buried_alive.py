"""A worker that others took for dead, although it lives: it drops what it held and goes on anew."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

import perdure
from perdure import Status, function, sleep, start, workflow
from perdure.client.connection import forget
from perdure.client.host import Host
from tests.parts import wait_for


@pytest.fixture(autouse=True)
def here(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("PERDURE_PROJECT", str(project))
    yield
    forget()


def bury(host: Host) -> None:
    """Do what another worker does that believes this one dead."""
    store = host.connection.store
    assert store.bury(host.worker.worker_id, store.now(), proven=True) is not None


@workflow(name="buried_nap")
async def nap() -> str:
    await sleep("10ms")
    return "rested"


@pytest.mark.parametrize("key", [None, "k"], ids=["without_key", "with_key"])
def test_a_start_just_after_the_burial_is_taken(key):
    """Whoever starts a run does not notice: it is stored, and executed by the worker anew."""
    with perdure.open() as host:
        bury(host)
        assert start(nap, key=key).result(20) == "rested"
        assert start(nap).result(20) == "rested"


def test_an_async_start_just_after_the_burial_is_taken():
    """Also where the start shares the next commit, and where its TID is asked for at once."""

    async def main() -> None:
        async with perdure.open() as host:
            bury(host)
            assert await start(nap) == "rested"
            bury(host)
            handle = start(nap)
            assert host.connection.store.get(int(handle.tid)) is not None
            assert await handle == "rested"

    asyncio.run(main())


def test_what_it_held_goes_on_under_the_new_name(caplog):
    """Its steps are stopped and run again under the next claim; their outcomes count once."""
    caplog.set_level(logging.WARNING, "perdure")
    begun = threading.Semaphore(0)
    may_end = threading.Event()
    attempts = []

    @function(name="buried_hold")
    def hold() -> str:
        attempts.append(1)
        begun.release()
        may_end.wait(10)
        return "held"

    @workflow(name="buried_work")
    async def work() -> str:
        return await hold.step()

    with perdure.open() as host:
        handle = start(work)
        assert begun.acquire(timeout=10)
        first = host.worker.worker_id
        bury(host)
        host.wake()
        start(nap)  # any write tells it
        wait_for(lambda: host.worker.worker_id != first)
        assert begun.acquire(timeout=10)
        may_end.set()
        assert handle.result(10) == "held"
        assert handle.status() is Status.COMPLETED
        outcomes = [entry for entry in handle.events() if entry.kind == "step_completed"]
    assert len(attempts) == 2
    assert len(outcomes) == 1
    assert "was buried; it drops what it held" in caplog.text
