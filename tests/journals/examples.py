"""Workflows whose journals are kept: every kind of event and command, every wait of asyncio.

A committed journal must be replayed by every later version of Perdure, so nothing here is changed
once a journal of it is committed; add new examples instead.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from perdure import Context, function, now, random, sleep, uuid4, workflow


@dataclass
class Parcel:
    item: str
    price: Decimal
    sent: datetime


@function(name="journal_echo")
async def echo(value: Any, seconds: float = 0) -> Any:
    await asyncio.sleep(seconds)
    return value


@function(name="journal_plain")
def plain(value: int) -> int:
    return value * 2


@function(name="journal_flaky", retries=["1ms", "1ms"])
async def flaky(context: Context) -> int:
    if context.attempt < 3:
        raise OSError(f"attempt {context.attempt}")
    return context.attempt


@function(name="journal_failing")
async def failing(text: str) -> None:
    raise LookupError(text)


@function(name="journal_once", on_crash="fail")
async def once(value: int) -> int:
    return value


@function(name="journal_ship")
async def ship(parcel: Parcel) -> Parcel:
    return Parcel(parcel.item, parcel.price * 2, parcel.sent + timedelta(days=1))


@workflow(name="journal_steps")
async def steps(start: int) -> list[Any]:
    told: list[Any] = [await echo(start), await plain.step(start), await flaky(), await once(start)]
    try:
        await failing("nothing there")
    except LookupError as error:
        told.append(str(error))
    await sleep("2ms")
    told.append(await echo.options(key="named")({"a": [1, None, "ä"]}))
    return told


@workflow(name="journal_chance")
async def chance() -> list[Any]:
    return [
        await echo(now()),
        await echo(random().randint(1, 10**9)),
        await echo(uuid4()),
        await asyncio.sleep(0.001, "slept"),
        await echo((now(), random().random())),
    ]


@workflow(name="journal_together")
async def together() -> list[Any]:
    told: list[Any] = list(await asyncio.gather(echo(1, 0.004), echo(2), sleep("2ms")))
    found = await asyncio.gather(failing("one"), echo(3), return_exceptions=True)
    told += [repr(one) for one in found]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(echo(n)) for n in range(3)]
    told += [task.result() for task in tasks]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(echo("never", 60))
            group.create_task(failing("two"))
    except* LookupError as errors:
        told.append(str(errors.exceptions[0]))
    for seconds, patience in ((60, 0.002), (0, 60)):
        try:
            told.append(await asyncio.wait_for(echo(seconds, seconds), patience))
        except TimeoutError:
            told.append("timeout")
    runners = [asyncio.ensure_future(echo(n, 60 * n)) for n in range(2)]
    done, rest = await asyncio.wait(runners, return_when=asyncio.FIRST_COMPLETED)
    for runner in rest:
        runner.cancel()
    told += [runner.result() for runner in done]
    told += [await one for one in asyncio.as_completed([echo("b", 0.004), echo("a")])]
    return told


@workflow(name="journal_tools")
async def tools() -> list[Any]:
    two = asyncio.Semaphore(2)
    lock = asyncio.Lock()
    ready = asyncio.Event()
    changed = asyncio.Condition()
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    told: list[Any] = []

    async def work(n: int) -> None:
        async with two:
            await ready.wait()
            value = await echo(n)
        async with lock:
            told.append(await echo(-value))
        async with changed:
            changed.notify_all()
        await queue.put(n)

    async def collect() -> list[int]:
        return [await queue.get() for _ in range(4)]

    async with asyncio.TaskGroup() as group:
        for n in range(4):
            group.create_task(work(n))
        collected = group.create_task(collect())
        ready.set()
        async with changed:
            await changed.wait_for(lambda: len(told) >= 2)
    return [sorted(told), sorted(collected.result())]


@workflow(name="journal_child")
async def child(n: int) -> int:
    if n < 0:
        raise ValueError(f"{n} is below zero")
    return await plain.step(n)


@workflow(name="journal_family")
async def family() -> list[Any]:
    told: list[Any] = [await child(1), *await asyncio.gather(child(2), child(2))]
    try:
        await child(-1)
    except ValueError as error:
        told.append(str(error))
    return told


@workflow(name="journal_values")
async def values(parcel: Parcel, *rest: int, mark: str = "!") -> tuple[Parcel, Any]:
    sent = await ship(parcel)
    odd = await echo(
        {"set": {3, 1, 2}, "bytes": b"\x00\xff", "tuple": (1, (2,)), 5: 1.5, "r": rest}
    )
    return sent, [odd, mark]


@workflow(name="journal_doomed")
async def doomed() -> None:
    await echo("reserve")
    try:
        await asyncio.gather(sleep("1h"), echo("hold", 3600))
    except asyncio.CancelledError:
        await asyncio.shield(echo("release"))
        raise
    finally:
        await echo("tidy")


@workflow(name="journal_lost")
async def lost() -> None:
    await echo("something")
    raise LookupError("lost for good")


@workflow(name="journal_waiting")
async def waiting() -> None:
    await echo("before")
    await sleep("365d")


PARCEL = Parcel("book", Decimal("12.50"), datetime(2026, 3, 29, 1, 59, tzinfo=UTC))

EXAMPLES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "steps": (steps, (20,)),
    "chance": (chance, ()),
    "together": (together, ()),
    "tools": (tools, ()),
    "family": (family, ()),
    "values": (values, (PARCEL, 1, 2)),
    "doomed": (doomed, ()),
    "lost": (lost, ()),
    "waiting": (waiting, ()),
    "function": (plain, (21,)),
}
"""Each journal's file, the code that wrote it, and its arguments."""
