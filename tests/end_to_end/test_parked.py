"""Runs that cannot go on are parked, with the reason, and go on when the cause is mended.

Stuck: the code does not do what the journal says, or workers die of the run again and again.
Blocked: no worker has the code. Real workers (`perdure worker run`) and real files throughout.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import perdure
from perdure import Run, RunStuck, Status, get_run
from perdure.client.connection import connect, forget
from tests.parts import wait_for

SOURCE = Path(perdure.__file__).parents[1]

HEAD = """
import asyncio, os, sys
from perdure import Context, function, sleep, workflow

def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

@function
async def reserve(item: str) -> str:
    note(f"reserve {item}")
    return "reserved"

@function
async def refund(item: str) -> str:
    note(f"refund {item}")
    return "refunded"

@function
async def charge(item: str) -> str:
    note(f"charge {item}")
    return "charged"
"""

ORDER = """
@workflow
async def order(item: str) -> list[str]:
    first = await reserve(item)
    await sleep("{pause}")
    return [first, await charge(item)]
"""

LATE = """
from perdure import workflow

@workflow
async def late() -> str:
    {body}
"""


@pytest.fixture(autouse=True)
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(project)
    monkeypatch.setenv("PERDURE_PROJECT", str(project))
    monkeypatch.setenv("PYTHONPATH", f"{SOURCE}:{project}")
    # Files are rewritten within one second here; a cached module would look as fresh.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    yield
    forget()


Work = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def work(project: Path) -> Iterator[Work]:
    """Starts workers of the project; they are ended with the test."""
    workers: list[subprocess.Popen[bytes]] = []

    def work() -> subprocess.Popen[bytes]:
        with open("worker-log", "ab") as log:
            command = [sys.executable, "-m", "perdure", "worker", "run"]
            workers.append(subprocess.Popen(command, stdout=log, stderr=log))
        return workers[-1]

    yield work
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
    for worker in workers:
        worker.wait(20)
    # Who waits for a run while no worker is there has the project's background worker started.
    store = connect().store
    for row in store.workers():
        if row.is_background:
            os.kill(row.pid, signal.SIGTERM)
    wait_for(lambda: not [row for row in store.workers() if row.is_background], seconds=20)


def write(text: str) -> None:
    Path("app.py").write_text(HEAD + text)


def begin(call: str, before: str = "import perdure, app\n") -> Run[object]:
    """Start a run as any program of the project would, without hosting it."""
    done = python("-c", f"{before}print(perdure.start({call}).tid)")
    return get_run(done.stdout.strip())


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=30
    )


def notes() -> list[str]:
    return Path("notes").read_text().splitlines()


def log() -> str:
    """What workers said, the background worker among them."""
    logs = [Path("worker-log"), Path(".perdure/logs/worker.log")]
    return "".join(path.read_text() for path in logs if path.exists())


def alive(worker: subprocess.Popen[bytes]) -> bool:
    return worker.poll() is None


def works(worker: subprocess.Popen[bytes]) -> None:
    """Wait until a worker is registered: a start before would wake the background worker."""
    store = connect().store
    wait_for(lambda: any(row.pid == worker.pid for row in store.workers()))


def test_changed_code_parks_the_run_and_mended_code_goes_on(work):
    """Both sides are named; nothing is executed, nothing is lost; the mend is picked up by itself."""
    write(ORDER.format(pause="1.5s"))
    worker = work()
    works(worker)
    run = begin("app.order, 'book'")
    wait_for(lambda: run.status() is Status.WAITING)
    recorded = [entry.as_json() for entry in run.events()]

    write(ORDER.format(pause="1.5s").replace("reserve(item)", "refund(item)"))
    assert run.wait(20) is Status.STUCK
    reason = run.record().reason or ""
    assert "journal has step 0 reserve(), code now calls refund()" in reason
    assert "was a change deployed?" in reason
    with pytest.raises(RunStuck, match="journal has step 0"):
        run.result()
    assert [entry.as_json() for entry in run.events()] == recorded
    assert notes() == ["reserve book"]

    write("# The mend.\n" + ORDER.format(pause="1.5s"))
    wait_for(lambda: run.status() is Status.COMPLETED, seconds=20)
    assert run.result() == ["reserved", "charged"]
    assert notes() == ["reserve book", "charge book"]
    assert alive(worker), "the worker that was started by hand is the same process"


def test_the_same_code_does_not_try_a_stuck_run_again(work):
    """A restart alone changes nothing: only other code is another try."""
    write(ORDER.format(pause="1.2s"))
    worker = work()
    works(worker)
    run = begin("app.order, 'book'")
    wait_for(lambda: run.status() is Status.WAITING)
    write(ORDER.format(pause="1.2s").replace("reserve(item)", "refund(item)"))
    assert run.wait(20) is Status.STUCK
    attempt = run.record().attempt
    wait_for(lambda: Path("worker-log").read_text().count(" works on ") == 2)  # it began afresh
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    works(work())
    other = begin("app.charge, 'x'")
    assert other.wait(20) is Status.COMPLETED
    assert (run.status(), run.record().attempt) == (Status.STUCK, attempt)


def test_changed_arguments_warn_and_go_on(work):
    """A new default must not stop production: what is recorded counts, and the log tells."""
    write(ORDER.format(pause="1.2s"))
    works(work())
    run = begin("app.order, 'book'")
    wait_for(lambda: run.status() is Status.WAITING)
    write(ORDER.format(pause="1.2s").replace("reserve(item)", "reserve(item + '!')"))
    assert run.result(20) == ["reserved", "charged"]
    assert notes() == ["reserve book", "charge book"]
    assert "the code now calls it with" in log()


def test_a_step_that_ends_its_process_once_is_recovered(work):
    """`os._exit` is a crash like any other: another worker runs the step again."""
    write("""
