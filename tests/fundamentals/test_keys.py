"""Idempotency keys: a start that is repeated starts nothing twice."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

import perdure
from perdure import DeclarationError, RunFailed, Status, function, list_runs, sleep, start, workflow
from perdure.core.errors import KeyConflict, UsageError


def test_the_same_key_returns_the_same_run(host):
    """With the same input; it is executed once, and its result is there for every starter."""
    calls = []

    @function
    async def charge(cents: int) -> int:
        calls.append(cents)
        return cents

    @workflow
    async def buy(cents: int) -> int:
        return await charge(cents)

    first = start(buy, 5, key="order-1")
    second = start(buy, 5, key="order-1")
    assert first.tid == second.tid
    assert first.result() == second.result() == 5
    assert start(buy, 5, key="order-1").tid == first.tid
    assert calls == [5]


def test_the_same_key_with_another_input_is_refused(host):
    """The error names the run that has the key, and nothing is stored."""

    @workflow
    async def buy(cents: int) -> int:
        return cents

    first = start(buy, 5, key="order-1")
    with pytest.raises(KeyConflict, match="order-1") as caught:
        start(buy, 6, key="order-1")
    assert caught.value.tid == int(first.tid)
    assert len(list_runs(name="buy")) == 1


def test_keys_belong_to_one_workflow(host):
    """Another workflow may use the same key."""

    @workflow
    async def buy() -> str:
        return "bought"

    @workflow
    async def sell() -> str:
        return "sold"

    assert start(buy, key="k").result() == "bought"
    assert start(sell, key="k").result() == "sold"


def test_a_workflow_with_an_input_named_key(host):
    """`options(key=…)` is for workflows whose own input has that name."""

    @workflow
    async def unlock(key: str) -> str:
        return f"opened with {key}"

    with pytest.raises(UsageError, match="ambiguous"):
        start(unlock, key="brass")
    handle = start(unlock.options(key="once"), "brass")
    assert handle.result() == "opened with brass"
    assert handle.record().key == "once"


@pytest.mark.parametrize("key", ["", 5, "x" * 501, "a\ud800"], ids=ascii)
def test_what_is_no_key_is_refused(host, key):
    """Before anything is stored."""

    @workflow
    async def buy() -> None: ...

    with pytest.raises(UsageError, match="is no idempotency key"):
        start(buy, key=key)
    with pytest.raises(UsageError, match="is no idempotency key"):
        buy.options(key=key)
    assert list_runs(name="buy") == []


def test_a_step_key_that_cannot_be_written_down_is_refused(host):
    """Where it is given, in the body, so that the run fails with it and is not stuck."""

    @function
    async def charge() -> None: ...

    @workflow
    async def buy() -> None:
        await charge.options(key="a\ud800")()

    with pytest.raises(DeclarationError, match=r"key='a\\ud800' of charge\(\).*lone surrogate"):
        charge.options(key="a\ud800")
    with pytest.raises(RunFailed, match="lone surrogate"):
        start(buy).result(10)


def test_a_name_that_cannot_be_written_down_is_refused(host):
    """Nothing is named so, and the store is not asked."""
    with pytest.raises(UsageError, match=r"name='\\ud800' has a lone surrogate"):
        list_runs(name="\ud800")
    with pytest.raises(DeclarationError, match=r"version='\\ud800'"):
        workflow(version="\ud800")(_nothing)


async def _nothing() -> None: ...


def test_twenty_threads_race_for_a_key(host):
    """All of them get the same run, and it is executed once."""
    calls = []
    tids = []
    errors = []
    together = threading.Barrier(20)

    @function
    async def charge() -> None:
        calls.append(1)

    @workflow
    async def buy() -> None:
        await charge()
        await sleep("10ms")

    def race() -> None:
        together.wait()
        try:
            handle = start(buy, key="one")
            tids.append(handle.tid)
            handle.result(10)
        except BaseException as error:
            errors.append(error)

    racers = [threading.Thread(target=race) for _ in range(20)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert errors == []
    assert len(tids) == 20
    assert len(set(tids)) == 1
    assert calls == [1]


RACER = """
import sys
import perdure
from app import buy
with perdure.open():
    sys.stdin.readline()
    handle = perdure.start(buy, key="one")
    print(handle.tid, handle.result(20))
"""

APP = """
import os
from pathlib import Path
from perdure import function, workflow

@function
async def charge() -> int:
    with open(Path(__file__).parent / "charges", "a") as log:
        log.write("charged\\n")
    return 7

@workflow
async def buy() -> int:
    return await charge()
"""


def test_four_processes_race_for_a_key(project: Path):
    """Processes that host, each its own: one run, executed once, and all get its result."""
    (project / "app.py").write_text(APP)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER],
            cwd=project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": f"{Path(perdure.__file__).parents[1]}:{project}"},
        )
        for _ in range(4)
    ]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = {racer.communicate(timeout=30)[0] for racer in racers}
    assert len(said) == 1, said
    assert said.pop().endswith(" 7\n")
    assert (project / "charges").read_text() == "charged\n"


def test_a_key_of_a_finished_run_is_still_its_own(open_host, project):
    """Also for a process that comes later."""

    @workflow
    async def buy() -> str:
        return "bought"

    with open_host():
        tid = start(buy, key="k").tid
        assert start(buy, key="k").result() == "bought"
    with open_host():
        again = start(buy, key="k")
        assert (again.tid, again.status()) == (tid, Status.COMPLETED)
