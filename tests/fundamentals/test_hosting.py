"""Who executes: a script, an async program, another process, a background worker."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

import perdure
from perdure import Status, function, get_run, run, sleep, start, workflow
from perdure.core.errors import SettingsError, StoreUnusable, UsageError
from tests.parts import wait_for

SOURCE = Path(perdure.__file__).parents[1]

APP = """
import os
from perdure import function, workflow, sleep

@function
async def where() -> int:
    return os.getpid()

@workflow
async def ask_where(seconds: float = 0) -> list[int]:
    first = await where()
    await sleep(seconds)
    return [first, await where()]
"""


def python(project: Path, code: str, *, autostart: bool = False) -> str:
    """Run code in another process of the project; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "PYTHONPATH": f"{SOURCE}:{project}",
            "PERDURE_PROJECT": str(project),
            "PERDURE_WORKER_AUTOSTART": str(autostart).lower(),
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@function
async def twice(n: int) -> int:
    return 2 * n


@workflow
async def doubled(n: int) -> int:
    return await twice(n)


def test_run_hosts_for_the_time_of_one_run(project):
    """`perdure.run` is all that a script needs."""
    assert run(doubled, 4) == 8
    assert run(twice, 4) == 8


def test_run_in_an_open_host_uses_it(host):
    """No second worker is started."""
    assert run(doubled, 4) == 8
    assert len(host.connection.store.workers()) == 1


def test_an_async_program_hosts_on_its_own_loop(open_host):
    """`async with`, and handles are awaited."""

    async def main() -> list[int]:
        async with open_host():
            one = start(doubled, 1)
            two = start(doubled, 2)
            return [await one, await two, await start(twice, 3)]

    assert asyncio.run(main()) == [2, 4, 6]


def test_a_handle_tells_its_tid_only_when_the_run_is_stored(open_host):
    """On the host's own loop the start shares the next commit; whoever reads the TID may rely on it."""

    async def main() -> None:
        async with open_host() as host:
            handle = start(doubled, 1)
            assert host.connection.store.get(int(handle.tid)) is not None
            assert await handle == 2

    asyncio.run(main())


def test_blocking_calls_on_the_loop_are_refused(open_host):
    """They would wait for themselves; the sentence says what to write."""

    async def main() -> None:
        async with open_host():
            handle = start(doubled, 1)
            with pytest.raises(UsageError, match="write: await run"):
                handle.result()
            with pytest.raises(UsageError, match="blocks; in async code"):
                run(doubled, 1)
            await handle

    asyncio.run(main())


def test_an_async_program_awaits_a_run_of_another_host(open_host):
    """A handle can be awaited on any loop."""

    async def main(handle: perdure.Run[int]) -> int:
        return await handle

    with open_host():
        assert asyncio.run(main(start(doubled, 21))) == 42


def test_a_step_may_start_runs(host):
    """From a step `start` is what it is anywhere else: the run is its own, not a child."""

    @function
    async def kick(n: int) -> str:
        return start(doubled, n, key=f"kick-{n}").tid

    @function
    def kick_plain(n: int) -> str:
        return start(doubled, n).tid

    @workflow
    async def work() -> list[str]:
        return [await kick(1), await kick_plain.step(2)]

    async_tid, plain_tid = start(work).result(10)
    assert get_run(async_tid).result(10) == 2
    assert get_run(plain_tid).result(10) == 4
    assert get_run(plain_tid).record().parent is None


def test_what_one_host_leaves_another_one_finishes(open_host, project):
    """A host that closes waits for its steps and hands the rest back."""
    begun, may_end = threading.Event(), threading.Event()

    @function
    def slow() -> str:
        begun.set()
        may_end.wait(10)
        return "finished in the first host"

    @workflow
    async def work() -> list:
        first = await slow.step()
        return [first, await twice(1)]

    with open_host():
        handle = start(work)
        assert begun.wait(10)
        threading.Timer(0.05, may_end.set).start()
    assert handle.status() in (Status.QUEUED, Status.WAITING)
    assert [entry.value for entry in handle.events()][1:] == ["finished in the first host"]
    with open_host():
        assert handle.result(10) == ["finished in the first host", 2]


def test_closing_a_host_again_or_opening_it_twice(open_host):
    """Twice open is refused; a closed host is closed."""
    host = open_host()
    with host, pytest.raises(UsageError, match="is open already"):
        host.__enter__()
    with pytest.raises(UsageError, match="is not open"):
        _ = host.worker


def test_a_memory_store_needs_no_file(project):
    """For tests and scripts that nothing must outlive."""
    with perdure.open(store="memory:"):
        assert start(doubled, 5).result(10) == 10
    assert not (project / ".perdure" / "perdure.db").exists()


def test_a_run_of_another_process_goes_on_in_this_one(project):
    """A process that ends hands its run back; a later one, another program, finishes it."""
    (project / "app.py").write_text(APP)
    code = (
        "import perdure, app\nwith perdure.open():\n  print(perdure.start(app.ask_where, 0.3).tid)"
    )
    tid = python(project, code).strip()
    assert get_run(tid).status() in (Status.WAITING, Status.QUEUED)
    code = "import perdure, app, os\nwith perdure.open():\n"
    code += f"  r = perdure.get_run('{tid}').result(20)\n  print(r[1] == os.getpid() != r[0])"
    assert python(project, code).strip() == "True"


