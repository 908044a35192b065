"""Workers whose loop hangs in what they run: they end themselves, are replaced, and can be stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from perdure.worker.identity import Identity, is_proven_dead

from .conftest import DEADLINE, SOURCE, Perdure, until

HUNG = """
import ctypes
import time
from pathlib import Path

import perdure
from perdure import function, sleep, workflow


@function
async def reserve() -> str:
    return "reserved"


@workflow
async def hangs() -> None:
    Path("begun").open("a").write("x")
    while True:
        pass


@workflow
async def hangs_later() -> None:
    await reserve()
    Path("begun").open("a").write("x")
    while True:
        pass


@function
async def blocks() -> None:
    Path("begun").open("a").write("x")
    time.sleep(3600)


@function
async def keeps_the_interpreter() -> None:
    Path("begun").open("a").write("x")
    if len(Path("begun").read_text()) == 1:
        ctypes.PyDLL(None).sleep(3600)  # PyDLL does not let other threads run


@workflow
async def quick() -> str:
    await sleep(0.01)
    return await reserve()


@workflow
async def slow() -> str:
    time.sleep(4)
    return await reserve()
"""


@pytest.fixture
def project(project: Perdure) -> Iterator[Perdure]:
    """A project with code that hangs, and short leases."""
    project.write("hung.py", HUNG)
    project.env["PERDURE_WORKER_LEASE"] = "1s"
    return project


def begun(project: Perdure) -> int:
    path = project.root / "begun"
    return len(path.read_text()) if path.exists() else 0


def start(project: Perdure, name: str) -> str:
    return project("run", f"hung:{name}", "--no-wait").stdout.strip()


def test_a_background_worker_that_hangs_replaces_itself(project: Perdure) -> None:
    """After its lease it ends with the run and the line in its log, and its successor goes on; who
    hangs five workers in a row is parked."""
    tid = start(project, "hangs_later")
    until(lambda: begun(project) == 1)
    (first,) = project.rows()
    until(lambda: begun(project) == 2)
    assert first.pid not in project.pids()
    until(lambda: project.json("status", tid)["status"] == "stuck", 4 * DEADLINE)
    assert begun(project) == 5
    assert project.log.count("ends: its loop hangs in ") == 5
    line = HUNG.splitlines().index("async def hangs_later() -> None:") + 4
    assert f"the body of hangs_later() of run {tid} at {project.root / 'hung.py'}, " in project.log
    assert f"hung.py, line {line}, in hangs_later;" in project.log
    assert project("run", "hung:quick").stdout == "reserved\n"
    assert project("cancel", tid).returncode == 0
    assert project.json("status", tid)["status"] == "cancelled"


def test_a_run_that_hangs_can_be_cancelled(project: Perdure) -> None:
    """Nobody hears the request while the loop hangs; the next worker delivers it before anything
    else, and what hung is not run again."""
    tid = start(project, "hangs_later")
    until(lambda: begun(project) == 1)
    assert project("cancel", tid).returncode == 0
    until(lambda: project.json("status", tid)["status"] == "cancelled")
    assert begun(project) == 1


def test_a_background_worker_that_was_asked_to_end_has_no_successor(project: Perdure) -> None:
    """It cannot hear the signal, but its end is what was asked for."""
    start(project, "hangs")
    until(lambda: begun(project) == 1)
    (row,) = project.rows()
    os.kill(row.pid, signal.SIGTERM)
    here = Identity.of_this_process()
    until(lambda: is_proven_dead(row, here))
    assert "ends: its loop hangs in the body of hangs()" in project.log
    assert project.json("worker", "status")["background_pid"] is None
    assert project.pids() == {row.pid}, "nobody came after it"


def test_a_worker_that_was_started_by_hand_ends_and_others_go_on(project: Perdure) -> None:
    """Its supervisor sees a failure; a cancel that waits is read by the next one, without running
    the body again."""
    worker = project.worker()
    tid = start(project, "hangs")
    until(lambda: begun(project) == 1)
    project("cancel", tid)
    _, said = worker.communicate(timeout=DEADLINE)
    assert worker.returncode == 1
    assert f"the body of hangs() of run {tid} at " in said
    project.worker()
    until(lambda: project.json("status", tid)["status"] == "cancelled")
    assert begun(project) == 1


def test_a_step_that_hangs_is_named(project: Perdure) -> None:
    """An async step that blocks is named with its line, too."""
    worker = project.worker()
    tid = project("run", "hung:blocks", "--no-wait").stdout.strip()
    _, said = worker.communicate(timeout=DEADLINE)
    assert worker.returncode == 1
    assert f"its loop hangs in step 0 blocks() of run {tid} at " in said
    assert "in blocks;" in said


def test_c_code_that_keeps_the_interpreter_is_ended_by_who_waits(project: Perdure) -> None:
    """No thread of such a worker can end it, and it keeps the lock of the background worker."""
    project.env["PERDURE_WORKER_LEASE"] = "2s"
    waiting = project.popen("run", "hung:keeps_the_interpreter")
    until(lambda: begun(project) == 1)
    (row,) = project.rows()
    out, err = waiting.communicate(timeout=DEADLINE)
    assert (waiting.returncode, out) == (0, "null\n"), err
    assert f"{row.name} was silent for two leases" in err
    assert begun(project) == 2 and row.pid not in project.pids()


def test_a_program_that_hosts_is_never_ended(project: Perdure) -> None:
    """Its process is its own: the lease is not renewed, and comes back when the loop turns."""
    done = subprocess.run(
        [sys.executable, "-c", "import perdure, hung\nprint(perdure.run(hung.slow))"],
        env={**project.env, "PYTHONPATH": f"{SOURCE}:{project.root}"},
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "reserved\n"), done.stderr
    assert "its loop has not turned" in done.stderr
    assert "hangs in" not in done.stderr


def test_a_second_signal_ends_a_worker_that_hangs(project: Perdure) -> None:
    """The loop cannot hear it, and it insists all the same; the run is for the next worker."""
    project.env["PERDURE_WORKER_LEASE"] = "60s"
    worker = project.worker()
    tid = start(project, "hangs")
    until(lambda: begun(project) == 1)
    worker.send_signal(signal.SIGTERM)
    until(lambda: not pending(worker.pid, signal.SIGTERM))
    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=DEADLINE)
    assert worker.returncode == 1
    assert f"the body of hangs() of run {tid} at " in said
    assert project.json("status", tid)["status"] == "running", "the next worker finds it"


def pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal still waits to be taken by a process."""
    with open(f"/proc/{pid}/status") as status:
        masks = [line.split()[1] for line in status if line.startswith(("SigPnd", "ShdPnd"))]
    return any(int(mask, 16) & 1 << number - 1 for mask in masks)
