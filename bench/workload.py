"""What is run while it is measured: functions and workflows that do next to nothing."""

from __future__ import annotations

import asyncio
import os
import time
from queue import SimpleQueue

from perdure import function, sleep, workflow

GATE = "gate"
"""A file in the project's folder: where it is, `wait_at_gate` goes on."""
arrivals: SimpleQueue[int] = SimpleQueue()
"""When executions of `wait_at_gate` in this process began (ns, as `tell_time`)."""
LOG = "steps.log"
"""A file in the project's folder: a line for every execution of a logged step."""


@function
async def add_one(number: int) -> int:
    """A step without work: what it costs is what Perdure costs."""
    return number + 1


@workflow
async def count(steps: int) -> int:
    """A sequence of steps, each with the outcome of the one before."""
    number = 0
    for _ in range(steps):
        number = await add_one(number)
    return number


@function
async def note(word: str) -> None:
    """Write down, outside the journal, that this was executed."""
    log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, f"{word}\n".encode())
    os.close(log)


@function
async def tell_time() -> int:
    """When this was executed: ns of the clock that all processes share."""
    return time.monotonic_ns()


@workflow
async def sleep_an_hour() -> None:
    await sleep("1h")


@function
async def wait_at_gate() -> None:
    """Wait until the gate is open."""
    arrivals.put(time.monotonic_ns())
    await _gate.is_open()


@workflow
async def pass_gate() -> int:
    """One recorded step, one that waits, one after it."""
    await note("before")
    await wait_at_gate()
    await note("after")
    return 1


@workflow
async def count_to_gate(steps: int) -> int:
    """Many recorded steps, then one that waits."""
    number = 0
    for _ in range(steps):
        number = await add_one(number)
    await wait_at_gate()
    return number


class _Gate:
    """One look at the file for all who wait, so that thousands can."""

    def __init__(self) -> None:
        self._watch: asyncio.Task[None] | None = None

    async def is_open(self) -> None:
        if self._is_there():
            return
        if self._watch is None:
            self._watch = asyncio.create_task(self._look())
        await asyncio.shield(self._watch)

    async def _look(self) -> None:
        while not self._is_there():
            await asyncio.sleep(0.005)

    def _is_there(self) -> bool:
        return os.path.exists(GATE)


_gate = _Gate()
