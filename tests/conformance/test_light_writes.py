"""What a power cut may take back is committed without waiting for the disk, and nothing else is."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perdure.core.errors import StoreError
from perdure.stores.sql.database import Session
from perdure.stores.sql.sqlite import SqliteDatabase

NORMAL, FULL = 1, 2


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    with closing(SqliteDatabase(str(tmp_path / "perdure.db"))) as database:
        yield database


def synchronous(session: Session) -> int:
    """How the connection syncs just now."""
    record = session.one("PRAGMA synchronous")
    assert record is not None
    return int(record[0])


def test_only_the_light_write_is_light(database: SqliteDatabase) -> None:
    """However often they take turns."""
    for _ in range(3):
        assert database.write_lightly(synchronous) == NORMAL
        assert database.read(synchronous) == FULL
        assert database.write_lightly(synchronous) == NORMAL
        assert database.write(synchronous) == FULL


def test_a_light_write_that_fails_leaves_none_light(database: SqliteDatabase) -> None:
    """It is undone, and what comes next is durable."""

    def write_and_fail(session: Session) -> None:
        session.run("INSERT INTO meta (key, value) VALUES ('a', 'b')")
        session.run("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(StoreError):
        database.write_lightly(write_and_fail)
    assert database.write(synchronous) == FULL
    assert database.read(lambda session: session.one("SELECT 1 FROM meta WHERE key = 'a'")) is None


def test_a_relaxed_database_stays_relaxed(tmp_path: Path) -> None:
    """With durability="process" every write is light."""
    path = str(tmp_path / "perdure.db")
    with closing(SqliteDatabase(path, durability="process")) as database:
        assert database.write_lightly(synchronous) == NORMAL
        assert database.write(synchronous) == NORMAL
