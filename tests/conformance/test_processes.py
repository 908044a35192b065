"""Several processes on one store: nothing twice, nothing lost, everybody woken."""

import contextlib
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from perdure.core.decide import Finish, Suspend, Verdict
from perdure.core.errors import StoreUnavailable
from perdure.core.run import Status
from perdure.store import Claim, RunFilter, Store
from perdure.stores import open_store
from perdure.stores.sql.database import Session
from perdure.testing.conformance.scenes import (
    NAME,
    NOW,
    a_row,
    a_run,
    a_turn,
    a_worker,
    one_turn,
    run_of,
    tids_of,
    with_held,
)

CLAIMER = """
import sys
from perdure.stores import open_store
from perdure.testing.conformance.scenes import NOW, a_claim, a_worker
store = open_store(sys.argv[1])
worker = int(sys.argv[2])
store.register(a_worker(worker))
print("ready", flush=True)
sys.stdin.readline()
while claimed := store.claim(a_claim(worker=worker, limit=3), NOW):
    for run in claimed:
        print(run.tid)
store.close()
"""

WRITER = """
import sys
from perdure.core.decide import Verdict
from perdure.stores import open_store
from perdure.testing.conformance.scenes import a_row, a_turn, one_turn, with_held
store = open_store(sys.argv[1], durability=sys.argv[2])
with_held(store, 7)
seq = 0
while one_turn(store, a_turn(7, a_row(seq, value='"' + "x" * (seq * 97 % 30_000) + '"'))) \\
        is Verdict.COMMITTED:
    print(seq, flush=True)
    seq += 1
"""

POKER = """
import sys
from perdure.stores import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    store.poke()
"""


def started(program: str, *args: str) -> subprocess.Popen[str]:
    """A Python process with pipes to it and from it."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def say(process: subprocess.Popen[str], line: str = "") -> None:
    """Send a line."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def line_of(process: subprocess.Popen[str]) -> str:
    """Wait for a line."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database that processes can share."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return str(tmp_path / "perdure.db")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a SQLite database shall be."""
    return str(tmp_path / "perdure.db")


def test_processes_share_runs_and_claim_none_twice(url: str) -> None:
    """Four processes that claim at once take every run once between them."""
    with closing(open_store(url)) as store:
        store.submit([a_run(tid) for tid in range(1, 401)])
        claimers = [started(CLAIMER, url, str(worker)) for worker in range(1, 5)]
        for claimer in claimers:
            assert line_of(claimer) == "ready"
        for claimer in claimers:
            say(claimer)
        taken = [claimer.communicate(timeout=60)[0].split() for claimer in claimers]
        assert sorted(int(tid) for tids in taken for tid in tids) == list(range(1, 401))
        for worker, tids in enumerate(taken, start=1):
            assert [tid for tid, _ in store.held(worker)] == sorted(map(int, tids))


@pytest.mark.parametrize("durability", ["full", "process"])
def test_a_writer_that_is_killed_loses_nothing_it_was_told(path: str, durability: str) -> None:
    """After kill -9 in the middle of writes the database is whole, and every turn that was
    answered is there, and at most the one that was not."""
    for lines in (1, 30, 97):
        with started(WRITER, path, durability) as writer:
            for _ in range(lines):
                answered = int(line_of(writer))
            writer.send_signal(signal.SIGKILL)
            assert writer.stdout is not None
            answered = max([answered, *map(int, writer.stdout.read().split())])
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with closing(open_store(path)) as store:
            rows = store.journal(7)
            assert [row.seq for row in rows] == list(range(len(rows)))
            assert answered + 1 <= len(rows) <= answered + 2
            for row in rows:
                assert row.event.value == '"' + "x" * (row.seq * 97 % 30_000) + '"'
        for file in Path(path).parent.glob("perdure.db*"):
            if file.is_file():
                file.unlink()


