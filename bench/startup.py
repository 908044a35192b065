"""startup: what Perdure adds to the start of Python."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench import ground
from bench.figure import Figure

BARE = [sys.executable, "-c", "pass"]


def measure(quick: bool) -> Iterator[Figure]:
    """Wall time of whole processes, started in turns; medians of the differences within a turn."""
    commands = {
        "import": [sys.executable, "-c", "import perdure"],
        "help": [*_perdure(), "--help"],
        "list": [*_perdure(), "list"],
    }
    with ground.project() as folder:
        ground.call("bench.startup:leave_runs", folder)
        environment = ground.environment(folder)
        for command in (BARE, *commands.values()):
            _time(command, environment)  # writes what is compiled, and warms the disk's cache
        bare: list[float] = []
        beyond: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(2 if quick else 60):
            bare.append(_time(BARE, environment))
            for name, command in commands.items():
                beyond[name].append(_time(command, environment) - bare[-1])
    for name, differences in beyond.items():
        yield Figure(
            name=f"startup/{name}",
            value=median(differences),
            unit="ms",
            against=f"beyond the {median(bare):.1f} ms of python -c pass",
        )


def leave_runs() -> None:
    """A few finished runs, so that there is something to list."""
    import perdure
    from bench.workload import count

    with perdure.open():
        for steps in range(5):
            perdure.start(count, steps).result()


def _perdure() -> list[str]:
    """The installed command; where the package is only on the path, the module."""
    script = Path(sysconfig.get_path("scripts")) / "perdure"
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "perdure"]


def _time(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(
        command,
        cwd=environment["PERDURE_PROJECT"],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return (time.perf_counter() - began) * 1e3
