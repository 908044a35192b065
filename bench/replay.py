"""replay: from opening a project with an unfinished run of 10,000 recorded steps to its next step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import perdure
from bench import ground, rounds, workload
from bench.figure import Figure
from bench.worker import PATIENCE
from perdure import start

NO_DRAIN: dict[str, Any] = {"worker.drain": 0}


def measure(quick: bool) -> Iterator[Figure]:
    """Recorded in one process, replayed in a fresh one; imports are not counted, claiming is."""
    steps = 100 if quick else 10_000
    pairs: list[tuple[float, float]] = []
    for _ in range(1 if quick else 7):
        with ground.project() as folder:
            recorded = ground.call("bench.replay:record", folder, steps=steps)
            (folder / workload.GATE).touch()
            pairs.append((ground.call("bench.replay:replay", folder, steps=steps), recorded))
    replayed, recorded, ratio = rounds.middle(pairs)
    yield Figure(
        name="replay",
        value=replayed * 1e3,
        unit="ms",
        against=f"{recorded * 1e3:,.0f} ms that the {steps:,} steps took, process",
        ratio=ratio,
    )


def record(steps: int) -> float:
    """Leave a run that has so many recorded steps and waits in the next; seconds for them."""
    with perdure.open(durability="process", **NO_DRAIN):
        start(workload.count, 100).result()
        began = time.monotonic_ns()
        start(workload.count_to_gate, steps)
        return (workload.arrivals.get(timeout=PATIENCE) - began) / 1e9


def replay(steps: int) -> float:
    """Seconds until the run that was left goes on."""
    began = time.monotonic_ns()
    with perdure.open(durability="process"):
        seconds = (workload.arrivals.get(timeout=PATIENCE) - began) / 1e9
        (run,) = perdure.list_runs(name="count_to_gate")
        if run.result() != steps:
            raise RuntimeError(f"the replayed run returned {run.result()!r} and not {steps}")
        return seconds
