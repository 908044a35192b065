"""The store in memory keeps the law of the port."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from perdure.store import Store
from perdure.stores import open_store
from perdure.testing.conformance import StoreConformance


class TestMemory(StoreConformance):
    """Memory, the executable specification."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """An empty store."""
        with closing(open_store("memory:")) as store:
            yield store
