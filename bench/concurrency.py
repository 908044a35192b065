"""concurrent-50: short runs, 50 in flight, whose turns share commits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import perdure
from bench import ground, rounds
from bench.figure import Figure
from bench.raw import RawCommits
from bench.workload import count
from perdure import start

IN_FLIGHT = 50


def measure(quick: bool) -> Iterator[Figure]:
    """On a loop that belongs to the host, and (`/shared`) on one that belongs to the application."""
    for loop in ("own", "shared"):
        with ground.project() as folder:
            pairs = ground.call(
                f"bench.concurrency:race_on_{loop}_loop",
                folder,
                runs=200 if quick else 5_000,
                turns=1 if quick else 7,
            )
        ours, raw, ratio = rounds.middle(pairs)
        yield Figure(
            name="concurrent-50" if loop == "own" else "concurrent-50/shared",
            value=ours,
            unit="runs/s",
            against=f"{raw:,.0f} raw commits/s, full",
            ratio=ratio,
        )


def race_on_own_loop(runs: int, turns: int) -> list[tuple[float, float]]:
    """(runs/s, raw commits/s) of every round: coroutines on the loop of `with perdure.open()`."""
    with perdure.open() as host:

        def ours() -> float:
            return asyncio.run_coroutine_threadsafe(keep_in_flight(runs), host.loop).result()

        return _race(ours, runs, turns)


def race_on_shared_loop(runs: int, turns: int) -> list[tuple[float, float]]:
    """The same in `async with perdure.open()`."""

    async def hosted() -> float:
        async with perdure.open():
            await keep_in_flight(IN_FLIGHT)
            return await keep_in_flight(runs)

    return _race(lambda: asyncio.run(hosted()), runs, turns)


def _race(ours: Callable[[], float], runs: int, turns: int) -> list[tuple[float, float]]:
    raw = RawCommits(Path.cwd(), "full")
    ours()
    raw.commit(100)
    return rounds.alternate(lambda: runs / ours(), lambda: runs / raw.commit(runs), turns)


async def keep_in_flight(runs: int) -> float:
    """Execute so many runs of one step, always `IN_FLIGHT` at once; seconds."""
    left = iter(range(runs))

    async def one_after_the_other() -> None:
        for _ in left:
            if await start(count, 1) != 1:
                raise RuntimeError("a run of one step returned something else than 1")

    began = time.perf_counter()
    async with asyncio.TaskGroup() as lanes:
        for _ in range(IN_FLIGHT):
            lanes.create_task(one_after_the_other())
    return time.perf_counter() - began
