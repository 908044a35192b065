"""What a database that cannot be used gets: a sentence with the path and the mend, nothing lost."""

import os
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perdure.core.decide import Finish, Verdict
from perdure.core.errors import SettingsError, StoreUnavailable, StoreUnusable
from perdure.core.run import Status
from perdure.store import RunFilter
from perdure.stores import open_store
from perdure.stores.sql import schema
from perdure.testing.conformance.scenes import (
    NOW,
    a_row,
    a_run,
    a_turn,
    everything,
    one_turn,
    run_of,
    tids_of,
    with_held,
)


def made(path: Path) -> Path:
    """A database with one finished run, closed."""
    with closing(open_store(str(path))) as store:
        with_held(store, 7)
        one_turn(store, a_turn(7, a_row(0), then=Finish(Status.COMPLETED, output="1")))
    return path


def as_somebody_else(body: Callable[[], None]) -> str:
    """Run in a child that is not root, for whom modes count; returns what it raised."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "nothing"
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            body()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["", "sqlite:", "sqlite://", "sqlite:///", "sqlite://rel.db", "mysql://h/d", "x://"]
)
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    """The sentence says what to write instead."""
    with pytest.raises(SettingsError, match="write"):
        open_store(url)


def test_an_unknown_durability_is_refused(tmp_path: Path) -> None:
    """What a setting says, it does, or it is refused."""
    with pytest.raises(SettingsError, match="'fast'"):
        open_store(str(tmp_path / "a.db"), durability="fast")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_path_and_its_url_are_the_same_store(tmp_path: Path) -> None:
    """A relative path is resolved when the store is opened."""
    path = made(tmp_path / "with space é.db")
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        with closing(open_store("with space é.db")) as store:
            assert store.url == f"sqlite://{path}"
            os.chdir(here)
            assert tids_of(store.runs(RunFilter())) == [7]
        with closing(open_store(f"sqlite://{path}", create=False)) as store:
            assert tids_of(store.runs(RunFilter())) == [7]
    finally:
        os.chdir(here)


# --- files that are no database of ours ------------------------------------------------------------


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """It is named and left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("dear diary, " * 100)
    with pytest.raises(StoreUnusable, match=re.escape(str(path))):
        open_store(str(path))
    assert path.read_text() == "dear diary, " * 100
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("table", ["orders (id)", "meta (a, b)", "meta (key, value)"])
def test_a_database_of_something_else(tmp_path: Path, table: str) -> None:
    """Tables that are not ours are not joined by ours, and the file is not even switched to WAL."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {table}")
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="something else") as caught:
        open_store(str(path))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_corrupt_database(tmp_path: Path) -> None:
    """Damage inside the file is found when it is met, and said."""
    path = made(tmp_path / "perdure.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):  # page 1 (the schema) stays
        data[page * 4096 : (page + 1) * 4096] = os.urandom(4096)
    path.write_bytes(data)
    with pytest.raises(StoreUnusable, match=re.escape(str(path))) as caught:
        open_store(str(path)).get(7)
    assert "restore a copy" in str(caught.value)


@pytest.mark.parametrize("number", ["min_reader", "min_writer"])
def test_a_database_from_a_newer_version(tmp_path: Path, number: str) -> None:
    """It is not touched; who may still read it, reads it."""
    path = made(tmp_path / "perdure.db")
    newer = schema.SCHEMA + 1
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = 'perdure 99.0' WHERE key = 'created_by'")
        connection.execute(f"UPDATE meta SET value = '{newer}' WHERE key = '{number}'")
        connection.commit()
    sentence = f"{path}.*perdure 99.0.*{newer}.*upgrade Perdure"
    if number == "min_reader":
        with pytest.raises(StoreUnusable, match=sentence):
            open_store(str(path))
    else:
        with closing(open_store(str(path))) as store:
            assert tids_of(store.runs(RunFilter())) == [7]
            with pytest.raises(StoreUnusable, match=sentence):
                store.submit([a_run(8)])
            assert store.get(8) is None


# --- places ------------------------------------------------------------------------------------


def test_a_missing_folder(tmp_path: Path) -> None:
    """The folder is named; it is not made behind anybody's back."""
    path = tmp_path / "no" / "such" / "perdure.db"
    with pytest.raises(StoreUnusable, match=f"folder {path.parent} .*does not exist"):
        open_store(str(path))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    """A folder is no database."""
    with pytest.raises(StoreUnusable, match="is a folder"):
        open_store(str(tmp_path))


def test_a_missing_database_is_not_made_by_who_only_looks(tmp_path: Path) -> None:
    """With create=False neither the file nor tables are made."""
    path = tmp_path / "perdure.db"
    with pytest.raises(StoreUnusable, match="there is no database"):
        open_store(str(path), create=False)
    assert list(tmp_path.iterdir()) == []
    path.touch()
    with pytest.raises(StoreUnusable, match="is empty"):
        open_store(str(path), create=False)
    assert path.stat().st_size == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_read_only_folder(open_folder: Path, is_there: bool) -> None:
    """Neither a new database nor an old one works without files beside it."""
    path = open_folder / "perdure.db"
    if is_there:
        made(path).chmod(0o666)
    open_folder.chmod(0o555)
    said = as_somebody_else(lambda: open_store(str(path)).close())
    assert said.startswith(f"StoreUnusable: the folder {open_folder} cannot be written")


