"""steps-full, steps-process: one sequential run of 10,000 steps, to raw commits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import perdure
from bench import ground, rounds
from bench.figure import Figure
from bench.raw import RawCommits
from bench.workload import count
from perdure import start


def measure_full(quick: bool) -> Iterator[Figure]:
    """Every commit waits for the disk."""
    yield _measure("full", steps=100 if quick else 10_000, turns=2 if quick else 5)


def measure_process(quick: bool) -> Iterator[Figure]:
    """No commit waits for the disk: what is left is the work of the processor."""
    yield _measure("process", steps=100 if quick else 10_000, turns=2 if quick else 9)


def _measure(durability: str, *, steps: int, turns: int) -> Figure:
    with ground.project() as folder:
        pairs = ground.call(
            "bench.steps:race", folder, durability=durability, steps=steps, turns=turns
        )
    ours, raw, ratio = rounds.middle(pairs)
    return Figure(
        name=f"steps-{durability}",
        value=ours,
        unit="steps/s",
        against=f"{raw:,.0f} raw commits/s, {durability}",
        ratio=ratio,
    )


def race(durability: str, steps: int, turns: int) -> list[tuple[float, float]]:
    """(steps/s, raw commits/s) of every round."""
    raw = RawCommits(Path.cwd(), durability)
    with perdure.open(durability=durability):
        start(count, 100).result()
        raw.commit(100)
        return rounds.alternate(
            lambda: steps / timed_run(steps), lambda: steps / raw.commit(steps), turns
        )


def timed_run(steps: int) -> float:
    """Seconds from the start of a run of so many steps to its result."""
    began = time.perf_counter()
    result = start(count, steps).result()
    seconds = time.perf_counter() - began
    if result != steps:
        raise RuntimeError(f"a run of {steps} steps returned {result!r}")
    return seconds
