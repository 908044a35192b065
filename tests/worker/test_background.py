"""A project starts a worker for itself, once, and never waits for it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import perdure
from perdure.worker import background
from perdure.worker.background import ensure_background_worker
from perdure.worker.leader import VARIABLE, LeaderLock

STAND_IN = """
import json, os, signal, sys
from pathlib import Path
from perdure.worker.leader import LeaderLock

lock = LeaderLock(Path(os.environ["LOCK"]))
facts = {
    "argv": sys.argv[1:],
    "cwd": os.getcwd(),
    "project": os.environ["PERDURE_PROJECT"],
    "leads_session": os.getsid(0) == os.getpid(),
    "stdin": sys.stdin.read(),
    "open": sorted(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else [],
    "leader": lock.try_acquire(worker=9),
    "pid": os.getpid(),
}
print("said on stdout", flush=True)
print("said on stderr", file=sys.stderr, flush=True)
with open(os.environ["FIFO"], "a") as fifo:
    fifo.write(json.dumps(facts) + chr(10))
if "BRIEF" not in os.environ:
    signal.pause()
"""


@dataclass(frozen=True)
class Folder:
    """A project in a temporary folder, with a stand-in for the command that runs a worker.

    The stand-in is a package `perdure` of its own in the project's folder, which `-m perdure` finds
    first, and whose modules are the real ones.
    """

    root: Path

    def worker_lock(self, namespace: str = "default") -> Path:
        return self.root / ".perdure" / "worker.lock"

    @property
    def logs(self) -> Path:
        return self.root / ".perdure" / "logs"

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "LOCK": str(self.worker_lock()),
            "FIFO": str(self.root / "fifo"),
        }


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Folder]:
    """A project; its workers are killed at the end."""
    package = tmp_path / "perdure"
    package.mkdir()
    real = str(Path(perdure.__file__).parent)
    (package / "__init__.py").write_text(f"__path__.append({real!r})\n")
    (package / "__main__.py").write_text(STAND_IN)
    os.mkfifo(tmp_path / "fifo")
    folder = Folder(tmp_path)
    yield folder
    holder = LeaderLock(folder.worker_lock()).holder()
    if holder:
        os.kill(int(str(holder["pid"])), signal.SIGKILL)


def next_worker(project: Folder) -> dict[str, object]:
    """Wait for a worker to speak, and return what it said of itself."""
    with (project.root / "fifo").open() as fifo:
        facts: dict[str, object] = json.loads(fifo.readline())
        return facts


def wait_until_free(lock: Path) -> None:
    deadline = time.monotonic() + 5
    while LeaderLock(lock).holder() is not None:
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_a_worker_is_started_detached(project) -> None:
    """With its own session, in the project's folder, with the lock, and no other open file."""
    with (project.root / "secret").open("w") as mine:
        os.set_inheritable(mine.fileno(), True)
        assert ensure_background_worker(project, environ=project.environ)
    facts = next_worker(project)
    assert facts["argv"] == ["worker", "run", "--background"]
    assert facts["cwd"] == facts["project"] == str(project.root)
    assert facts["leads_session"] and facts["stdin"] == ""
    assert facts["leader"] is True
    assert (LeaderLock(project.worker_lock()).holder() or {})["worker"] == "9"
    assert len(facts["open"]) == 5, "three streams, the lock, and the folder that is being listed"
    log = (project.logs / "worker.log").read_text()
    assert "said on stdout" in log and "said on stderr" in log


def test_nothing_is_started_while_one_lives(project) -> None:
    """Not while it starts, not while it works; when it was killed, there is a new one."""
    assert ensure_background_worker(project, environ=project.environ)
    assert not ensure_background_worker(project, environ=project.environ), "it is on its way"
    first = next_worker(project)
    assert not ensure_background_worker(project, environ=project.environ)
    os.kill(int(str(first["pid"])), signal.SIGKILL)
    wait_until_free(project.worker_lock())
    assert ensure_background_worker(project, environ=project.environ)
    second = next_worker(project)
    assert second["leader"] is True and second["pid"] != first["pid"]


def test_a_burst_starts_one(project, start) -> None:
    """Of many threads and processes that start runs together, one starts the worker."""
    code = (
        "import sys; from types import SimpleNamespace; from pathlib import Path\n"
        "from perdure.worker.background import ensure_background_worker\n"
        "root = Path(sys.argv[1]); home = root / '.perdure'\n"
        "project = SimpleNamespace(root=root, worker_lock=lambda _namespace: home / 'worker.lock', logs=home / 'logs')"
        "\nprint('up', flush=True); sys.stdin.readline()\n"
        "print(sum(ensure_background_worker(project) for _ in range(100)), flush=True)\n"
    )
    saved = dict(os.environ)
    os.environ.update(project.environ)
    try:
        others = [start(code, project.root) for _ in range(3)]
    finally:
        os.environ.clear()
        os.environ.update(saved)
    for child in others:
        child.stdout.readline()
    barrier, started = threading.Barrier(4), []

    def many() -> None:
        barrier.wait()
        for _ in range(100):
            started.append(ensure_background_worker(project, environ=project.environ))

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for child in others:
        child.stdin.write("go\n")
        child.stdin.flush()
    for thread in threads:
        thread.join()
    assert sum(started) + sum(int(child.stdout.readline()) for child in others) == 1
    assert next_worker(project)["leader"] is True


def test_a_worker_that_ended_leaves_no_zombie(project) -> None:
    """The process that started it may live for months; it takes the dead child away at once."""
    assert ensure_background_worker(project, environ={**project.environ, "BRIEF": "1"})
    pid = int(str(next_worker(project)["pid"]))
    wait_until_free(project.worker_lock())
    deadline = time.monotonic() + 5
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline, "it is still there"
        threading.Event().wait(0.005)
    assert ensure_background_worker(project, environ={**project.environ, "BRIEF": "1"})
    next_worker(project)


def test_the_worker_outlives_who_started_it(project, start) -> None:
    """A script that starts a worker ends without warnings, and its worker goes on."""
    code = (
        "import sys; from types import SimpleNamespace; from pathlib import Path\n"
        "from perdure.worker.background import ensure_background_worker\n"
        "root = Path(sys.argv[1]); home = root / '.perdure'\n"
        "project = SimpleNamespace(root=root, worker_lock=lambda _namespace: home / 'worker.lock', logs=home / 'logs')"
        "\nprint(ensure_background_worker(project))"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, project.root],
        env={**project.environ, "PYTHONPATH": str(Path(perdure.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
    facts = next_worker(project)
    assert (LeaderLock(project.worker_lock()).holder() or {})["pid"] == facts["pid"]


def test_a_worker_that_cannot_be_started_is_a_warning(project, caplog, monkeypatch) -> None:
    """The run that needs it is recorded already; the lock is free for the next try."""
    monkeypatch.setattr(background, "interpreter", lambda: "/nowhere/python3")
    assert not ensure_background_worker(project, environ=project.environ)
    assert "could not be started" in caplog.text and "/nowhere/python3" in caplog.text
    assert "perdure worker run" in caplog.text
    assert LeaderLock(project.worker_lock()).holder() is None


def test_a_process_that_was_given_the_lock_starts_no_second_worker(project, monkeypatch) -> None:
    """A worker whose modules start runs while they are imported leaves its inheritance alone."""
    lock = LeaderLock(project.worker_lock())
    assert lock.take()
    monkeypatch.setenv(VARIABLE, str(lock.fd))
    assert not ensure_background_worker(project)
    assert os.environ[VARIABLE] == str(lock.fd)
    lock.release()


def test_a_long_log_is_set_aside(project, monkeypatch) -> None:
    """Above the limit it becomes worker.log.1, and a new one begins."""
    monkeypatch.setattr(background, "LOG_LIMIT", 10)
    project.logs.mkdir(parents=True)
    (project.logs / "worker.log").write_text("0123456789")
    assert ensure_background_worker(project, environ={**project.environ, "BRIEF": "1"})
    next_worker(project)
    assert (project.logs / "worker.log").read_text().startswith("0123456789said on"), "not yet"
    wait_until_free(project.worker_lock())
    assert ensure_background_worker(project, environ={**project.environ, "BRIEF": "1"})
    next_worker(project)
    assert (project.logs / "worker.log.1").read_text().startswith("0123456789")
    assert (project.logs / "worker.log").read_text().startswith("said on")


@pytest.mark.parametrize("name", ["/usr/bin/uwsgi", "", "/opt/app/server"])
def test_a_program_that_embeds_python_finds_an_interpreter(monkeypatch, name) -> None:
    """`-m perdure` must not be said to uWSGI."""
    monkeypatch.setattr(sys, "executable", name)
    found = background.interpreter()
    assert Path(found).parent == Path(sys.prefix, "bin") and "python" in found


def test_without_an_interpreter_it_says_what_to_do(project, monkeypatch, caplog) -> None:
    """A frozen program has none."""
    monkeypatch.setattr(sys, "executable", "/opt/app/server")
    monkeypatch.setattr(sys, "prefix", str(project.root))
    caplog.set_level(logging.WARNING)
    assert not ensure_background_worker(project)
    assert "'/opt/app/server'" in caplog.text and "start a worker by hand" in caplog.text
