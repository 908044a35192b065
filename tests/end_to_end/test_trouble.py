"""Disks that are full, databases that are locked or not ours, clocks that jump, blocked loops."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

import pytest

import perdure
from perdure import function, sleep, start, workflow
from perdure.client.connection import forget
from perdure.core.errors import StoreUnavailable, StoreUnusable
from perdure.stores import clock
from tests.end_to_end.effects import check_journals, open_of
from tests.end_to_end.trouble import book
from tests.parts import wait_for


@pytest.fixture(autouse=True)
def here(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("PERDURE_PROJECT", str(project))
    yield
    forget()


def database(project: Path) -> Path:
    return project / ".perdure" / "perdure.db"


def test_a_full_disk_holds_a_run_up_and_loses_nothing(zygote, project):
    """The commit is tried again until there is room; no step runs twice meanwhile."""
    child = zygote.fork(project, "tests.end_to_end.trouble:write_on_a_full_disk")
    assert child.wait() == 0, child.said()
    assert "cannot commit, trying again" in child.said()
    store = open_of(project)
    check_journals(store)
    store.close()


def test_a_locked_database_holds_a_run_up_and_loses_nothing(zygote, project):
    """For longer than the driver waits by itself."""
    with perdure.open():
        start(book, 1).result(10)
    other = sqlite3.connect(database(project), isolation_level=None)
    child = zygote.fork(project, "tests.end_to_end.trouble:write_while_locked")
    wait_for((project / "begun").exists)
    other.execute("BEGIN IMMEDIATE")
    (project / "locked").touch()
    wait_for(lambda: "cannot commit" in child.said(), seconds=30)
    other.execute("ROLLBACK")
    other.close()
    assert child.wait() == 0, child.said()
    assert "was locked by another process" in child.said()
    store = open_of(project)
    check_journals(store)
    store.close()


def test_a_start_that_cannot_be_stored_says_so(project):
    """The caller is told, with the mend; nothing is started."""
    with perdure.open():
        start(book, 1).result(10)
    from perdure.stores.sql.sqlite import SqliteDatabase
    from perdure.stores.sql.store import SqlStore

    other = sqlite3.connect(database(project), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = SqlStore(SqliteDatabase(str(database(project)), busy_timeout=0.05))
    with pytest.raises(StoreUnavailable, match="was locked by another process for 0.05 s"):
        store.progress(1, {})
    other.execute("ROLLBACK")
    other.close()
    store.close()


@pytest.mark.parametrize("what", ["corrupt", "foreign", "newer", "folder"])
def test_a_database_that_is_not_ours_is_left_as_it_is(project, what):
    """One sentence with the path; the file is not changed by a byte."""
    path = database(project)
    if what == "corrupt":
        path.write_bytes(b"this is no database, " * 500)
    elif what == "foreign":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE songs (title TEXT)")
        other.close()
    elif what == "newer":
        with perdure.open():
            start(book, 1).result(10)
        forget()
        with sqlite3.connect(path) as other:
            other.execute("UPDATE meta SET value = '99' WHERE key IN ('min_reader', 'min_writer')")
        other.close()
    else:
        path.mkdir()
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreUnusable, match=str(path)), perdure.open():
        pass
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_clock_that_jumps_back_holds_nothing_up(monkeypatch):
    """Within a process store time never goes back: sleeps neither end early nor wait for hours."""
    now = time.time_ns
    with perdure.open():

        @workflow(name="trouble_nap")
        async def nap() -> str:
            await sleep("200ms")
            return "rested"

        run = start(nap)
        monkeypatch.setattr(clock.time, "time_ns", lambda: now() - 3600 * 10**9)
        # Ten seconds instead of the hour by which it jumped.
        assert run.result(10) == "rested"
        times = [entry.at for entry in run.events()]
        assert times == sorted(times)
        assert start(nap).result(10) == "rested"


def test_a_clock_that_jumps_ahead_is_followed(monkeypatch):
    """After a sleep of the host what is overdue is done at once."""
    now = time.time_ns
    # The process's clock follows: not for the tests that come after this one.
    monkeypatch.setattr(clock.host_now, "_offset", clock.host_now._offset)
    monkeypatch.setattr(clock.host_now, "_ahead", clock.host_now._ahead)
    with perdure.open():

        @workflow(name="trouble_long_nap")
        async def nap() -> str:
            await sleep("1h")
            return "rested"

        run = start(nap)
        wait_for(lambda: run.status() is perdure.Status.WAITING)
        monkeypatch.setattr(clock.time, "time_ns", lambda: now() + 2 * 3600 * 10**9)
        assert run.result(10) == "rested"


def test_a_jump_ahead_that_is_taken_back_holds_up_no_new_sleeps(monkeypatch):
    """A sleep that begins after the clock was set right again ends in time."""
    now = time.time_ns
    monkeypatch.setattr(clock.host_now, "_offset", clock.host_now._offset)
    monkeypatch.setattr(clock.host_now, "_ahead", clock.host_now._ahead)
    with perdure.open() as host:

        @workflow(name="trouble_short_nap")
        async def nap() -> str:
            await sleep("50ms")
            return "rested"

        monkeypatch.setattr(clock.time, "time_ns", lambda: now() + 3600 * 10**9)
        assert start(nap).result(10) == "rested"
        monkeypatch.setattr(clock.time, "time_ns", now)
        run = start(nap)
        assert run.result(10) == "rested"
        assert abs(run.record().created_at - now() // 1000) < 60 * 10**6
        assert host.worker.may_start()


def test_a_step_that_blocks_the_loop_is_named(caplog):
    """With its name and where it stands; it is not stopped."""
    caplog.set_level(logging.WARNING, "perdure.worker")

    @function(name="trouble_blocker")
    async def blocker() -> str:
        time.sleep(0.6)
        return "done"

    @workflow(name="trouble_blocked")
    async def blocked() -> str:
        return await blocker()

    with perdure.open(worker={"block_warning": "100ms"}):
        run = start(blocked)
        assert run.result(10) == "done"
    assert f"step 0 trouble_blocker() of run {run.tid}" in caplog.text
    assert "in blocker" in caplog.text


def test_a_body_that_blocks_the_loop_is_named(caplog):
    """The body of a workflow, too."""
    caplog.set_level(logging.WARNING, "perdure.worker")

    @workflow(name="trouble_blocking_body")
    async def body() -> str:
        time.sleep(0.6)
        return "done"

    with perdure.open(worker={"block_warning": "100ms"}):
        run = start(body)
        assert run.result(10) == "done"
    assert f"the body of trouble_blocking_body() of run {run.tid}" in caplog.text


def test_an_idle_loop_is_not_taken_for_a_blocked_one(caplog):
    """However short the time is after which a blockage is reported."""
    caplog.set_level(logging.WARNING, "perdure.worker")
    with perdure.open(worker={"block_warning": "200ms"}) as host:
        looks = wait_for(lambda: host.worker._net_at)
        wait_for(lambda: host.worker._net_at > looks + 1.5)
    assert "blocked" not in caplog.text


def test_what_steps_print_is_printed(capfd):
    """Nothing is taken away, nothing of ours is mixed in."""

    @function(name="trouble_printer")
    def printer() -> None:
        print("hello from a step")

    with perdure.open():
        start(printer).result(10)
    assert capfd.readouterr().out == "hello from a step\n"


def test_projects_do_not_see_each_other(new_project, monkeypatch):
    """A project inside another one has its own runs."""
    outer = new_project()
    inner = outer / "inner"
    inner.mkdir()
    from perdure.project.folder import init

    init(inner, announce=False)
    monkeypatch.delenv("PERDURE_PROJECT")
    monkeypatch.chdir(outer)
    with perdure.open():
        tid = start(book, 1).tid
    monkeypatch.chdir(inner)
    assert perdure.list_runs() == []
    monkeypatch.chdir(outer)
    assert [run.tid for run in perdure.list_runs()] == [tid]
