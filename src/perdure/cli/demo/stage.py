"""Where the demo plays: a project of its own in a temporary folder, and worker processes in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from perdure.author.workflow import Workflow
from perdure.client.connection import Connection, connect
from perdure.client.start import start
from perdure.client.waiting import Ear
from perdure.core.errors import PerdureError
from perdure.project.discovery import load_module
from perdure.project.folder import VARIABLE, init
from perdure.worker.background import interpreter

if TYPE_CHECKING:
    from perdure.core.events import Row
    from perdure.core.run import Run

EXAMPLE = Path(__file__).parent / "source_tree.py"
PATIENCE = 60.0
"""Seconds without any progress after which the demo gives up."""


class DemoFailed(PerdureError):
    """The demo could not be played to its end."""


class Stage:
    """A project for the demo; a context manager that ends the workers and removes the folder.

    Args:
        keep: Leave the folder where it is.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.root = Path(tempfile.mkdtemp(prefix="perdure-demo-")).resolve()
        self.output = self.root / "out"
        self._project = init(self.root, announce=False)
        self._project.logs.mkdir()
        shutil.copy(EXAMPLE, self.root)
        (self.root / "perdure.toml").write_text('modules = ["source_tree"]\n', encoding="utf-8")
        # The demo is the same for everybody: settings of the shell do not count in it.
        for name in [name for name in os.environ if name.startswith("PERDURE_")]:
            del os.environ[name]
        os.environ[VARIABLE] = str(self.root)
        self.connection: Connection = connect(self._project)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self._workers:
            try:
                worker.wait(10)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.connection.close()
        if not self._keep:
            shutil.rmtree(self.root, ignore_errors=True)

    # --- workers ------------------------------------------------------------------------------------

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        """Start `perdure worker run` and wait until it works."""
        with (self._project.logs / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [interpreter(), "-m", "perdure", "worker", "run", "--name", name],
                env={**os.environ, "PYTHONWARNINGS": "ignore"},  # old sources, old escapes
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._workers.append(worker)
        deadline = time.monotonic() + PATIENCE
        while not any(row.pid == worker.pid for row in self.connection.store.workers()):
            self._check(worker, deadline)
            time.sleep(0.01)
        return worker

    def _check(self, worker: subprocess.Popen[bytes], deadline: float) -> None:
        if worker.poll() is not None:
            raise DemoFailed(
                f"the worker ended with code {worker.returncode}; it said: {self.said}"
            )
        if time.monotonic() > deadline:
            raise DemoFailed(f"nothing happens any more; the worker said: {self.said}")

    @property
    def said(self) -> str:
        """The end of what the workers logged."""
        text = (self._project.logs / "worker.log").read_text(encoding="utf-8", errors="replace")
        return text[-2000:].strip() or "nothing"

    # --- the run ------------------------------------------------------------------------------------

    def begin(self, folder: str) -> int:
        """Start the run that surveys a folder; its TID."""
        survey: Workflow[Any, Any] = load_module("source_tree", self.root).survey
        return int(start(survey, folder, str(self.output)).tid)

    def rows(self, tid: int, worker: subprocess.Popen[bytes], after: int) -> Iterator[Row | None]:
        """The rows of the journal above `after` as they come, until the run is finished; None now
        and then, while none comes."""
        store = self.connection.store
        deadline = time.monotonic() + PATIENCE
        with Ear(store, None, tid) as ear:
            while True:
                is_over = self.run(tid).status.is_final
                new = store.journal(tid, after=after)
                for row in new:
                    after = row.seq
                    yield row
                if is_over:
                    return
                if new:
                    deadline = time.monotonic() + PATIENCE
                else:
                    self._check(worker, deadline)
                    yield None
                ear.wait(0.05)

    def run(self, tid: int) -> Run:
        """The run as the store has it."""
        run = self.connection.store.get(tid)
        assert run is not None
        return run

    def executions(self) -> list[tuple[int, str]]:
        """What the steps wrote outside the journal: (ordinal, path) of everything executed."""
        lines = (self.output / "executions.log").read_text(encoding="utf-8").splitlines()
        return [(int(step), path) for step, _, path in (line.partition(" ") for line in lines)]