def test_a_zombie_cannot_write_over_its_heir(url: str) -> None:
    """Who was buried while it slept has its turn refused, from whichever process."""
    with closing(open_store(url)) as store, closing(open_store(url)) as heir:
        with_held(store, 7)
        heir.register(a_worker(200))
        assert heir.bury(100, NOW, proven=True) == 1
        heir.claim(Claim(worker=200, names=[(NAME, "")], limit=1), NOW)
        one_turn(heir, a_turn(7, a_row(0, attempt=2), attempt=2))
        assert one_turn(store, a_turn(7, a_row(0))) is Verdict.STALE
        assert store.journal(7) == [a_row(0, attempt=2)]


def test_a_write_has_the_database_for_itself_from_its_first_read(path: str) -> None:
    """What a verb has read is still true when it writes: nobody else writes in between."""
    with closing(open_store(path)) as store, closing(open_store(path, busy_timeout=0.05)) as other:

        def verb(session: Session) -> None:
            session.one("SELECT 1 FROM runs WHERE tid = ?", (7,))
            with pytest.raises(StoreUnavailable):
                other.submit([a_run(7)])

        store._database.write(verb)  # type: ignore[attr-defined]


def test_a_key_is_taken_once_also_in_a_race(url: str) -> None:
    """Everybody who starts with the same key at the same time is answered with the same run."""
    with ThreadPoolExecutor(4) as pool, ExitStack() as stack:
        stores = [stack.enter_context(closing(open_store(url))) for _ in range(4)]
        for round in range(20):
            runs = [a_run(round * 10 + n + 1, key=f"k{round}") for n in range(4)]
            answers = list(pool.map(lambda s, run: s.submit([run])[0], stores, runs))
            assert len({answer.tid for answer in answers}) == 1
            assert sum(answer.is_new for answer in answers) == 1


