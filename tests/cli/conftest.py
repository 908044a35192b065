"""Projects with a real background worker, and commands as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.cli.shell import execute
from perdure.core.errors import StoreError
from perdure.project.folder import Project
from perdure.store import WorkerRow
from perdure.stores import open_store
from perdure.worker.identity import Identity, is_proven_dead
from perdure.worker.leader import LeaderLock

SOURCE = Path(perdure.__file__).parents[1]
DEADLINE = 20.0

APP = '''
import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from perdure import Context, function, sleep, start, workflow

log = logging.getLogger("app")


@dataclass
class Order:
    id: int
    items: list[str]


@function
async def double(n: int) -> int:
    log.info("doubling")
    return n * 2


@function
def shout(text: str) -> str:
    print("shouting")
    return text.upper()


@function
def boom(why: str) -> int:
    raise ValueError(why)


@workflow
async def twice(n: int = 3) -> int:
    return await double(await double(n))


@workflow
async def bill(order: Order) -> dict[str, int]:
    return {item: await double(order.id) for item in order.items}


@workflow
async def broken(why: str = "no way") -> int:
    return await boom.step(why)


@workflow
async def forever() -> None:
    await asyncio.Event().wait()


@function
def hold(folder: str) -> str:
    """Say that it runs, then wait until it is let go."""
    Path(folder, "running").write_text(str(os.getpid()))
    while not Path(folder, "go").exists():
        pass_time()
    return "done"


def pass_time() -> None:
    import time

    time.sleep(0.005)


@workflow
async def holding(folder: str) -> str:
    return await hold.step(folder)


@function
async def start_another(n: int) -> str:
    return start(twice, n).tid


@workflow
async def starting(n: int) -> str:
    return await start_another(n)


def undeclared() -> None: ...


constant = 3
'''


class Perdure:
    """The command line in one project, and what it leaves there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PERDURE_")}
        self.env["PYTHONPATH"] = str(SOURCE)
        self.env["PERDURE_PROJECT"] = str(root)
        self.children: list[subprocess.Popen[str]] = []

    def __call__(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        options.setdefault("cwd", self.root)
        return subprocess.run(
            [sys.executable, "-m", "perdure", *args],
            env=self.env,
            text=True,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
            **options,
        )

    def json(self, *args: str) -> Any:
        """Run a command with --json; what it printed."""
        done = self(*args, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def popen(self, *args: str) -> subprocess.Popen[str]:
        """Start a command; it is killed at the end of the test at the latest."""
        child = subprocess.Popen(
            [sys.executable, "-m", "perdure", *args],
            env=self.env,
            cwd=self.root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.children.append(child)
        return child

    def worker(self, *args: str) -> subprocess.Popen[str]:
        """Start a worker by hand, and wait until it is registered."""
        child = self.popen("worker", "run", *args)
        until(lambda: child.pid in self.pids() or child.poll() is not None)
        return child

    def pids(self) -> set[int]:
        """The pids of the workers that are registered."""
        return {row.pid for row in self.rows()}

    def rows(self) -> list[WorkerRow]:
        """The workers that are registered."""
        return _registered(self.root / ".perdure/perdure.db")

    @property
    def log(self) -> str:
        """What background workers said."""
        return (self.root / ".perdure/logs/worker.log").read_text()

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        (self.root / name).write_text(textwrap.dedent(text))

    def end(self) -> None:
        """Kill whatever lives."""
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.communicate()
        here = Identity.of_this_process()
        for home in (".perdure", "gone"):
            for row in _registered(self.root / home / "perdure.db"):
                if not is_proven_dead(row, here):
                    os.kill(row.pid, signal.SIGKILL)
            # One that has just been started is not registered yet.
            lock = LeaderLock(self.root / home / "worker.lock")
            pid = (lock.holder() or {}).get("pid")
            if isinstance(pid, int):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _registered(database: Path) -> list[WorkerRow]:
    """The workers that a database knows; none if it cannot be read (a test has spoiled it)."""
    if not database.exists():
        return []
    try:
        store = open_store(f"sqlite://{database}")
    except StoreError:
        return []
    try:
        return store.workers()
    finally:
        store.close()


def until(holds: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Wait until something is so; fail if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def _project(root: Path) -> Perdure:
    Project(root).home.mkdir(parents=True)
    one = Perdure(root)
    one.write("app.py", APP)
    return one


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Perdure]:
    """A project of its own."""
    one = _project(tmp_path / "project")
    yield one
    one.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Perdure]:
    """A project whose background worker serves all tests of a file."""
    one = _project(tmp_path_factory.mktemp("shared") / "project")
    yield one
    one.end()


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process: (exit code, stdout, stderr)."""

    def command(*args: str) -> tuple[int, str, str]:
        code = execute(args)
        said = capfd.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests do not count."""
    for name in list(os.environ):
        if name.startswith("PERDURE_"):
            monkeypatch.delenv(name)
