"""Random programs answer the same on every store as on the one in memory."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from perdure.stores import open_store
from perdure.testing.statemachine import machine


def programs(count: int) -> settings:
    """So many programs of up to forty steps."""
    return settings(
        max_examples=count,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for one database per program; in memory where there is such a folder."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as path:
        yield Path(path)


def test_sqlite_and_memory_side_by_side(folder: Path) -> None:
    """Whatever is done to both, both answer the same and hold the same."""
    numbers = itertools.count()
    run_state_machine_as_test(
        machine(
            lambda: open_store("memory:"),
            lambda: open_store(str(folder / f"{next(numbers)}.db"), durability="process"),
        ),
        settings=programs(150),
    )


def test_postgres_and_memory_side_by_side(empty_postgres: Callable[[], str]) -> None:
    """The same, with every verb in its own words where the dialects differ."""
    run_state_machine_as_test(
        machine(lambda: open_store("memory:"), lambda: open_store(empty_postgres())),
        settings=programs(30),
    )
