"""The store on SQLite keeps the law of the port, in both durabilities."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perdure.store import Store
from perdure.stores import Durability, open_store
from perdure.testing.conformance import StoreConformance


class TestSqlite(StoreConformance):
    """SQLite as it comes: what is acknowledged survives a power cut."""

    durability: Durability = "full"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """An empty database."""
        path = str(tmp_path / "perdure.db")
        with closing(open_store(path, durability=self.durability)) as store:
            yield store

    def another(self, store: Store) -> Store:
        """The same file, opened again."""
        return open_store(store.url, durability=self.durability)


class TestRelaxedSqlite(TestSqlite):
    """SQLite with durability="process"."""

    durability: Durability = "process"
