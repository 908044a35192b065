"""The store on PostgreSQL keeps the law of the port."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from perdure.store import Store
from perdure.stores import open_store
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
