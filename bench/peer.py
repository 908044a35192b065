"""steps-dbos: one run of 1,000 steps on SQLite, to DBOS Transact on the same disk.

DBOS keeps SQLite's rollback journal, as SQLite comes; `/wal` is the same on a file that was switched
to a write-ahead log before, which Perdure always uses. One try with its synchronous functions and
one with its async ones decide which of the two is measured: the faster. Each measurement is a fresh
process, and one run of one step is done before the clock starts.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import perdure
from bench import ground
from bench.figure import Figure, Skipped
from bench.steps import timed_run

VERSION = "3.4.0"
HOME = ground.PLACE / f"dbos-{VERSION}"
"""An environment of its own: what it needs must not decide what Perdure is measured with."""


def measure(quick: bool) -> Iterator[Figure]:
    """Ours to DBOS as it comes, and (`/wal`) with a write-ahead log."""
    python = _python(may_install=not quick)
    steps = 50 if quick else 1_000
    modes = {"steps-dbos": False, "steps-dbos/wal": True}
    forms = {name: _faster(python, steps, wal=wal) for name, wal in modes.items()}
    found: list[dict[str, float]] = []
    for _ in range(1 if quick else 5):
        one = {name: _theirs(python, forms[name], steps, wal=wal) for name, wal in modes.items()}
        found.append({"ours": _ours(steps), **one})
    for name, wal in modes.items():
        yield Figure(
            name=name,
            value=median(one["ours"] for one in found),
            unit="steps/s",
            against=f"{median(one[name] for one in found):,.0f} steps/s of DBOS {VERSION}, "
            f"{forms[name]}, {'switched to WAL' if wal else 'as it comes'}",
            ratio=median(one["ours"] / one[name] for one in found),
        )


def _faster(python: Path, steps: int, *, wal: bool) -> str:
    forms = ("steps", "asteps")
    rates = [_theirs(python, form, steps, wal=wal) for form in forms]
    return forms[rates.index(max(rates))]


def _ours(steps: int) -> float:
    with ground.project() as folder:
        return float(ground.call("bench.peer:run_steps", folder, steps=steps)["ops_per_s"])


def run_steps(steps: int) -> dict[str, Any]:
    """Perdure's side of the scenario `asteps`, told in the same words."""
    with perdure.open():
        timed_run(1)
        wall = timed_run(steps)
    return {
        "platform": "perdure",
        "scenario": "asteps",
        "db": "sqlite",
        "n": steps,
        "wall_s": wall,
        "ops_per_s": steps / wall,
    }


def _theirs(python: Path, scenario: str, steps: int, *, wal: bool) -> float:
    with ground.project() as folder:
        database = folder / "dbos.sqlite"
        if wal:
            with contextlib.closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        done = subprocess.run(
            [
                python,
                Path(__file__).with_name("dbos_scenario.py"),
                scenario,
                f"--db=sqlite:///{database}",
                f"--n={steps}",
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"DBOS failed with exit code {done.returncode}:\n{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1])["ops_per_s"])


def _python(*, may_install: bool) -> Path:
    """The interpreter of the environment that has DBOS, made if it is not there.

    Raises:
        Skipped: It cannot be made.
    """
    python = HOME / "bin" / "python"
    if python.exists():
        return python
    if not may_install:
        raise Skipped(f"DBOS is not installed in {HOME}; without --quick it is installed there")
    print(f"installing DBOS {VERSION} to compare with (once, about 80 MB) ...", file=sys.stderr)
    if shutil.which("uv"):
        make: list[list[str | Path]] = [
            ["uv", "venv", "--quiet", "--python", sys.executable, HOME],
            ["uv", "pip", "install", "--quiet", "--python", python, f"dbos=={VERSION}"],
        ]
    else:
        make = [
            [sys.executable, "-m", "venv", HOME],
            [python, "-m", "pip", "install", "--quiet", f"dbos=={VERSION}"],
        ]
    try:
        for command in make:
            subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(HOME, ignore_errors=True)
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1]
        raise Skipped(f"DBOS {VERSION} could not be installed ({said})") from error
    return python