def test_the_background_worker_executes_what_nobody_hosts(project):
    """`start` in a process that hosts nothing wakes the project's worker; the run outlives its
    starter."""
    pytest.importorskip("perdure.cli")
    (project / "app.py").write_text(APP)
    code = "import perdure, app, os\nprint(perdure.start(app.ask_where).tid, os.getpid())"
    tid, starter = python(project, code, autostart=True).split()
    handle = get_run(tid)
    pids = handle.result(30)
    (worker,) = handle._connection.store.workers()
    assert pids == [worker.pid, worker.pid]
    assert worker.is_background
    assert worker.pid != int(starter)
    import os
    import signal

    os.kill(worker.pid, signal.SIGTERM)
    wait_for(lambda: not handle._connection.store.workers(), seconds=20)


TWIN = """
import perdure
from perdure import function, workflow

@function
async def {letter}() -> str:
    return "{letter}"

@workflow
async def main() -> str:
    await perdure.sleep("1500ms")
    return await {letter}()
"""


def test_a_run_is_never_continued_by_other_code_of_the_same_name(project: Path) -> None:
    """Two files use one name: the run of one is parked by a host of the other, and goes on in its
    own."""
    for letter in "ab":
        (project / f"{letter}.py").write_text(TWIN.format(letter=letter))
    code = "import perdure, {0}\nwith perdure.open():\n  {1}"
    tid = python(project, code.format("a", "print(perdure.start(a.main).tid)")).strip()
    waits = f"perdure.get_run('{tid}').wait(20); print(perdure.get_run('{tid}').record().reason)"
    told = python(project, code.format("b", waits))
    assert "a.py" in told
    assert "name=…" in told
    result = f"print(perdure.get_run('{tid}').result(20))"
    assert python(project, code.format("a", result)) == "a\n"


def test_a_host_that_declares_nothing_serves_nothing(project: Path) -> None:
    """A program that hosts, but knows no workflow, is not taken for a worker that runs any."""
    (project / "app.py").write_text(APP)
    told = python(
        project,
        """
import perdure
with perdure.open() as host:
    rows = host.connection.store.workers()
    print([row.serves for row in rows])
""",
    )
    assert told == "[()]\n"


def test_a_host_leaves_no_threads_behind(open_host):
    """What was started for it ends with it."""
    before = set(threading.enumerate())
    with open_host():
        assert start(doubled, 1).result() == 2
    left = {t.name for t in set(threading.enumerate()) - before if t.is_alive()}
    assert {name for name in left if not name.startswith("perdure-function")} == set()


def test_a_sleeping_run_keeps_no_host_open(open_host):
    """Closing is quick, although runs wait for days."""

    @workflow
    async def hibernate() -> None:
        await sleep("30d")

    with open_host():
        handle = start(hibernate)
        wait_for(lambda: handle.status() is Status.WAITING)
    assert handle.status() is Status.WAITING


def test_a_start_after_the_worker_has_ended_is_stored(open_host):
    """A worker that stopped in its host takes nothing more; the run is there for the next one."""
    with open_host() as host:
        host.worker.request_stop()
        host._thread.join(20)
        handle = start(doubled, 2)
        assert handle.status() is Status.QUEUED
        with pytest.raises(TimeoutError, match="is still queued"):
            handle.result(timeout=0.01)
    with open_host():
        assert handle.result(10) == 4


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ({"modules": ["app"]}, "import the modules"),
        ({"log": {"level": "debug"}}, "ContextFilter"),
        ({"log.level": "debug"}, "ContextFilter"),
        ({"worker.idle_exit": "1s"}, "ends when its program closes it"),
        ({"worker": {"idle_exit": "1s"}}, "ends when its program closes it"),
    ],
)
def test_settings_that_a_host_would_not_follow_are_refused(open_host, settings, mend):
    """They are for worker processes; the sentence says what to do in an application."""
    with pytest.raises(SettingsError, match=mend):
        open_host(**settings)


def test_a_handle_reads_the_result_by_the_workflow_that_was_started(host):
    """Another declaration of the same name, made meanwhile, says nothing about this run."""

    @dataclass
    class Box:
        size: int

    def declare(output):
        async def boxed() -> output:
            return Box(3) if output is Box else {"size": 3}

        return workflow(boxed)

    handle = start(declare(Box))
    by_key = start(declare(Box), key="box")
    assert handle.wait(10) is by_key.wait(10) is Status.COMPLETED
    declare(dict[str, int])
    assert handle.result() == Box(3)
    assert by_key.result() == Box(3)


@function
async def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()


@workflow
async def stops_the_loop_first() -> int:
    await stop_the_loop()
    await sleep(0.3)
    return await twice(2)


def test_a_host_whose_loop_was_stopped_hands_its_runs_back(project: Path) -> None:
    """Nobody waits for its lease to end, and the next host goes on."""
    with perdure.open() as host:
        run = start(stops_the_loop_first)
        wait_for(lambda: host.running() is None)
        wait_for(lambda: not host.connection.store.workers())
        assert run.status() in (Status.QUEUED, Status.WAITING)
    with perdure.open():
        assert run.result(20) == 4


def test_a_host_whose_database_was_deleted_acknowledges_nothing_more(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It could write into the deleted file for ever."""
    with perdure.open() as host:
        assert start(ask_quickly).result(20) == 4
        shutil.rmtree(project / ".perdure")
        with pytest.raises(StoreUnusable, match="was deleted or replaced while it was open"):
            start(ask_quickly)
        wait_for(lambda: host.running() is None)
    assert "was deleted or replaced while it was open" in caplog.text


@workflow
async def ask_quickly() -> int:
    return await twice(2)
