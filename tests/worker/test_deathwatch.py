"""Deaths on this host are noticed at once."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from dataclasses import replace

import pytest

from perdure.worker import deathwatch
from perdure.worker.deathwatch import DeathWatch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="proofs need /proc")

WAIT = "import sys; print('up', flush=True); sys.stdin.read()"


@pytest.fixture
def watch():
    """A watch of this process that is closed at the end."""
    watch = DeathWatch()
    yield watch
    watch.close()
    watch.close()


def is_readable(watch: DeathWatch, seconds: float = 0.0) -> bool:
    return bool(select.select([watch.fileno()], [], [], seconds)[0])


def test_a_killed_worker_is_noticed(watch, start, row_of) -> None:
    """The descriptor wakes at the kill, tells each death once, and is quiet afterwards."""
    children = [start(WAIT) for _ in range(3)]
    for number, child in enumerate(children):
        child.stdout.readline()
        assert watch.watch(row_of(child.pid, id=number))
        assert watch.watch(row_of(child.pid, id=number)), "again is fine"
    assert not is_readable(watch) and watch.dead() == []
    children[1].kill()
    assert is_readable(watch, 2)
    assert watch.dead() == [1]
    assert not is_readable(watch) and watch.dead() == []
    assert watch.watched == {0, 2}
    children[0].kill()
    children[2].kill()
    told: list[int] = []
    while len(told) < 2:
        assert is_readable(watch, 2)
        told += watch.dead()
    assert sorted(told) == [0, 2]


def test_a_loop_can_wait_for_it(watch, start, row_of) -> None:
    """The descriptor serves asyncio's `add_reader`."""
    child = start(WAIT)
    child.stdout.readline()
    watch.watch(row_of(child.pid, id=7))

    async def wait() -> list[int]:
        loop = asyncio.get_running_loop()
        died: asyncio.Future[list[int]] = loop.create_future()
        loop.add_reader(watch.fileno(), lambda: died.set_result(watch.dead()))
        child.kill()
        try:
            return await asyncio.wait_for(died, 2)
        finally:
            loop.remove_reader(watch.fileno())

    assert asyncio.run(wait()) == [7]


def test_who_is_dead_already_is_told_at_once(watch, start, row_of) -> None:
    """Also one whose pid belongs to a younger process now, and one of an earlier boot."""
    child = start("")
    child.wait()
    living = row_of(os.getppid())
    assert watch.watch(row_of(child.pid, id=1))
    assert watch.watch(replace(living, id=2, started=living.started - 1))
    assert watch.watch(replace(living, id=3, boot_id="another"))
    assert is_readable(watch)
    assert sorted(watch.dead()) == [1, 2, 3]
    assert not is_readable(watch)


def test_a_forgotten_worker_is_not_told(watch, start, row_of) -> None:
    """Forgotten is forgotten, dead or alive; an unknown id is fine."""
    child = start(WAIT)
    child.stdout.readline()
    watch.watch(row_of(child.pid, id=1))
    watch.forget(1)
    watch.forget(99)
    child.kill()
    child.wait()
    assert watch.watched == frozenset()
    assert not is_readable(watch) and watch.dead() == []


def test_what_cannot_be_proven_is_not_watched(watch, row_of) -> None:
    """Workers of other hosts and containers, of no address, and this process itself."""
    other = row_of(os.getppid())
    for far in ({"host": "elsewhere"}, {"pid_namespace": "pid:[1]"}, {"boot_id": ""}):
        assert not watch.watch(replace(other, **far))
    assert not watch.watch(row_of(os.getpid()))
    assert watch.watched == frozenset()


def test_it_works_without_pidfds(watch, start, row_of, monkeypatch) -> None:
    """A kernel without them leaves the asking, which proves the same."""

    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(deathwatch.os, "pidfd_open", refuse)
    child = start(WAIT)
    child.stdout.readline()
    assert watch.watch(row_of(child.pid, id=1))
    assert watch.dead() == []
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert watch.dead() == [1]


def test_no_descriptor_is_left_open(start, row_of) -> None:
    """Watching, telling, forgetting and closing give back what they took."""
    before = len(os.listdir("/proc/self/fd"))
    child = start(WAIT)
    child.stdout.readline()
    with_child = len(os.listdir("/proc/self/fd"))
    watch = DeathWatch()
    for id in range(10):
        watch.watch(row_of(child.pid, id=id))
    watch.forget(3)
    child.kill()
    assert is_readable(watch, 2)
    assert len(watch.dead()) == 9
    watch.close()
    assert len(os.listdir("/proc/self/fd")) == with_child > before
