"""Runs by the hundred, and workers that execute them until they are killed."""

from __future__ import annotations

import asyncio
import logging
import signal

import perdure
from perdure import Context, function, start, workflow
from perdure.client import start as starting
from tests.end_to_end.effects import note


@function(retries=["1ms", "1ms", "1ms"])
async def spin(context: Context, n: int) -> int:
    note(context)
    await asyncio.sleep(0.005 * (n % 4))
    if context.attempt == 1 and n % 5 == 0:
        raise OSError("once")
    return n


@function
def grind(context: Context, n: int) -> int:
    note(context)
    return n * n


@workflow(name="load_leaf")
async def leaf(n: int) -> int:
    return await spin(n) + await grind.step(n)


@workflow(name="load_run")
async def busy(n: int) -> int:
    total = await spin(n)
    await asyncio.sleep(0.01)
    total += sum(await asyncio.gather(*(grind.step(n + i) for i in range(3))))
    if n % 4 == 0:
        total += await leaf(n)
    return total


def answer(n: int) -> int:
    """What `busy(n)` returns."""
    return n + sum((n + i) ** 2 for i in range(3)) + (n + n * n if n % 4 == 0 else 0)


def submit(count: int) -> None:
    """Store runs with keys, for whoever executes them."""
    # Nobody hosts here, and the project's background worker would not die as the others do.
    starting.ensure_served = lambda *_: False
    for n in range(count):
        start(busy, n, key=f"load-{n}")


def work() -> None:
    """Execute runs until killed."""
    logging.basicConfig(level=logging.WARNING)
    with perdure.open(worker={"concurrency": 20}):
        signal.pause()
