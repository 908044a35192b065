"""Defects that engines of this kind have had, and the tests that would find them here.

| defect                                              | test |
|-----------------------------------------------------|------|
| equal calls collapse into one                       | tests/fundamentals/test_steps.py::test_equal_calls_are_different_steps |
| equal children collapse into one                    | tests/fundamentals/test_children.py::test_children_run_side_by_side |
| a drifted argument executes a step again            | tests/end_to_end/test_parked.py::test_changed_arguments_warn_and_go_on |
| changed code goes unnoticed                         | tests/end_to_end/test_parked.py::test_changed_code_parks_the_run_and_mended_code_goes_on |
| `except Exception` swallows the engine's signals    | tests/fundamentals/test_retries.py::test_catching_exceptions_around_a_retried_step_is_harmless |
| signals turn up among the results of `gather`       | tests/fundamentals/test_concurrency.py::test_gather_returns_exceptions_of_steps_and_nothing_else |
| a sleep never ends, or ends at once                 | tests/fundamentals/test_sleep.py::test_a_sleep_is_exact_and_never_early |
| recovery skips the sleeps under way                 | tests/end_to_end/test_known_defects.py::test_recovery_keeps_the_moment_a_sleep_ends |
| recovery begins the sleeps anew                     | tests/fundamentals/test_sleep.py::test_a_sleep_outlives_its_host |
| a child that suspends never wakes its parent        | tests/fundamentals/test_children.py::test_a_child_that_suspends_wakes_its_parent |
| a parent of several waiting children is forgotten   | tests/end_to_end/test_known_defects.py::test_a_parent_of_many_waiting_children_goes_on |
| a parent that ends leaves its children running      | tests/end_to_end/test_known_defects.py::test_a_body_that_ends_cancels_the_children_it_left |
| two processes execute one run                       | tests/end_to_end/test_zombies.py::test_late_writes_of_a_stopped_worker_are_refused |
| nobody recovers what a killed process left          | tests/end_to_end/test_kill_under_load.py::test_every_run_completes_exactly_once |
| a crash between two writes leaves half a change     | tests/end_to_end/test_crash_at_every_write.py::test_a_crash_at_any_commit_loses_nothing_and_repeats_nothing |
| a repeated step has nothing to be recognised by     | tests/fundamentals/test_context.py::test_the_token_is_the_same_for_every_attempt |
| every step reads the whole history                  | tests/end_to_end/test_known_defects.py::test_a_step_costs_the_same_however_long_the_run |
| timeouts are accepted and ignored                   | tests/fundamentals/test_timeouts.py::test_an_async_function_is_cancelled |
| ... of plain functions, too                         | tests/fundamentals/test_timeouts.py::test_a_plain_function_is_abandoned_and_its_late_result_refused |
| options are accepted and ignored                    | tests/end_to_end/test_known_defects.py::test_what_cannot_be_kept_is_refused |
| a running run does not see that it is cancelled     | tests/fundamentals/test_cancel.py::test_a_running_run_is_cancelled_and_its_step_stopped |
| a suspended run is cancelled without its cleanup    | tests/fundamentals/test_cancel.py::test_cleanup_steps_run |
| a finished run is executed again                    | tests/fundamentals/test_keys.py::test_a_key_of_a_finished_run_is_still_its_own |
| the result is lost, or wrapped twice                | tests/fundamentals/test_steps.py::test_values_keep_their_types |
| errors lose class, cause and traceback              | tests/fundamentals/test_errors.py::test_the_cause_is_kept |
| a race for a key raises what the database says      | tests/fundamentals/test_keys.py::test_twenty_threads_race_for_a_key |
| a plain function is called and its result refused   | tests/fundamentals/test_steps.py::test_a_plain_function_is_a_step_too |
| decorators without parentheses register nothing     | tests/fundamentals/test_steps.py::test_step_is_the_same_decorator |
| an import changes the host's logging                | tests/end_to_end/test_known_defects.py::test_hosting_leaves_the_program_as_it_is |
| a program hangs at its end                          | tests/end_to_end/test_known_defects.py::test_a_program_ends_when_its_code_does |
| data is executed as code                            | tests/end_to_end/test_known_defects.py::test_stored_data_is_never_executed |
| an unawaited call does nothing and says nothing     | tests/end_to_end/test_known_defects.py::test_a_step_that_is_not_awaited_is_told |
"""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import perdure
from perdure import RunFailed, Status, function, list_runs, sleep, start, workflow
from perdure.client.connection import forget
from perdure.core.errors import PerdureError
from perdure.stores.sql.sqlite import SqliteSession
from tests.parts import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("PERDURE_PROJECT", str(project))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{project}")
    yield
    forget()


