"""Whoever waits for a run is told at once, from any thread, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import perdure
from perdure import function, sleep, start, workflow
from perdure.client import waiting

SOURCE = Path(perdure.__file__).parents[1]


@function
async def deuce() -> int:
    return 2


@workflow
async def brief() -> int:
    return await deuce()


@workflow
async def endless() -> None:
    await sleep("1h")


def python(project: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the project in another process, from a file with always the same name."""
    file = project / "program.py"
    file.write_text(code)
    return subprocess.run(
        [sys.executable, str(file)],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PERDURE_PROJECT": str(project)},
        check=False,
    )


def test_started_on_the_loop_and_waited_for_in_a_thread(project: Path) -> None:
    """A handle that was made on the host's loop may go to another thread at once."""

    async def main() -> None:
        async with perdure.open():
            for _ in range(50):
                assert await asyncio.to_thread(start(brief).result, 10) == 2

    asyncio.run(main())


def test_a_short_run_in_memory_is_not_missed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may end while its waiter begins to listen: nobody has to wait for the next look."""
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 60.0)
    with perdure.open(store="memory:"):
        for _ in range(100):
            began = time.monotonic()
            assert start(brief).result(6) == 2
            assert time.monotonic() - began < 4


def test_waits_that_timed_out_leave_nothing_behind(project: Path) -> None:
    """A program that asks again and again with a short timeout does not grow."""
    with perdure.open() as host:
        run = start(endless)
        for _ in range(100):
            with pytest.raises(TimeoutError):
                run.wait(0.001)
        engine = host.worker.engine
        assert host.call(lambda: len(engine._waiters)) == 0


def test_awaits_that_were_cancelled_leave_nothing_behind(project: Path) -> None:
    """The same in an async program."""

    async def main() -> None:
        async with perdure.open() as host:
            run = start(endless)
            for _ in range(100):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await run
            assert len(host.worker.engine._waiters) == 0

    asyncio.run(main())


MANY_FILES = """
import os, resource, sys
import perdure
from perdure import sleep, start, workflow

@workflow
async def naps() -> int:
    await sleep("100ms")
    return 2

try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
except (OSError, ValueError) as error:
    print(error)
    sys.exit(77)
kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
with perdure.open():
    print(start(naps).result(20))
"""


def test_a_process_with_many_open_files(project: Path) -> None:
    """Waiting works where descriptors have numbers above 1023."""
    done = python(project, MANY_FILES)
    if done.returncode == 77:
        pytest.skip(f"this process may not have 4096 open files: {done.stdout}")
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


MENDED = """
import asyncio, os
import perdure
from perdure import function, start, workflow

@function
async def one() -> int:
    return 1

@function
async def two() -> int:
    return 2

@function
async def last() -> int:
    if FIRST: os._exit(9)
    return 3

@workflow
async def total() -> int:
    return await CALL() + await last()

async def main() -> None:
    async with perdure.open():
        try:
            print(await start(total, key="k"))
        except perdure.RunStuck:
            print("stuck")

asyncio.run(main())
"""


def test_a_stuck_run_goes_on_when_it_is_started_again_with_mended_code(project: Path) -> None:
    """A keyed run got stuck by a change of code; the next program, mended, gets its result."""
    first = python(project, MENDED.replace("FIRST", "True").replace("CALL", "one"))
    assert first.returncode == 9, first.stderr
    changed = python(project, MENDED.replace("FIRST", "False").replace("CALL", "two"))
    assert changed.stdout == "stuck\n", changed.stderr
    mended = python(project, MENDED.replace("FIRST", "False").replace("CALL", "one"))
    assert mended.stdout == "4\n", mended.stderr
