"""linear: whether a step of a long run costs what a step of a short one does."""

from __future__ import annotations

from collections.abc import Iterator

import perdure
from bench import ground, rounds
from bench.figure import Figure
from bench.steps import timed_run


def measure(quick: bool) -> Iterator[Figure]:
    """In durability="process", where the processor is the limit: a disk would hide a slope."""
    short, long = (100, 1_000) if quick else (5_000, 50_000)
    with ground.project() as folder:
        pairs = ground.call(
            "bench.linear:race", folder, short=short, long=long, turns=1 if quick else 5
        )
    of_long, of_short, ratio = rounds.middle(pairs)
    yield Figure(
        name="linear",
        value=of_long,
        unit="steps/s",
        against=f"{of_short:,.0f} steps/s in a run of {short:,} steps, process",
        ratio=ratio,
    )


def race(short: int, long: int, turns: int) -> list[tuple[float, float]]:
    """(steps/s of the long run, of the short ones before and after it) of every round."""
    with perdure.open(durability="process"):
        timed_run(100)
        pairs: list[tuple[float, float]] = []
        for _ in range(turns):
            before = timed_run(short)
            of_long = timed_run(long)
            after = timed_run(short)
            pairs.append((long / of_long, 2 * short / (before + after)))
        return pairs
