"""What a program or a reboot leaves unfinished goes on without it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from perdure.core.run import Run, Status
from perdure.store import RunFilter, Store
from perdure.stores import open_store
from tests.cli.conftest import DEADLINE, Perdure, until

SCRIPT = """
import asyncio
import os
from pathlib import Path

import perdure
from perdure import function, sleep, start, workflow


@function
async def where() -> int:
    return os.getpid()


@workflow
async def nap(seconds: float) -> int:
    await sleep(seconds)
    return await where()


@function
async def start_nap() -> str:
    return start(nap, 0.3).tid


@workflow
async def starting() -> str:
    return await start_nap()


@function
async def tell() -> None:
    print("begun", flush=True)


@workflow
async def endless() -> None:
    await tell()
    await sleep("1h")


if __name__ == "__main__":
"""

STARTS = {
    "a script that does not wait": """
    with perdure.open():
        start(nap, 0.3)
""",
    "an async program that does not wait": """
    async def main():
        async with perdure.open():
            start(nap, 0.3)

    asyncio.run(main())
""",
    "a run that starts another one": """
    perdure.run(starting)
""",
}


def run_script(project: Perdure, main: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the program with this main part; it must end well."""
    project.write("script.py", SCRIPT + main)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=project.root,
        env={**project.env, **env},
        text=True,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def store_of(project: Perdure) -> Store:
    """The project's store."""
    return open_store(f"sqlite://{project.root}/.perdure/perdure.db")


def naps(project: Perdure) -> list[Run]:
    """The runs of `nap`, newest first, with their results."""
    store = store_of(project)
    try:
        found = store.runs(RunFilter(name="nap"))
        return [run for listed in found if (run := store.get(listed.tid)) is not None]
    finally:
        store.close()


@pytest.mark.parametrize("main", STARTS.values(), ids=STARTS)
def test_what_a_host_leaves_goes_on_in_the_background(project: Perdure, main: str) -> None:
    """The program has ended before the run has, and nobody runs another command."""
    run_script(project, main)
    until(lambda: naps(project)[0].status is Status.COMPLETED)
    (nap,) = naps(project)
    (worker,) = project.rows()
    assert worker.is_background
    assert nap.output == str(worker.pid)


def test_a_host_that_leaves_nothing_starts_nothing(project: Perdure) -> None:
    """All that was started has ended: there is nothing to start a worker for."""
    run_script(project, "    with perdure.open():\n        start(nap, 0).result()\n")
    assert not (project.root / ".perdure/worker.lock").exists()


@pytest.mark.parametrize(
    ("main", "env"),
    [
        (
            "    with perdure.open():\n        start(nap, 3)\n",
            {"PERDURE_WORKER_AUTOSTART": "false"},
        ),
        ("    with perdure.open(store='other.db'):\n        start(nap, 3)\n", {}),
        ("    with perdure.open(store='memory:'):\n        start(nap, 3)\n", {}),
        (
            "    with perdure.open(worker={'autostart': False}):\n        start(nap, 3)\n",
            {},
        ),
    ],
    ids=["environment", "another store", "memory", "call"],
)
def test_no_worker_is_started_where_none_is_wanted(
    project: Perdure, main: str, env: dict[str, str]
) -> None:
    """The setting is respected; runs in memory are of no use to another process, and a store that
    only the call names would not be found by a worker."""
    run_script(project, main, **env)
    assert not (project.root / ".perdure/worker.lock").exists()


def test_without_autostart_a_start_only_records(project: Perdure) -> None:
    """The setting says so for every way of starting."""
    project.env["PERDURE_WORKER_AUTOSTART"] = "false"
    assert project("run", "app:twice", "--no-wait").returncode == 0
    assert not (project.root / ".perdure/worker.lock").exists()


STDIN = SCRIPT.partition("if __name__")[0]


def run_stdin(project: Perdure, main: str) -> subprocess.CompletedProcess[str]:
    """Run a program that stands in no file."""
    return subprocess.run(
        [sys.executable, "-"],
        input=STDIN + main,
        cwd=project.root,
        env=project.env,
        text=True,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )


def test_code_that_nobody_can_import_waits_for_its_program(project: Perdure) -> None:
    """A worker could only block it."""
    done = run_stdin(project, "with perdure.open():\n    start(nap, 3)\n")
    assert done.returncode == 0, done.stderr
    assert not (project.root / ".perdure/worker.lock").exists()
    assert naps(project)[0].status in (Status.QUEUED, Status.WAITING)


def test_code_that_nobody_can_import_is_not_left_to_a_worker(project: Perdure) -> None:
    """It is refused before anything is stored; the sentence says what to do."""
    done = run_stdin(project, "start(nap, 3)\n")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "no worker can import it" in last
    assert "perdure.run(" in last
    assert naps(project) == []


