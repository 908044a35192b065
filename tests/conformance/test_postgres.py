"""The store on PostgreSQL keeps the law of the port."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from perdure.core.decide import Turn, Verdict
from perdure.core.errors import StoreUnavailable
from perdure.store import Store
from perdure.stores import Durability, open_store
from perdure.stores.sql.database import Session
from perdure.stores.sql.store import SqlStore
from perdure.testing.conformance import StoreConformance
from perdure.testing.conformance.scenes import NOW, WORKER, a_row, a_run, a_turn, with_worker
from tests.parts import wait_for


class TestPostgres(StoreConformance):
    """PostgreSQL, as a fleet has it."""

    @pytest.fixture
    def store(self, postgres_url: str) -> Iterator[Store]:
        """An empty database."""
        self.full_url = postgres_url
        with closing(open_store(postgres_url)) as store:
            yield store

    def another(self, store: Store) -> Store:
        """The same database over other connections."""
        return open_store(self.full_url)


@pytest.mark.parametrize(
    ("durability", "server", "session"),
    [
        ("full", "on", "on"),
        ("full", "off", "on"),
        ("full", "local", "local"),
        ("full", "remote_apply", "remote_apply"),
        ("process", "on", "off"),
        ("process", "remote_apply", "off"),
    ],
)
def test_durability_is_what_commits_wait_for(
    postgres_url: str, durability: Durability, server: str, session: str
) -> None:
    """The one waits for the disk, or for more where the server does; the other for nothing."""
    from perdure.stores.sql.postgres import PostgresDatabase  # it needs its driver

    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-csynchronous_commit%3D{server}"
    with closing(PostgresDatabase(url, durability=durability)) as database:
        assert database.write(synchronous_commit) == session
        database._disconnect()
        assert database.read(synchronous_commit) == session, "after a lost connection, too"


def test_open_store_hands_durability_on(postgres_url: str) -> None:
    """What a project says reaches every connection."""
    with closing(open_store(postgres_url, durability="process")) as store:
        assert isinstance(store, SqlStore)
        assert store._database.read(synchronous_commit) == "off"


def plain_turn(store: Store) -> Turn:
    """A turn that only appends a row, of a run that is there."""
    with_worker(store, WORKER)
    store.submit([a_run(7, worker=WORKER)])
    return a_turn(7, a_row(0))


def backend(session: Session) -> int:
    """The server's process behind this connection."""
    record = session.one("SELECT pg_backend_pid()")
    assert record is not None
    return int(record[0])


def test_a_plain_turn_is_one_round_trip(postgres_url: str, tmp_path: Path) -> None:
    """It is its own transaction: neither BEGIN nor COMMIT goes over the wire."""
    with closing(open_store(postgres_url)) as store, (tmp_path / "trace").open("w+") as trace:
        turn = plain_turn(store)
        pgconn = store._database._connection.pgconn
        pgconn.trace(trace.fileno())
        assert store.turn([turn], (), NOW) == [Verdict.COMMITTED]
        pgconn.untrace()
        trace.seek(0)
        trips = [line for line in trace if "\tF\t" in line and ("Sync" in line or "Query" in line)]
        assert len(trips) == 1, trips


def test_a_plain_turn_over_a_connection_that_was_lost_while_idle(postgres_url: str) -> None:
    """The connection is replaced, and nobody notices."""
    with closing(open_store(postgres_url)) as store, closing(open_store(postgres_url)) as other:
        turn = plain_turn(store)
        lost = store._database.read(backend)
        other._database.read(lambda session: session.one("SELECT pg_terminate_backend(?)", (lost,)))
        wait_for(lambda: not store._database._is_calm())
        assert store.turn([turn], (), NOW) == [Verdict.COMMITTED]
        assert store._database.read(backend) != lost


@pytest.mark.parametrize("lost", [False, True], ids=["victim", "lost"])
def test_a_plain_turn_that_waits_for_another(postgres_url: str, lost: bool) -> None:
    """As the victim of the other it is tried again; with its connection lost, it may have been
    committed, and whoever repeats it says so."""
    mark = "&" if "?" in postgres_url else "?"
    strict = f"{postgres_url}{mark}options=-cdefault_transaction_isolation%3Drepeatable%5C%20read"
    with (
        closing(open_store(strict)) as store,
        closing(open_store(postgres_url)) as other,
        ThreadPoolExecutor(1) as beside,
    ):
        turn = plain_turn(store)
        pid = store._database.read(backend)

        def change(session: Session) -> Future[list[Verdict]]:
            session.run("UPDATE runs SET crashes = 1 WHERE tid = ?", (7,))
            future = beside.submit(store.turn, [turn], (), NOW)
            wait_for(
                lambda: session.one("SELECT 1 FROM pg_locks WHERE pid = ? AND NOT granted", (pid,))
            )
            if lost:
                session.one("SELECT pg_terminate_backend(?)", (pid,))
            return future

        future = other._database.write(change)
        if lost:
            with pytest.raises(StoreUnavailable):
                future.result(10)
            turn = a_turn(7, a_row(0), repeated=True)
            assert store.turn([turn], (), NOW) == [Verdict.COMMITTED]
        else:
            assert future.result(10) == [Verdict.COMMITTED]
        assert len(store.journal(7)) == 1


def synchronous_commit(session: Session) -> str:
    """What a commit of this connection waits for."""
    record = session.one("SHOW synchronous_commit")
    assert record is not None
    return str(record[0])