@function
async def fatal() -> str:
    if not os.path.exists("died"):
        open("died", "w").close()
        os._exit(9)
    return "survived"

@workflow
async def risky() -> list[str]:
    return [await reserve("a"), await fatal(), await charge("a")]
""")
    worker = work()
    works(worker)
    run = begin("app.risky")
    assert worker.wait(20) == 9
    work()
    assert run.result(20) == ["reserved", "survived", "charged"]
    assert notes() == ["reserve a", "charge a"]


FATAL = """
@function
async def fatal() -> str:
    note("fatal")
    os._exit(9)

@workflow
async def fatal_order() -> list[str]:
    return [await reserve("a"), await fatal(), await charge("a")]
"""


def begin_fatal_order(work: Work) -> Run[object]:
    """Start a run, and let five workers die of it."""
    run = None
    for death in range(1, 6):
        worker = work()
        if run is None:
            works(worker)
            run = begin("app.fatal_order")
        assert worker.wait(30) == 9, log()
        assert notes().count("fatal") == death
    assert run is not None
    return run


def test_a_run_that_kills_every_worker_is_parked(work):
    """After five deaths without progress it is stuck; from the second on it dies alone, and the
    runs beside it complete."""
    write(FATAL + ORDER.format(pause="10ms"))
    run = begin_fatal_order(work)
    last = work()
    works(last)
    beside = begin("app.order, 'pen'")
    assert beside.result(20) == ["reserved", "charged"]
    wait_for(lambda: run.status() is Status.STUCK)
    record = run.record()
    assert record.crashes == 5
    assert record.reason == (
        "5 workers in a row died while they ran it, without recorded progress; mend the cause, "
        f"then: perdure retry {run.tid}"
    )
    assert alive(last)
    assert run.cancel()
    assert run.status() is Status.CANCELLED


def test_a_run_that_killed_its_workers_is_retried_once_it_is_mended(work, monkeypatch):
    """`perdure retry` starts a worker, and only what is not recorded is executed."""
    write(FATAL)
    run = begin_fatal_order(work)
    last = work()
    wait_for(lambda: run.status() is Status.STUCK, seconds=20)
    last.send_signal(signal.SIGTERM)
    assert last.wait(20) == 0

    write(FATAL.replace("os._exit(9)", "return 'survived'"))
    monkeypatch.setenv("PERDURE_WORKER_AUTOSTART", "true")
    done = python("-m", "perdure", "retry", run.tid)
    assert done.stderr == ""
    wait_for(lambda: run.status() is Status.COMPLETED, seconds=30)  # who only looks starts nothing
    assert run.result() == ["reserved", "survived", "charged"]
    assert run.record().crashes == 0
    assert notes() == ["reserve a", *["fatal"] * 6, "charge a"]


def test_a_run_whose_code_is_gone_is_blocked_until_it_is_there(work):
    """It is not failed: its status says what is missing, and it goes on when the code arrives."""
    write(ORDER.format(pause="10ms"))
    works(work())
    Path("late.py").write_text(LATE.format(body="return 'at last'"))
    code = "import os, perdure, late\nos.rename('late.py', 'gone')\n"
    run = begin("late.late", code)
    assert run.wait(20) is Status.BLOCKED
    with pytest.raises(RunStuck, match=r"is blocked: there is no file .*late\.py; was it moved"):
        run.result()
    assert begin("app.order, 'pen'").result(20) == ["reserved", "charged"]
    os.rename("gone", "late.py")
    wait_for(lambda: run.status() is Status.COMPLETED, seconds=20)


def test_a_run_of_another_version_is_blocked_until_that_version_is_there(work):
    """A run stays with the version it was started on; the reason names both."""
    text = """
@workflow(version=os.environ.get("VERSION", "1"))
async def versioned() -> str:
    return "done"
"""
    write(text)
    works(work())
    run = begin("app.versioned", "import os\nos.environ['VERSION'] = '2'\nimport perdure, app\n")
    assert run.wait(20) is Status.BLOCKED
    assert "version '2' of versioned is not here, only '1'" in (run.record().reason or "")
    write(text.replace('"1"', '"2"'))
    wait_for(lambda: run.status() is Status.COMPLETED, seconds=20)


def test_a_module_that_does_not_import_blocks_its_runs_until_it_is_mended(work):
    """The reason names the file, the line and the error; other runs are not held up."""
    write(ORDER.format(pause="10ms"))
    missing = "import os\nif 'STARTER' not in os.environ:\n    import no_such_module_anywhere\n"
    Path("late.py").write_text(missing + LATE.format(body="return 'at last'"))
    works(work())
    run = begin("late.late", "import os\nos.environ['STARTER'] = ''\nimport perdure, late\n")
    assert run.wait(20) is Status.BLOCKED
    reason = run.record().reason or ""
    assert "no_such_module_anywhere" in reason
    assert "late.py, line 3" in reason
    assert begin("app.order, 'pen'").result(20) == ["reserved", "charged"]
    Path("late.py").write_text(LATE.format(body="return 'at last'"))
    wait_for(lambda: run.status() is Status.COMPLETED, seconds=20)
    assert run.result() == "at last"
