"""Real processes to look at, stop and kill; they speak through pipes, so nobody has to sleep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import perdure
from perdure.store import WorkerRow
from perdure.worker.identity import Identity

SOURCE = Path(perdure.__file__).parents[1]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `python -c CODE ARGS`, with pipes; whatever still lives at the end is killed."""
    children: list[subprocess.Popen[str]] = []

    def start(code: str, *args: object, **options: object) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            **options,  # type: ignore[call-overload]
        )
        children.append(child)
        return child

    yield start
    for child in children:
        if child.returncode is None:
            child.send_signal(signal.SIGCONT)
            child.kill()
        child.communicate()


@pytest.fixture
def row_of() -> Callable[..., WorkerRow]:
    """Make the row of a worker that has this pid on this host; fields may be varied."""

    def row_of(pid: int, *, id: int = 1, **fields: object) -> WorkerRow:
        here = Identity.of_this_process()
        line = Path(f"/proc/{pid}/stat").read_text() if Path(f"/proc/{pid}").exists() else ""
        started = int(line.rpartition(")")[2].split()[19]) if line else 1
        row = WorkerRow(
            id=id,
            name=f"worker-{id}",
            host=here.host,
            boot_id=here.boot_id,
            pid_namespace=here.pid_namespace,
            pid=pid,
            started=started,
            lease_until=0,
            registered_at=0,
        )
        return replace(row, **fields)  # type: ignore[arg-type]

    return row_of
