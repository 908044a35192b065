"""cpu-per-step: what a step costs the processor, the whole process counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import perdure
from bench import ground, rounds
from bench.figure import Figure
from bench.raw import RawCommits
from bench.steps import timed_run


def measure(quick: bool) -> Iterator[Figure]:
    """In durability="process"; `cpu-per-step/full` has the kernel's part of waiting for the disk."""
    for durability in ("process", "full"):
        with ground.project() as folder:
            pairs = ground.call(
                "bench.cpu:race",
                folder,
                durability=durability,
                steps=100 if quick else 10_000,
                turns=1 if quick else 5,
            )
        ours, raw, ratio = rounds.middle(pairs)
        yield Figure(
            name="cpu-per-step" if durability == "process" else "cpu-per-step/full",
            value=ours,
            unit="us",
            against=f"{raw:.1f} us of a raw commit, {durability}",
            ratio=ratio,
        )


def race(durability: str, steps: int, turns: int) -> list[tuple[float, float]]:
    """(CPU of a step, CPU of a raw commit) of every round, µs."""
    raw = RawCommits(Path.cwd(), durability)
    with perdure.open(durability=durability):
        timed_run(100)
        raw.commit(100)

        def of_step() -> float:
            began = time.process_time()
            timed_run(0)
            empty = time.process_time()
            timed_run(steps)
            return ((time.process_time() - empty) - (empty - began)) / steps * 1e6

        def of_commit() -> float:
            began = time.process_time()
            raw.commit(steps)
            return (time.process_time() - began) / steps * 1e6

        return rounds.alternate(of_step, of_commit, turns)