def test_parents_and_children_do_not_wait_for_each_other_for_ever(url: str) -> None:
    """A parent that cancels its child while the child ends, again and again: both are written,
    and the parent is told once."""
    with (
        closing(open_store(url)) as store,
        closing(open_store(url)) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        for parent in range(10, 500, 10):
            child, older = parent + 1, parent + 2
            with_held(store, parent)
            with_held(store, child, parent=parent, parent_ordinal=0)
            with_held(store, older, parent=parent, parent_ordinal=1)
            cancels = a_turn(parent, a_row(0), cancel_children=[1, 0], then=Suspend(None))
            ends = [a_turn(tid, then=Finish(Status.COMPLETED)) for tid in (child, older)]
            one = pool.submit(store.turn, [cancels], [], NOW)
            two = pool.submit(other.turn, ends, [], NOW)
            assert two.result(30) == [Verdict.COMMITTED, Verdict.COMMITTED]
            [verdict] = one.result(30)
            assert verdict in (Verdict.COMMITTED, Verdict.MAIL)
            assert sorted(letter.ordinal or 0 for letter in store.inbox(parent)) == [0, 1]
            if verdict is Verdict.COMMITTED:
                assert run_of(store, parent).wake_at == NOW


# --- pokes -------------------------------------------------------------------------------------


def test_a_poke_reaches_other_processes(url: str) -> None:
    """Who listens is woken by a process that it never heard of."""
    with closing(open_store(url)) as store, closing(store.listen()) as listener:
        poker = started(POKER, url)
        try:
            assert line_of(poker) == "ready"
            for _ in range(3):
                say(poker)
                assert select.select([listener], [], [], 10)[0]
                listener.drain()
        finally:
            poker.communicate(timeout=10)


def test_sockets_of_the_dead_are_swept_away(path: str) -> None:
    """A listener that was killed leaves a file; a later poke removes it, once it is not young."""
    with closing(open_store(path)) as store:
        program = (
            "import sys, time; from perdure.stores import open_store; "
            "listener = open_store(sys.argv[1]).listen(); print('ready', flush=True); "
            "sys.stdin.read()"
        )
        dead = started(program, path)
        assert line_of(dead) == "ready"
        dead.kill()
        dead.communicate(timeout=10)
        [left] = Path(path + "-pokes").iterdir()
        store.poke()
        assert left.exists()
        os.utime(left, (0, 0))
        store.poke()
        assert not left.exists()
        store.poke()


def test_nobody_listens_nothing_is_left(path: str) -> None:
    """The folder of the sockets is there while somebody listens."""
    folder = Path(path + "-pokes")
    with closing(open_store(path)) as store, closing(open_store(path)) as other:
        store.poke()
        assert not folder.exists()
        first, second = store.listen(), other.listen()
        assert folder.stat().st_mode & 0o777 == 0o700
        first.close()
        other.poke()
        store.poke()
        assert select.select([second], [], [], 10)[0]
        second.close()
        assert not folder.exists()
        with closing(store.listen()) as again:
            other.poke()
            assert select.select([again], [], [], 10)[0]


def test_a_path_that_is_too_long_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sockets are then in a short folder of the user's own, for everybody the same."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    path = str(folder / "perdure.db")
    with (
        closing(open_store(path)) as store,
        closing(open_store(path)) as other,
        closing(other.listen()) as listener,
    ):
        assert not Path(path + "-pokes").exists()
        store.poke()
        assert select.select([listener], [], [], 10)[0]


def test_pokes_into_a_folder_that_is_gone_are_lost_quietly(path: str) -> None:
    """A poke never fails."""
    with closing(open_store(path)) as store:
        listener = store.listen()
        [socket] = Path(path + "-pokes").iterdir()
        socket.unlink()
        socket.parent.rmdir()
        store.poke()
        listener.close()
        store.poke()


# --- forks -------------------------------------------------------------------------------------


@contextlib.contextmanager
def forked(body: Callable[[], None]) -> Iterator[None]:
    """A child that runs `body`, beside the block; it must end well."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            body()
            status = 0
        finally:
            os._exit(status)
    yield
    assert os.waitpid(pid, 0)[1] == 0


def test_a_store_goes_on_on_both_sides_of_a_fork(url: str) -> None:
    """Parent and child write beside each other, each over a connection of its own."""
    with closing(open_store(url)) as store:
        store.submit([a_run(1)])

        def child() -> None:
            for tid in range(100, 150):
                store.submit([a_run(tid)])
            assert run_of(store, 1).tid == 1
            store.close()

        with forked(child):
            for tid in range(200, 250):
                store.submit([a_run(tid)])
        assert len(store.runs(RunFilter(limit=1000))) == 101
    if "://" not in url:
        with closing(sqlite3.connect(url)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_parent_that_ends_does_not_pull_the_log_from_under_its_child(path: str) -> None:
    """The last one to close a SQLite database folds its log away; a forked child counts."""
    store = open_store(path)
    store.submit([a_run(1)])
    reading, writing = os.pipe()

    def child() -> None:
        assert tids_of(store.runs(RunFilter())) == [1]
        os.write(writing, b"!")
        deadline = time.monotonic() + 10
        while not Path(path + ".closed").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        store.submit([a_run(2)])
        store.close()

    with forked(child):
        os.read(reading, 1)
        store.submit([a_run(3)])
        store.close()
        third = open_store(path)
        third.submit([a_run(4)])
        Path(path + ".closed").touch()
    third.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(open_store(path)) as again:
        assert tids_of(again.runs(RunFilter())) == [4, 3, 2, 1]


def test_a_child_does_not_remove_its_parents_listener(path: str) -> None:
    """Closing a copy of a listener leaves the parent's socket where it is."""
    with (
        closing(open_store(path)) as store,
        closing(open_store(path)) as other,
        closing(store.listen()) as listener,
    ):
        with forked(listener.close):
            pass
        other.poke()
        assert select.select([listener], [], [], 10)[0]


# --- starting ----------------------------------------------------------------------------------


def test_looking_at_runs_imports_little(path: str) -> None:
    """A command that lists runs shall start at once: no machinery of those that execute."""
    store: Store = open_store(path)
    store.submit([a_run(7)])
    store.close()
    program = (
        "import sys\n"
        "from perdure.store import RunFilter\n"
        "from perdure.stores import open_store\n"
        "store = open_store(sys.argv[1], create=False)\n"
        "assert store.runs(RunFilter()) and store.get(7) and store.match('7')\n"
        "heavy = {'msgspec', 'asyncio', 'psycopg', 'json', 'socket', 'subprocess'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