def test_ctrl_c_says_what_becomes_of_the_run(project: Perdure) -> None:
    """The program ends by its interrupt; the run goes on in the background until it is ended."""
    project.write("script.py", SCRIPT + "    perdure.run(endless)\n")
    child = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=project.root,
        env=project.env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    project.children.append(child)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    child.send_signal(signal.SIGINT)
    _out, err = child.communicate(timeout=DEADLINE)
    assert child.returncode == -signal.SIGINT
    (run,) = project.json("list")
    tid = run["tid"]
    said = (
        f"perdure: run {tid} of endless goes on in the background; wait for it: perdure wait {tid}"
    )
    assert said in err
    until(lambda: any(row.is_background for row in project.rows()))
    assert project("cancel", tid).returncode == 0
    assert project("wait", tid, "--timeout", "15s").stdout == "cancelled\n"


UNGUARDED = """
import perdure
from perdure import sleep, workflow

@workflow
async def unguarded() -> str:
    await sleep("300ms")
    return "done"

with perdure.open():
    perdure.start(unguarded)
"""


def test_a_script_that_starts_when_it_is_imported_is_told(project: Perdure) -> None:
    """A worker that looks for the code in it starts nothing; the run says what to mend, and goes on
    once that is done."""
    project.write("script.py", UNGUARDED)
    subprocess.run([sys.executable, "script.py"], cwd=project.root, env=project.env, check=True)
    until(lambda: project.json("list")[0]["status"] == "blocked")
    (run,) = project.json("list")
    assert 'put it under `if __name__ == "__main__":`' in run["reason"]
    assert f"{project.root}/script.py, line 10" in run["reason"]
    project.write("script.py", UNGUARDED.partition("with perdure")[0])
    until(lambda: project.json("list")[0]["status"] == "completed")


def test_a_command_refuses_a_script_that_starts_when_it_is_imported(project: Perdure) -> None:
    """`perdure run` looks for a function, and does not start another run on the way."""
    project.write("script.py", UNGUARDED)
    done = project("run", "script.py:unguarded")
    assert done.returncode == 2
    assert 'put it under `if __name__ == "__main__":`' in done.stderr
    assert project("list", "--json").stdout == "[]\n"


@pytest.fixture
def rebooted(project: Perdure) -> Callable[[float], str]:
    """A project whose run is due, or sleeps, and whose worker is gone; its TID."""

    def rebooted(seconds: float) -> str:
        run_script(
            project,
            f"    with perdure.open():\n        print(start(nap, {seconds}).tid)\n",
            PERDURE_WORKER_AUTOSTART="false",
        )
        return str(naps(project)[0].tid)

    return rebooted


def test_a_run_is_cancelled_although_nobody_was_there(
    project: Perdure, rebooted: Callable[[float], str]
) -> None:
    """Its body wants to clean up, so somebody must execute it."""
    tid = rebooted(3600)
    assert project("cancel", tid).returncode == 0
    until(lambda: naps(project)[0].status is Status.CANCELLED)


@pytest.mark.parametrize("command", ["list", "status", "result", "events"])
def test_a_command_that_looks_wakes_what_waits(
    project: Perdure, rebooted: Callable[[float], str], command: str
) -> None:
    """After a reboot runs go on with the next command, whatever it is."""
    tid = rebooted(0.1)
    project(command, *([] if command == "list" else [tid]))
    until(lambda: naps(project)[0].status is Status.COMPLETED)


def test_a_run_that_sleeps_is_looked_after(
    project: Perdure, rebooted: Callable[[float], str]
) -> None:
    """Somebody must be there when it is to wake."""
    rebooted(3600)
    project("list")
    until(lambda: any(row.is_background for row in project.rows()))


def test_what_a_dead_worker_held_is_taken_over(
    project: Perdure, rebooted: Callable[[float], str]
) -> None:
    """It is running by the word of the store, and its worker is no more."""
    project.write("script.py", SCRIPT + "    perdure.run(endless)\n")
    child = subprocess.Popen(
        [sys.executable, "script.py"], cwd=project.root, env=project.env, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"begun\n"
    child.kill()
    child.communicate()
    project("list")
    until(lambda: any(row.is_background for row in project.rows()))


def test_a_worker_that_was_stopped_stays_stopped_for_those_who_look(
    project: Perdure, rebooted: Callable[[float], str]
) -> None:
    """Whoever stops it wants to look; the next start or wait begins anew."""
    tid = rebooted(0.1)
    assert project("worker", "stop").returncode == 0
    for words in (["list"], ["status", tid], ["result", tid], ["events", tid]):
        project(*words)
    assert project.rows() == []
    assert not (project.root / ".perdure/worker.lock").exists()
    assert project("wait", tid, "--timeout", "15s").stdout == "completed\n"


def test_a_look_starts_nothing_where_all_is_done(project: Perdure) -> None:
    """Finished, and blocked or stuck: nothing of that goes on by itself."""
    run_script(project, "    perdure.run(nap, 0)\n")
    project("list")
    assert not (project.root / ".perdure/worker.lock").exists()
