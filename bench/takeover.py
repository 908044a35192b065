"""takeover: a worker with 1,000 runs in flight is killed, and one that runs beside it finishes them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench import ground, rounds
from bench.figure import Figure
from bench.worker import WorkerProcess, ask, until, until_runs
from bench.workload import GATE, LOG, pass_gate
from perdure import start


def measure(quick: bool) -> Iterator[Figure]:
    """Beyond the work itself: beyond what the other worker takes for runs that it holds already."""
    runs = 20 if quick else 1_000
    pairs = rounds.alternate(lambda: _killed(runs), lambda: _spared(runs), 1 if quick else 3)
    killed, spared, _ratio = rounds.middle(pairs)
    yield Figure(
        name="takeover",
        value=sorted(one - other for one, other in pairs)[len(pairs) // 2],
        unit="s",
        against=f"{killed:.3g} s from the kill to the end of {runs:,} runs, {spared:.3g} s without",
    )


def _killed(runs: int) -> float:
    """Seconds from the death of the worker that holds the runs until all are completed."""
    with ground.project() as folder, WorkerProcess(folder) as holder:
        _fill(folder, runs)
        with WorkerProcess(folder):
            time.sleep(0.2)  # the other one looks around, and finds nothing to do
            holder.kill()
            return _open_gate(folder, runs)


def _spared(runs: int) -> float:
    """Seconds that a worker takes to finish the runs that it holds."""
    with ground.project() as folder, WorkerProcess(folder):
        _fill(folder, runs)
        return _open_gate(folder, runs)


def _fill(folder: Path, runs: int) -> None:
    ground.call("bench.takeover:start_runs", folder, runs=runs)
    journaled = "SELECT count(*) FROM journal WHERE kind = 'step_completed'"
    until(lambda: ask(folder, journaled) == runs, f"{runs} runs wait at the gate")


def start_runs(runs: int) -> None:
    """Start runs for the worker that is there."""
    for _ in range(runs):
        start(pass_gate)


def _open_gate(folder: Path, runs: int) -> float:
    began = time.perf_counter()
    (folder / GATE).touch()
    until_runs(folder, runs, "completed")
    seconds = time.perf_counter() - began
    executed = Counter((folder / LOG).read_text().split())
    if executed != {"before": runs, "after": runs}:
        raise RuntimeError(f"of {runs} runs, the steps were executed so often: {executed}")
    return seconds
