"""Durable sleep: never early, close to the moment, and no process waits for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

import perdure
from perdure import RunFailed, Status, now, sleep, start, workflow
from perdure.core.duration import parse
from tests.parts import wait_for


def waits(run) -> list[float]:
    """By how much each timer of a run fired after it was due, in seconds."""
    due = {}
    late = []
    for entry in run.events():
        if entry.kind == "timer_fired":
            late.append(entry.at.timestamp() - due[entry.ordinal])
        for command in entry.commands:
            if command["do"] == "timer":
                due[command["ordinal"]] = command["due"] / 1e6
    return late


@pytest.mark.parametrize("length", ["20ms", 0.1, timedelta(milliseconds=300), "1.2s"], ids=str)
def test_a_sleep_is_exact_and_never_early(host, length):
    """Strings, seconds and timedeltas; also below a second, and also when the run is let go of."""

    @workflow
    async def nap() -> float:
        began = now()
        await sleep(length)
        return (now() - began).total_seconds()

    wanted = parse(length) / 1e6
    handle = start(nap)
    slept = handle.result(10)
    assert wanted <= slept < wanted + 0.05
    (late,) = waits(handle)
    assert 0 <= late < 0.05


def test_sleep_until_a_moment(host):
    """An aware datetime is waited for; one that has passed is not."""

    @workflow
    async def until(moment: datetime) -> datetime:
        await sleep(moment)
        return now()

    moment = datetime.now(UTC) + timedelta(milliseconds=80)
    assert timedelta() <= start(until, moment).result(10) - moment < timedelta(milliseconds=50)
    start(until, datetime(2001, 1, 1, tzinfo=UTC)).result(10)


def test_a_naive_moment_is_refused(host):
    """Without a time zone nobody knows when it is."""

    @workflow
    async def until() -> None:
        await sleep(datetime(2030, 1, 1))

    with pytest.raises(RunFailed, match="has no time zone"):
        start(until).result(10)


def test_asyncio_sleep_is_the_same(host):
    """In a body `asyncio.sleep` is a durable timer as well."""

    @workflow
    async def nap() -> str:
        return await asyncio.sleep(0.03, "woke")

    handle = start(nap)
    assert handle.result(10) == "woke"
    assert [entry.kind for entry in handle.events()] == ["started", "timer_fired"]


def test_nobody_holds_a_run_that_sleeps(host):
    """A long sleep lets go of the run: it waits in the store, with the time when it goes on."""

    @workflow
    async def hibernate() -> None:
        await sleep("30d")

    handle = start(hibernate)
    wait_for(lambda: handle.status() is Status.WAITING)
    record = handle.record()
    assert record.worker is None
    assert record.wake_at is not None
    assert record.wake_at - record.created_at == pytest.approx(30 * 86_400e6, rel=1e-3)
    handle.cancel()


def test_a_sleep_outlives_its_host(open_host, project):
    """A host that closes hands the run back; the next one wakes it at the same moment."""

    @workflow
    async def nap() -> float:
        began = now()
        await sleep("1.5s")
        return (now() - began).total_seconds()

    with open_host():
        handle = start(nap)
        tid = handle.tid
    assert handle.status() is Status.WAITING
    with open_host():
        assert 1.5 <= perdure.get_run(tid).result(10) < 1.55


def test_many_sleeps_run_side_by_side(host):
    """Ten naps of 100 ms take as long as one."""

    @workflow
    async def crowd() -> float:
        began = now()
        await asyncio.gather(*(sleep("100ms") for _ in range(10)))
        return (now() - began).total_seconds()

    assert 0.1 <= start(crowd).result(10) < 0.15
