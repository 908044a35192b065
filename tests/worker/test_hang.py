"""Where a loop hangs, and who is not to blame for it."""

from __future__ import annotations

import bdb
import os
import sysconfig
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

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

    def look() -> Hang | None:
        hang = hang_of(number)
        return hang if f"in {function}\n" in hang.stack + "\n" else None

    return wait_for(look)


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


def seen_spinning(request: pytest.FixtureRequest, module: str, file: str) -> Hang:
    """What is seen of a module of this name and place while a function of it spins."""
    goes_on = [True]
    request.addfinalizer(goes_on.clear)
    names: dict[str, Any] = {"__name__": module, "goes_on": goes_on}
    exec(compile("def spin():\n    while goes_on:\n        pass\n", file, "exec"), names)
    return seen_in(lambda: names["spin"](), "spin")


@pytest.mark.parametrize("module", ["pdbfixer", "bdbag.api", "pydevdocs", "debugpython.x"])
def test_a_name_that_begins_like_a_debugger_excuses_nobody(request, module: str) -> None:
    """Other packages are named like that, too."""
    assert not seen_spinning(request, module, "/srv/shop.py").is_excused


@pytest.mark.parametrize("module", ["pdb", "pydevd", "debugpy.server.api", "_pydevd_bundle.x"])
def test_every_debugger_is_excused(request, module: str) -> None:
    """Also those that come with an editor."""
    assert seen_spinning(request, module, "/srv/shop.py").is_excused


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_what_was_installed_is_named(request, folder: str) -> None:
    """Outside a virtual environment it lies in the folder of Python's own library."""
    file = os.path.join(sysconfig.get_path("stdlib"), folder, "shop", "price.py")
    hang = seen_spinning(request, "shop.price", file)
    assert hang.place.startswith(f"{file}, line ")


def test_a_thread_that_is_gone_is_excused() -> None:
    """There is nothing to see, and nothing to end."""
    assert hang_of(-1).is_excused
