"""A worker process that was started by hand, seen from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import ground

PATIENCE = 60.0
"""Seconds after which something that is waited for is taken to be broken."""


class WorkerProcess:
    """`perdure worker run` in a project, from its being ready to its end.

    Args:
        folder: The project.
        settings: Settings of the worker: durability="process".
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings = settings

    def __enter__(self) -> Self:
        self._log = (self._folder / "worker.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "perdure", "worker", "run"],
            cwd=self._folder,
            env=ground.environment(self._folder, **self._settings),
            stdout=self._log,
            stderr=self._log,
        )
        self.pid = self._process.pid
        until(self._is_registered, f"the worker {self.pid} is registered")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._log.close()

    def _is_registered(self) -> bool:
        if self._process.poll() is not None:
            log = (self._folder / "worker.log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"the worker ended with {self._process.returncode}:\n{log}")
        return ask(self._folder, "SELECT count(*) FROM workers WHERE pid = ?", self.pid) == 1

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def cpu(self) -> float:
        """CPU seconds that its threads have used; exact to the nanosecond, unlike `times`."""
        return (
            sum(
                int((task / "schedstat").read_text().split()[0])
                for task in Path(f"/proc/{self.pid}/task").iterdir()
            )
            / 1e9
        )

    def rss(self) -> float:
        """Its resident memory, MB."""
        return resident_memory(self.pid)


def resident_memory(pid: int) -> float:
    """RSS of a process, in MB of 2^20 bytes: what `top` shows."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def ask(folder: Path, question: str, *values: object) -> int:
    """One number from the database of a project; 0 if it is not there yet."""
    database = folder / ".perdure" / "perdure.db"
    with contextlib.suppress(sqlite3.OperationalError):
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)
        with contextlib.closing(connection):
            return int(connection.execute(question, values).fetchone()[0])
    return 0


def until(is_so: object, what: str) -> None:
    """Wait until a callable says yes; looked at every 5 ms."""
    assert callable(is_so)
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {PATIENCE:g} s in vain until {what}")
        time.sleep(0.005)


def until_runs(folder: Path, number: int, status: str) -> None:
    """Wait until so many runs of a project have this status."""
    until(
        lambda: ask(folder, "SELECT count(*) FROM runs WHERE status = ?", status) >= number,
        f"{number} runs are {status}",
    )