def test_every_test_of_the_table_exists():
    """A table that names what is gone would prove nothing."""
    named = re.findall(r"\| (tests/\S+)::(\w+) \|", __doc__ or "")
    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"


def test_recovery_keeps_the_moment_a_sleep_ends(zygote, project):
    """After kill -9 a sleep ends when it was due: not at once, and not later."""
    child = zygote.fork(project, "tests.end_to_end.trouble:nap_and_die")
    assert child.wait() == -signal.SIGKILL
    from tests.end_to_end import trouble

    with perdure.open():
        (run,) = list_runs(name="trouble_nap_and_die")
        (began, ended) = run.result(20)
        assert trouble.NAP_SECONDS <= ended - began < trouble.NAP_SECONDS + 0.1


def test_a_parent_of_many_waiting_children_goes_on():
    """All of them suspend for longer than a worker keeps waiting runs at hand."""

    @workflow(name="defect_child")
    async def child(n: int) -> int:
        await sleep(1.05 + 0.01 * n)
        return n

    @workflow(name="defect_parent")
    async def parent() -> list[int]:
        return await asyncio.gather(*(child(n) for n in range(5)))

    with perdure.open():
        assert start(parent).result(20) == list(range(5))


def test_a_body_that_ends_cancels_the_children_it_left():
    """A task that nobody awaited ends with its body, and so does the child it waited for."""

    @workflow(name="defect_left")
    async def left() -> None:
        await sleep("1h")

    @workflow(name="defect_leaver")
    async def leaver() -> str:
        task = asyncio.create_task(left())
        await sleep("10ms")
        return f"left {task.get_name()}"

    with perdure.open():
        assert start(leaver).result(10).startswith("left ")
        (child,) = list_runs(name="defect_left")
        assert child.wait(10) is Status.CANCELLED


def test_a_step_costs_the_same_however_long_the_run(monkeypatch):
    """Statements per step, counted: a run ten times as long asks ten times as many."""
    count = [0]
    original = SqliteSession.run, SqliteSession.one, SqliteSession.all

    def counted(which):
        def statement(self, sql, params=()):
            count[0] += 1
            return original[which](self, sql, params)

        return statement

    for which, name in enumerate(("run", "one", "all")):
        monkeypatch.setattr(SqliteSession, name, counted(which))

    @function(name="defect_step")
    async def tick(n: int) -> int:
        return n

    @workflow(name="defect_long")
    async def long(steps: int) -> int:
        for n in range(steps):
            await tick(n)
        return steps

    def cost(steps: int) -> float:
        with perdure.open():
            start(long, 1).result(10)
            before = count[0]
            assert start(long, steps).result(60) == steps
            return (count[0] - before) / steps

    short, long_run = cost(200), cost(2000)
    assert long_run < 8
    assert long_run < 1.5 * short


@pytest.mark.parametrize(
    "declare",
    [
        lambda: function(retries=-1)(_plain),
        lambda: function(retries="many")(_plain),
        lambda: function(timeout="soon")(_plain),
        lambda: function(timeout=-1)(_plain),
        lambda: function(on_crash="shrug")(_plain),
        lambda: function(name="")(_plain),
        lambda: function(lambda: None),
        lambda: function(_generator),
        lambda: workflow(_plain),
        lambda: workflow(version=3)(_body),
        lambda: function(3),
    ],
)
def test_what_cannot_be_kept_is_refused(declare):
    """At declaration, by an error of ours that says what is wrong."""
    with pytest.raises(PerdureError) as caught:
        declare()
    assert len(str(caught.value)) > 20


