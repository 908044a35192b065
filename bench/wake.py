"""wake: from a start in one process to the execution in another one that was idle."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from statistics import median

from bench import ground
from bench.figure import Figure
from bench.worker import WorkerProcess
from bench.workload import tell_time
from perdure import start

SETTLED = 1.5
"""Seconds after which a worker that has just started, or worked, is idle."""
GAP = 0.04
"""Seconds between two starts, at least: what was started before is done, and the worker sleeps."""


def measure(quick: bool) -> Iterator[Figure]:
    """The commit of the start is counted, and that of the turn by which the worker takes it up."""
    with ground.project() as folder, WorkerProcess(folder) as worker:
        starts = 10 if quick else 200
        waits = sorted(ground.call("bench.wake:wait_each_time", folder, starts=starts))
        time.sleep(0.1 if quick else SETTLED)
        seconds = 0.2 if quick else 10.0
        used = worker.cpu()
        time.sleep(seconds)
        idle = (worker.cpu() - used) / seconds
    yield Figure(name="wake/p50", value=median(waits), unit="ms")
    yield Figure(name="wake/p99", value=waits[round(len(waits) * 0.99) - 1], unit="ms")
    yield Figure(name="wake/idle-cpu", value=idle * 100, unit="%", against="one core")


def wait_each_time(starts: int) -> list[float]:
    """Start so many runs, far apart; how long each took to be executed elsewhere, ms."""
    runs = []
    chance = random.Random(7)
    for _ in range(starts):
        time.sleep(GAP * (1 + chance.random()))
        began = time.monotonic_ns()
        runs.append((began, start(tell_time)))
    return [(run.result() - began) / 1e6 for began, run in runs]
