"""Every benchmark by its name. Modules are imported when they are measured."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from bench.figure import Figure

HOMES = {
    "steps-full": ("bench.steps:measure_full", "steps/s of a 10,000-step run, to raw commits"),
    "steps-process": ("bench.steps:measure_process", 'the same with durability="process"'),
    "steps-dbos": ("bench.peer:measure", "steps/s of a 1,000-step run, to DBOS on SQLite"),
    "cpu-per-step": ("bench.cpu:measure", "CPU of the process per step, to a raw commit"),
    "concurrent-50": ("bench.concurrency:measure", "1-step runs/s, 50 in flight, to raw commits"),
    "linear": ("bench.linear:measure", "steps/s of a 50,000-step run to a 5,000-step run"),
    "replay": ("bench.replay:measure", "to replay 10,000 steps, to the time they took"),
    "wake": ("bench.wake:measure", "from a start to its execution in another, idle process"),
    "takeover": ("bench.takeover:measure", "1,000 runs of a killed worker, beyond their work"),
    "startup": ("bench.startup:measure", "import and commands beyond python -c pass"),
    "memory": ("bench.memory:measure", "after import, idle worker, 10,000 sleeping runs"),
}
"""Name -> (where its `measure` is, what it measures)."""


def measure(name: str, *, quick: bool) -> Iterator[Figure]:
    """Measure one benchmark.

    Args:
        quick: In a tiny form, to see that it works; the values mean nothing.

    Raises:
        Skipped: It cannot be measured here.
    """
    module, _, function = HOMES[name][0].partition(":")
    yield from getattr(importlib.import_module(module), function)(quick)
