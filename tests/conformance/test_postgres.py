"""The store on PostgreSQL keeps the law of the port."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from perdure.store import Store
from perdure.stores import Durability, open_store
from perdure.stores.sql.database import Session
from perdure.stores.sql.store import SqlStore
from perdure.testing.conformance import StoreConformance


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


def synchronous_commit(session: Session) -> str:
    """What a commit of this connection waits for."""
    record = session.one("SHOW synchronous_commit")
    assert record is not None
    return str(record[0])
