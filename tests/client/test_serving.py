"""Who sees to it that somebody executes what is left."""

from __future__ import annotations

import itertools

import pytest

from perdure.client.serving import _is_abandoned
from perdure.core.run import Kind, NewRun
from perdure.store import Store
from perdure.stores import open_store

tids = itertools.count(1)


@pytest.fixture
def store() -> Store:
    """A store of its own."""
    return open_store("memory:")


def left(store: Store, name: str, source: str) -> None:
    """A run of this name that nobody holds."""
    tid = next(tids)
    store.submit(
        [NewRun(tid=tid, kind=Kind.WORKFLOW, name=name, input="[]", source=source, at=tid)]
    )


def test_what_nobody_can_import_needs_no_worker(store: Store) -> None:
    """A worker could only block it."""
    left(store, "shell", "")
    assert not _is_abandoned(store, "default")


def test_what_nobody_can_import_hides_no_other_run(store: Store) -> None:
    """However many names an interactive session has left, a run with a file goes on."""
    for number in range(120):
        left(store, f"shell_{number}", "")
    left(store, "nap", "app")
    assert _is_abandoned(store, "default")