def _plain() -> None: ...


async def _body() -> None: ...


def _generator():
    yield 1


def run_program(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )


PROGRAM = """
import perdure
from perdure import function, workflow, start, sleep

@workflow
async def nap(seconds: float) -> str:
    await sleep(seconds)
    return "rested"
"""


@pytest.mark.parametrize(
    ("rest", "code", "said"),
    [
        ("host = perdure.open().__enter__()\nstart(nap, 3600)\n", 0, ""),
        ("perdure.open().__enter__()\nstart(nap, 0)\nraise SystemExit(3)\n", 3, ""),
        ("with perdure.open():\n    start(nap, 3600)\n    1 / 0\n", 1, "ZeroDivisionError"),
        ("with perdure.open():\n    start(nap, 3600)\n    raise SystemExit(4)\n", 4, ""),
        ("print(start(nap, 0).__class__)\n", 1, "is declared where no worker can import it"),
    ],
)
def test_a_program_ends_when_its_code_does(rest, code, said):
    """With its own exit code, whether it closed its host or not, and whatever still waits."""
    began = time.monotonic()
    done = run_program(PROGRAM + rest)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert time.monotonic() - began < 10


def test_hosting_leaves_the_program_as_it_is():
    """No handlers, no levels, no signals, no threads and nothing on stdout are left or changed."""
    done = run_program(
        PROGRAM
        + """
import logging, os, signal, sys, threading

def state():
    loggers = [logging.getLogger()] + [logging.getLogger(name) for name in ("perdure", "asyncio")]
    return (
        [(one.level, list(one.handlers), one.disabled, one.propagate) for one in loggers],
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        sys.excepthook, threading.excepthook, sys.unraisablehook, os.getcwd(), os.umask(0o22),
        dict(os.environ),
    )

os.umask(0o22)
before = state()
with perdure.open():
    assert start(nap, 0.01).result(10) == "rested"
    assert state() == before
assert state() == before
left = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
assert not left, left
"""
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_stored_data_is_never_executed(project):
    """A payload that names code is data: no module is imported and nothing is called for it."""
    evil = project / "evil.py"
    evil.write_text("open('executed', 'w').close()\n")

    @workflow(name="defect_reader")
    async def read(value: object) -> str:
        return repr(value)

    with perdure.open():
        tid = start(read, 1).tid
        perdure.get_run(tid).result(10)
    forget()
    database = sqlite3.connect(project / ".perdure" / "perdure.db")
    for payload in (
        '{"value":{"$object":"evil:Thing","value":{}}}',
        '{"value":{"$enum":"evil:Thing","value":1}}',
        '{"value":{"$object":"os:system","value":{"command":"touch executed"}}}',
        '{"value":{"$object":"subprocess:Popen","value":{"args":["touch","executed"]}}}',
    ):
        with database:
            database.execute(
                "UPDATE runs SET status = 'queued', input = ?, wake_at = 1, worker = NULL, "
                "finished_at = NULL, output = NULL WHERE tid = ?",
                (payload, int(tid)),
            )
            database.execute("DELETE FROM journal WHERE tid = ?", (int(tid),))
        with perdure.open(), pytest.raises(RunFailed):
            wait_for(lambda: perdure.get_run(tid).status().is_final)
            perdure.get_run(tid).result(10)
        assert not (project / "executed").exists()
        assert "evil" not in sys.modules
    database.close()


def test_a_step_that_is_not_awaited_is_told(recwarn):
    """Python's own warning reaches the program: nothing of ours hides it."""

    @function(name="defect_forgotten")
    async def forgotten() -> None: ...

    @workflow(name="defect_forgetful")
    async def forgetful() -> str:
        forgotten()
        return "done"

    with perdure.open():
        assert start(forgetful).result(10) == "done"
    assert any("was never awaited" in str(warning.message) for warning in recwarn.list)
