"""A database that is locked, on a read-only or a full disk: one sentence, by command and in Python."""

from __future__ import annotations

import sqlite3
import subprocess
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import perdure
from perdure.client.connection import forget
from perdure.core.errors import StoreUnavailable, StoreUnusable
from perdure.stores import open_store
from tests.cli.conftest import Perdure

Mount = Callable[..., None]


@pytest.fixture
def here(project: Perdure, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project, with a database, as the one of this process, too."""
    monkeypatch.setenv("PERDURE_PROJECT", str(project.root))
    monkeypatch.setenv("PERDURE_WORKER_AUTOSTART", "false")
    project.env["PERDURE_WORKER_AUTOSTART"] = "false"
    open_store(str(project.root / ".perdure/perdure.db")).close()
    yield project.root
    forget()


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mount something for the time of the test; skip it where that is not allowed."""
    mounted: list[Path] = []

    def mount(target: Path, *options: str) -> None:
        done = subprocess.run(["mount", *options, str(target)], capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")
        mounted.append(target)

    yield mount
    for target in mounted:
        subprocess.run(["umount", "-l", str(target)], check=True)


def modules_in(error: BaseException) -> set[str]:
    """The files of Perdure that a traceback shows, with those of its causes that it shows."""
    shown = "".join(traceback.format_exception(error))
    return {name for name in ("sqlite.py", "asyncio", "committer.py", "stores") if name in shown}


@pytest.mark.parametrize("is_connected", [False, True])
def test_a_database_that_somebody_keeps_locked(
    here: Path, is_connected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`perdure.open()` raises the sentence of the store, and not a tour through the driver."""
    monkeypatch.setattr(
        "perdure.client.connection.open_store",
        lambda *args, **options: open_store(*args, **options, busy_timeout=0.05),
    )
    if is_connected:
        perdure.list_runs()
    other = sqlite3.connect(here / ".perdure/perdure.db", isolation_level=None)
    if not is_connected:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable) as caught, perdure.open():
        pass
    other.close()
    assert f"the database {here}/.perdure/perdure.db was locked" in str(caught.value)
    assert "try again, or find who" in str(caught.value)
    assert modules_in(caught.value) == set()
    with perdure.open():  # and it can be tried again
        pass


def test_a_database_on_a_read_only_file_system(project: Perdure, here: Path, mount: Mount) -> None:
    """Even root cannot write there: the modes are not the cause, and the sentence does not say so."""
    mount(here, "--bind", str(here))
    subprocess.run(["mount", "-o", "remount,bind,ro", str(here)], check=True)
    done = project("list")
    assert done.returncode == 1
    assert done.stderr == (
        f"perdure: the database {here}/.perdure/perdure.db is on a read-only file system; mount it "
        "writable, or let PERDURE_STORE name a copy elsewhere\n"
    )
    with pytest.raises(StoreUnusable, match="is on a read-only file system") as caught:
        perdure.open()
    assert modules_in(caught.value) == set()


def test_a_project_cannot_be_made_on_a_full_disk(
    tmp_path: Path, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says that there is no room; nothing is left that is half a project."""
    full = tmp_path / "full"
    full.mkdir()
    mount(full, "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    with pytest.raises(OSError, match="No space left"), (full / "fill").open("wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()
    monkeypatch.chdir(full)
    with pytest.raises(StoreUnusable, match=r"the disk is full; make room, or let PERDURE_PROJECT"):
        perdure.open()
    assert not (full / ".perdure").exists()


def test_a_full_disk_is_told_by_commands(tmp_path: Path, mount: Mount) -> None:
    """One sentence with the database and the mend; a worker can be stopped all the same."""
    full = tmp_path / "full"
    full.mkdir()
    mount(full, "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    project = Perdure(full)
    (full / ".perdure").mkdir()
    open_store(str(full / ".perdure/perdure.db")).close()
    project.write("app.py", "import perdure\n@perdure.function\ndef one(n: int) -> int: return n\n")
    with pytest.raises(OSError, match="No space left"), (full / "fill").open("wb") as file:
        while True:
            file.write(b"x" * 512)
            file.flush()
    for words in (["run", "app:one", "--arg", "1"], ["list"], ["worker", "stop"]):
        done = project(*words)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
    assert "the disk is full" in project("run", "app:one", "--arg", "1").stderr


def test_a_disk_that_fills_up_is_told_in_python(
    tmp_path: Path, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program asks of a store that is open already fails with the sentence alone."""
    full = tmp_path / "full"
    full.mkdir()
    mount(full, "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    monkeypatch.setenv("PERDURE_PROJECT", str(full))
    monkeypatch.setenv("PERDURE_WORKER_AUTOSTART", "false")
    try:
        stuck = perdure.start(_one, 1)
        with pytest.raises(OSError, match="No space left"), (full / "fill").open("wb") as file:
            while True:
                file.write(b"x" * 512)
                file.flush()
        large = "x" * 100_000
        for ask in (lambda: perdure.start(_one, large), lambda: stuck.cancel(large)):
            with pytest.raises(StoreUnavailable, match="the disk is full") as caught:
                ask()
            assert modules_in(caught.value) == set()
            assert "direct cause" not in "".join(traceback.format_exception(caught.value))
    finally:
        forget()


@perdure.function(name="one_on_a_full_disk")
def _one(what: object) -> object:
    return what
