"""Who is silent is ended only when it is certain who that is, and that nobody heard of it."""

from __future__ import annotations

import logging
import os
import resource
import signal
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from perdure.stores import open_store
from perdure.stores.memory import MemoryStore
from perdure.stores.sql.sqlite import SqliteDatabase
from perdure.stores.sql.store import SqlStore
from perdure.worker.identity import Identity
from perdure.worker.silence import Silence, kill

SLEEP = "import sys; print('up', flush=True); sys.stdin.read()"
HERE = Identity.of_this_process()


def test_only_who_is_proven_is_killed(start, row_of) -> None:
    """Another start time, boot or host is somebody else; who has ended is killed by nobody."""
    child = start(SLEEP)
    child.stdout.readline()
    row = row_of(child.pid)
    for stranger in (
        replace(row, started=row.started + 1),
        replace(row, boot_id="another"),
        replace(row, host="elsewhere"),
        replace(row, pid_namespace="pid:[1]"),
    ):
        assert not kill(stranger, HERE)
    assert child.poll() is None
    assert kill(row, HERE)
    assert child.wait(5) == -signal.SIGKILL
    assert not kill(row, HERE)


def test_a_silent_background_worker_is_buried_and_killed(start, row_of, caplog) -> None:
    """At the second look after the patience is over; the store says that it is dead."""
    caplog.set_level(logging.WARNING)
    child = start(SLEEP)
    child.stdout.readline()
    with closing(MemoryStore()) as store:
        store.register(row_of(child.pid, is_background=True, lease_until=store.now() - 1))
        silence = Silence("default", patience=0)
        silence.look(store)
        assert child.poll() is None, "it was never seen before"
        silence.look(store)
        assert child.wait(5) == -signal.SIGKILL
        assert store.workers() == []
    assert "worker-1 was silent for two leases" in caplog.text


@pytest.mark.parametrize(
    "fields",
    [{"is_background": False}, {"namespace": "other"}, {"lease_until": 1 << 60}],
    ids=["by_hand", "other_namespace", "with_lease"],
)
def test_others_are_left_alone(start, row_of, fields) -> None:
    """A program that hosts, a worker that somebody started, one of others, one that keeps its lease."""
    child = start(SLEEP)
    child.stdout.readline()
    with closing(MemoryStore()) as store:
        store.register(row_of(child.pid, **{"is_background": True, **fields}))
        silence = Silence("default", patience=0)
        for _ in range(3):
            silence.look(store)
        assert len(store.workers()) == 1
    assert child.poll() is None


def test_one_that_was_heard_of_in_between_is_left_alone(start, row_of, monkeypatch) -> None:
    """Its lease came back after the look: the store refuses to bury it, so it is not killed."""
    child = start(SLEEP)
    child.stdout.readline()
    with closing(MemoryStore()) as store:
        store.register(row_of(child.pid, is_background=True, lease_until=store.now() - 1))
        silence = Silence("default", patience=0)
        silence.look(store)
        stale = store.workers()
        monkeypatch.setattr(store, "workers", lambda: stale)
        assert store.renew(1, store.now() + 60_000_000)
        silence.look(store)
        monkeypatch.undo()
        assert len(store.workers()) == 1
    assert child.poll() is None


def test_a_process_with_many_files_kills_too(start, row_of) -> None:
    """There is no limit of 1024 descriptors on what can be waited for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip(f"a process may have {hard} descriptors here")
    child = start(SLEEP)
    child.stdout.readline()
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
        while (number := os.open(os.devnull, os.O_RDONLY)) < 1024:
            opened.callback(os.close, number)
        opened.callback(os.close, number)
        assert kill(row_of(child.pid), HERE)
    assert child.wait(5) == -signal.SIGKILL


def test_a_locked_database_keeps_nobody_from_waiting(start, row_of, tmp_path, caplog) -> None:
    """Whoever waits goes on; the worker could not renew its lease either, so it is watched afresh,
    and ended once that could be written."""
    child = start(SLEEP)
    child.stdout.readline()
    path = str(tmp_path / "x.db")
    with closing(SqlStore(SqliteDatabase(path, busy_timeout=0.05))) as store:
        with closing(open_store(path)) as other:
            store.register(row_of(child.pid, is_background=True, lease_until=store.now() - 1))
            silence = Silence("default", patience=0)
            silence.look(store)
            other._database._connection.execute("BEGIN IMMEDIATE")
            silence.look(store)
            assert child.poll() is None and len(store.workers()) == 1
            assert "could not be buried" in caplog.text and "was locked" in caplog.text
            other._database._connection.execute("ROLLBACK")
        silence.look(store)
        assert child.wait(5) == -signal.SIGKILL
        assert store.workers() == []
