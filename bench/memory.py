"""memory: what Perdure keeps resident (RSS, as `top` shows it; MB of 2^20 bytes)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import ground
from bench.figure import Figure
from bench.worker import WorkerProcess, until_runs
from bench.workload import sleep_an_hour
from perdure import start

SETTLED = 1.5
"""Seconds after which a worker that has just started has done what it does once."""
IMPORT = """
import os

def rss():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

bare = rss()
from perdure import function, workflow, start
print(bare, rss())
"""


def measure(quick: bool) -> Iterator[Figure]:
    """After the import, of an idle worker, and of one that keeps 10,000 sleeping runs warm."""
    runs = 100 if quick else 10_000
    with ground.project() as folder:
        bare, imported = _import(folder)
        yield Figure(
            name="memory/import",
            value=imported,
            unit="MB",
            against=f"{bare:.1f} MB of Python before it",
        )
    # A start that need not wait for the disk is stored sooner; what the worker keeps is the same.
    with ground.project() as folder, WorkerProcess(folder, durability="process") as worker:
        time.sleep(0.1 if quick else SETTLED)
        idle = worker.rss()
        yield Figure(name="memory/idle", value=idle, unit="MB")
        ground.call("bench.memory:put_to_sleep", folder, runs=runs)
        until_runs(folder, runs, "waiting")
        full = worker.rss()
        yield Figure(
            name="memory/suspended",
            value=full,
            unit="MB",
            against=f"{(full - idle) / runs * 1024:.1f} kB for each of {runs:,} runs",
        )


def _import(folder: Path) -> tuple[float, float]:
    """MB before and after the import, in an interpreter that has imported nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT],
        env=ground.environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    bare, imported = done.stdout.split()
    return float(bare), float(imported)


def put_to_sleep(runs: int) -> None:
    """Start runs that sleep for an hour, for the worker that is there."""
    os.environ["PERDURE_DURABILITY"] = "process"
    for _ in range(runs):
        start(sleep_an_hour)
