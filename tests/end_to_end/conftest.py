"""Real processes in projects of their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perdure.project.folder import init
from tests.end_to_end.zygote import Zygote

NewProject = Callable[[], Path]


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """Forks processes that have everything imported."""
    zygote = Zygote(
        "perdure.client.start",
        "perdure.client.host",
        "perdure.stores.sql.sqlite",
        "perdure.stores.sql.turns",
        "perdure.stores.sql.claims",
        "perdure.stores.sql.leases",
        "tests.end_to_end.crash",
        "tests.end_to_end.load",
        "tests.end_to_end.trouble",
    )
    yield zygote
    zygote.close()


@pytest.fixture
def new_project(tmp_path: Path) -> NewProject:
    """Makes folders that are projects."""
    numbers = itertools.count(1)

    def new_project() -> Path:
        folder = tmp_path / f"p{next(numbers)}"
        folder.mkdir()
        init(folder)
        return folder

    return new_project


@pytest.fixture
def project(new_project: NewProject) -> Path:
    """A project."""
    return new_project()
