"""Who is silent is ended only when it is certain who that is, and that nobody heard of it."""

from __future__ import annotations

import logging
import signal
from contextlib import closing
from dataclasses import replace

import pytest

from perdure.stores.memory import MemoryStore
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
