"""Where a loop hangs, and who is not to blame for it."""

from __future__ import annotations

import bdb
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from perdure.core.errors import StoreUnavailable
from perdure.stores import open_store
from perdure.worker.hang import Hang, hang_of
from tests.parts import wait_for


def seen_in(body: Callable[[], object], function: str) -> Hang:
    """What is seen of a thread while it is in this function."""
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    assert thread.ident is not None
    number = thread.ident
    return wait_for(lambda: hang if f"in {function}\n" in (hang := hang_of(number)).stack else None)


def test_the_line_is_named(request: pytest.FixtureRequest) -> None:
    """It is the user's own line, also where Python's library waits below it."""
    may_end = threading.Event()
    request.addfinalizer(may_end.set)

    def spin() -> None:
        may_end.wait()

    hang = seen_in(spin, "wait")
    line = spin.__code__.co_firstlineno + 1
    assert hang.place == f"{__file__}, line {line}, in spin"
    assert "may_end.wait()" in hang.stack and not hang.is_excused


def test_waiting_for_a_database_is_excused(tmp_path: Path) -> None:
    """A database that does not answer is no fault of the code that runs."""
    path = tmp_path / "x.db"
    with closing(open_store(str(path))) as one, closing(open_store(str(path))) as two:
        one._database._connection.execute("BEGIN IMMEDIATE")

        def write() -> None:
            with suppress(StoreUnavailable):
                two.retire(1)

        assert seen_in(write, "_transact").is_excused
        one._database._connection.execute("ROLLBACK")


def test_a_person_with_a_debugger_is_excused(request: pytest.FixtureRequest) -> None:
    """Who stands at a breakpoint has all the time of the world."""
    may_end = threading.Event()
    request.addfinalizer(may_end.set)

    class Person(bdb.Bdb):
        def user_line(self, frame: object) -> None:
            may_end.wait()

    def debugged() -> None:
        Person().runcall(time.sleep, 0)
        Person().runcall(lambda: None)

    assert seen_in(debugged, "user_line").is_excused


def test_a_thread_that_is_gone_is_excused() -> None:
    """There is nothing to see, and nothing to end."""
    assert hang_of(-1).is_excused
