"""The law of the port `perdure.store`: one suite for every backend.

A backend is one when a subclass passes:

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self):
            with closing(MyStore(...)) as store:
                yield store

`another` opens a second `Store` object on the same database; a backend that has none is asked
fewer questions.
"""

from __future__ import annotations

from perdure.testing.conformance.births import Births
from perdure.testing.conformance.claims import Claims
from perdure.testing.conformance.letters import Letters
from perdure.testing.conformance.reading import Reading
from perdure.testing.conformance.turns import Turns
from perdure.testing.conformance.waking import Waking
from perdure.testing.conformance.workers import Workers

__all__ = ["StoreConformance"]


class StoreConformance(Births, Reading, Claims, Turns, Letters, Workers, Waking):
    """Every sentence of the port, as a test; subclass it with a fixture `store`."""