def test_a_read_only_file(open_folder: Path) -> None:
    """A file that may only be read is named, with the mend."""
    path = made(open_folder / "perdure.db")
    path.chmod(0o444)
    open_folder.chmod(0o777)
    said = as_somebody_else(lambda: open_store(str(path)).close())
    assert said.startswith(f"StoreUnusable: the database {path} cannot be read and written")


# --- for now -----------------------------------------------------------------------------------


def test_a_locked_database(tmp_path: Path) -> None:
    """Who keeps a transaction open is waited for, but not for ever; reading goes on."""
    path = made(tmp_path / "perdure.db")
    with (
        closing(open_store(str(path), busy_timeout=0.05)) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"locked by another process for 0\.05 s"):
            store.submit([a_run(8)])
        assert tids_of(store.runs(RunFilter())) == [7]
        other.execute("ROLLBACK")
        assert store.submit([a_run(8)])[0].is_new


def test_a_lock_that_is_let_go_of_in_time(tmp_path: Path) -> None:
    """A write waits for the other's commit."""
    path = made(tmp_path / "perdure.db")
    with (
        closing(open_store(str(path), busy_timeout=10)) as store,
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.1, other.execute, ["COMMIT"])
        timer.start()
        assert store.submit([a_run(8)])[0].is_new
        timer.join()


def test_a_full_disk(tmp_path: Path) -> None:
    """A turn that does not fit is not written; once there is room, the same turn is, by saying
    that it is repeated."""
    path = made(tmp_path / "perdure.db")
    with closing(open_store(str(path))) as store:
        with_held(store, 8)
        turn = a_turn(8, a_row(0, value='"' + "x" * 200_000 + '"'))
        before = everything(store)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(StoreUnavailable, match=f"{path} .*(disk|limit)"):
                one_turn(store, turn)
            assert everything(store) == before
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert one_turn(store, a_turn(8, *turn.rows, repeated=True)) is Verdict.COMMITTED
        assert store.journal(8) == turn.rows


def test_a_full_database(tmp_path: Path) -> None:
    """SQLite's own word for a full disk has the same effect."""
    path = made(tmp_path / "perdure.db")
    with closing(open_store(str(path))) as store:
        database = store._database  # type: ignore[attr-defined]
        pages = database.read(lambda session: session.one("PRAGMA page_count"))[0]
        database.read(lambda session: session.one(f"PRAGMA max_page_count = {pages}"))
        with pytest.raises(StoreUnavailable, match=f"{path} cannot grow: the disk is full"):
            store.submit([a_run(8, input='"' + "x" * 1_000_000 + '"')])
        assert tids_of(store.runs(RunFilter())) == [7]
        database.read(lambda session: session.one("PRAGMA max_page_count = 1000000"))
        assert store.submit([a_run(8, input='"' + "x" * 1_000_000 + '"')])[0].is_new


def test_a_closed_store(tmp_path: Path) -> None:
    """Whoever goes on with a closed store is told so."""
    store = open_store(str(tmp_path / "perdure.db"))
    store.close()
    with pytest.raises(StoreUnavailable, match="is closed"):
        store.get(7)


def test_two_processes_that_make_the_same_database(tmp_path: Path) -> None:
    """Whoever is later finds the tables made; neither is told that it is locked."""
    program = (
        "import sys; from perdure.stores import open_store; sys.stdin.read(1); "
        "open_store(sys.argv[1]).close(); print('made')"
    )
    path = tmp_path / "perdure.db"
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write(b"!")
        maker.stdin.flush()
    answers = [maker.communicate(timeout=30) for maker in makers]
    assert answers == [(b"made\n", b"")] * 4
    with closing(open_store(str(path))) as store:
        assert store.submit([a_run(7)])[0].is_new
        assert run_of(store, 7).created_at == NOW


# --- PostgreSQL ----------------------------------------------------------------------------------


def test_a_server_that_is_not_there() -> None:
    """The sentence has the URL without its password, and what to look at."""
    pytest.importorskip("psycopg")
    with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
        open_store("postgresql://ada:secret@127.0.0.1:1/shop")
    assert "ada@127.0.0.1:1/shop" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_driver_that_is_not_there(tmp_path: Path) -> None:
    """Without psycopg the sentence has the command that installs it."""
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from perdure.stores import open_store\n"
        "from perdure.core.errors import SettingsError\n"
        "try: open_store('postgresql://localhost/x')\n"
        "except SettingsError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert b"pip install 'perdure[postgres]'" in done.stdout


def test_a_postgres_schema_of_something_else(empty_postgres: Callable[[], str]) -> None:
    """A schema `perdure` with other tables is left as it is."""
    psycopg = pytest.importorskip("psycopg")
    url = empty_postgres()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE perdure.meta RENAME TO meta_kept")
        connection.execute("CREATE TABLE perdure.meta (key TEXT, value TEXT)")
        try:
            with pytest.raises(StoreUnusable, match="something else"):
                open_store(url)
        finally:
            connection.execute("DROP TABLE perdure.meta")
            connection.execute("ALTER TABLE perdure.meta_kept RENAME TO meta")


def test_a_postgres_connection_that_was_lost(postgres_url: str) -> None:
    """A server that went away between two verbs is connected to again, unnoticed."""
    psycopg = pytest.importorskip("psycopg")
    with closing(open_store(postgres_url)) as store, closing(store.listen()):
        store.submit([a_run(7)])
        for verb in (lambda: store.submit([a_run(8)]), lambda: store.get(7)):
            with psycopg.connect(postgres_url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            assert verb()
        assert tids_of(store.runs(RunFilter())) == [8, 7]
