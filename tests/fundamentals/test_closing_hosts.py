"""A host that is closed in a hurry, or in trouble, still lets go of all that it had."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import perdure
from perdure import Status, function, sleep, start, workflow
from perdure.client.connection import connect
from perdure.client.host import Host
from tests.parts import wait_for


def threads() -> list[str]:
    """Perdure's threads; the idle ones for plain functions end by themselves."""
    names = [thread.name for thread in threading.enumerate()]
    return sorted(
        name
        for name in names
        if name.startswith("perdure-") and not name.startswith("perdure-function")
    )


def files() -> int:
    """How many files this process has open."""
    return len(os.listdir("/dev/fd"))


@pytest.fixture
def nothing_left(project: Path) -> Iterator[None]:
    """At the end of the test no worker, thread or file is left of its hosts."""
    store = connect().store
    # SQLite keeps the files of closed connections for the next ones, while others are open.
    with perdure.open(worker={"drain": "0s"}):
        pass
    assert store.workers() == []
    before = files(), threads()
    yield
    assert store.workers() == []
    assert (files(), threads()) == before


async def turns_until(seen: Callable[[], object]) -> None:
    """Let the loop turn until something is seen that happens on it, or beside it."""
    async with asyncio.timeout(20):
        while not seen():
            await asyncio.sleep(0)


class Program:
    """An async program that starts a run whose step never ends, and leaves its host at once or
    when it is cancelled."""

    def __init__(self, open_host: Callable[..., Host], *, leaves: bool) -> None:
        self._open_host = open_host
        self._leaves = leaves
        self.host: Host | None = None
        self.begun = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        @function
        async def endless() -> None:
            self.begun.set()
            await asyncio.Event().wait()

        async with self._open_host(worker={"drain": "1h"}) as self.host:
            self.worker = self.host.worker
            self.run = start(endless)
            await self.begun.wait()
            if not self._leaves:
                await asyncio.Event().wait()

    def has_left(self) -> bool:
        """Whether it has left the block, and its host waits for the step."""
        return self.host is not None and self.worker.is_ending

    async def end(self) -> None:
        """Wait for its end; the cancellation must not be lost."""
        await asyncio.wait([self.task])
        assert self.task.cancelled()
        status = connect().store.get(int(self.run.tid)).status
        assert status is Status.QUEUED  # for whoever comes next; nobody waits for a lease


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.usefixtures("nothing_left")
def test_a_program_that_is_cancelled_again_closes_its_host(open_host, times):
    """As by a time-out around a group of tasks that is cancelled."""

    async def main() -> None:
        program = Program(open_host, leaves=False)
        await program.begun.wait()
        for _ in range(times):
            program.task.cancel()
            await asyncio.sleep(0)
        await program.end()

    asyncio.run(main())


@pytest.mark.usefixtures("nothing_left")
def test_a_cancellation_ends_the_grace_of_a_host_that_closes(open_host):
    """It would wait an hour for its step."""

    async def main() -> None:
        program = Program(open_host, leaves=True)
        await turns_until(program.has_left)
        program.task.cancel()
        await program.end()

    asyncio.run(main())


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.usefixtures("nothing_left")
def test_a_loop_that_is_ended_closes_the_host(open_host, late):
    """A second Ctrl-C makes asyncio cancel whatever there is, the closing too, in any part of it."""

    async def main() -> None:
        program = Program(open_host, leaves=True)
        await turns_until(program.has_left)
        if late:
            program.task.cancel()
            await turns_until(lambda: "perdure-watchdog" not in threads())
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await program.end()

    asyncio.run(main())


@pytest.mark.usefixtures("nothing_left")
def test_a_program_that_is_cancelled_while_it_opens_leaves_no_host(open_host):
    """At any turn of the loop: the worker may be registered already."""

    async def program() -> None:
        async with open_host(worker={"drain": "0s"}):
            await asyncio.Event().wait()

    async def main() -> None:
        for turns in range(0, 150, 5):
            task = asyncio.create_task(program())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    asyncio.run(main())


@pytest.mark.usefixtures("nothing_left")
def test_ctrl_c_ends_the_grace_of_a_host_that_closes(open_host):
    """The program waits for its step, and somebody has no patience."""
    begun = threading.Event()

    @function
    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    def interrupt(host: Host) -> None:
        wait_for(lambda: host.running() is None)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), open_host(worker={"drain": "1h"}) as host:
        run = start(endless)
        assert begun.wait(10)
        impatient = threading.Thread(target=interrupt, args=(host,))
        impatient.start()
    impatient.join()
    record = connect().store.get(int(run.tid))
    assert record is not None
    assert record.status is Status.QUEUED


@workflow
async def nap() -> None:
    await sleep("1h")


def misspell(project: Path) -> str:
    """Somebody edits the settings while the program runs."""
    (project / "perdure.toml").write_text("[worker]\nlaese = 1\n")
    return "unknown setting worker.laese"


def block_the_mark(project: Path) -> str:
    """The mark of a worker that a person has stopped cannot be taken away."""
    (project / ".perdure/worker.stopped").mkdir()
    return "worker.stopped"


@pytest.mark.parametrize("trouble", [misspell, block_the_mark])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.usefixtures("nothing_left")
def test_trouble_with_what_is_left_hides_no_error(open_host, project, caplog, trouble, kind):
    """The program's own error is raised, and the log says what becomes of the run."""
    told = []

    def fail() -> None:
        start(nap).status()
        told.append(trouble(project))
        raise ZeroDivisionError("the program's own")

    async def main() -> None:
        async with open_host(worker={"autostart": True}):
            fail()

    def script() -> None:
        with open_host(worker={"autostart": True}):
            fail()

    with pytest.raises(ZeroDivisionError):
        script() if kind == "sync" else asyncio.run(main())
    assert "waits for the next command" in caplog.text
    assert told[0] in caplog.text
