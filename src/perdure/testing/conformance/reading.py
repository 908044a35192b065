"""`get`, `runs`, `match`, `journal`, `children`: looking, without changing anything."""

from __future__ import annotations

import pytest

from perdure.core.decide import Finish
from perdure.core.run import Status
from perdure.store import RunFilter, Store
from perdure.testing.conformance.scenes import (
    a_row,
    a_run,
    a_turn,
    one_turn,
    run_of,
    tids_of,
    with_held,
)


class Reading:
    """Looking at what is there."""

    def test_an_unknown_run_is_none(self, store: Store) -> None:
        """Nothing is there under a TID that nobody chose: no run, no rows, no mail, no children."""
        assert store.get(7) is None
        assert store.journal(7) == []
        assert store.inbox(7) == []
        assert store.children(7) == []

    def test_runs_are_listed_newest_first_and_by_page(self, store: Store) -> None:
        """Lists begin with the highest TID; `before` goes on where a page ended."""
        store.submit([a_run(tid) for tid in (3, 1, 5, 2, 4)])
        assert tids_of(store.runs(RunFilter(limit=2))) == [5, 4]
        assert tids_of(store.runs(RunFilter(limit=2, before=4))) == [3, 2]
        assert tids_of(store.runs(RunFilter(limit=2, before=2))) == [1]

    def test_lists_are_filtered(self, store: Store) -> None:
        """Namespace, statuses, name and parent filter, alone and together; None is any."""
        with_held(store, 5)
        store.submit(
            [
                a_run(1),
                a_run(2, name="shop:other"),
                a_run(3, namespace="eu"),
                a_run(4, parent=1, parent_ordinal=0),
            ]
        )
        assert tids_of(store.runs(RunFilter())) == [5, 4, 2, 1]
        assert tids_of(store.runs(RunFilter(namespace=None))) == [5, 4, 3, 2, 1]
        assert tids_of(store.runs(RunFilter(namespace="eu"))) == [3]
        assert tids_of(store.runs(RunFilter(name="shop:other"))) == [2]
        assert tids_of(store.runs(RunFilter(parent=1))) == [4]
        assert tids_of(store.runs(RunFilter(statuses=[Status.RUNNING]))) == [5]
        assert tids_of(store.runs(RunFilter(statuses=[Status.RUNNING, Status.QUEUED]))) == [
            5,
            4,
            2,
            1,
        ]
        assert store.runs(RunFilter(statuses=[])) == []
        assert store.runs(RunFilter(statuses=[Status.QUEUED], name="shop:other", parent=1)) == []

    def test_listed_runs_are_the_runs(self, store: Store) -> None:
        """A listed record has what `get` has, but perhaps for input, output and error."""
        with_held(store, 7)
        one_turn(store, a_turn(7, a_row(0), then=Finish(Status.COMPLETED, output="1")))
        [listed] = store.runs(RunFilter())
        run = run_of(store, 7)
        listed.input, listed.output, listed.error = run.input, run.output, run.error
        assert listed == run

    def test_a_run_is_found_by_how_its_tid_begins_or_ends(self, store: Store) -> None:
        """Any prefix or suffix finds, newest first, and no more than asked for."""
        store.submit([a_run(tid) for tid in (1234, 1299, 5512, 8812)])
        assert store.match("12", 10) == [8812, 5512, 1299, 1234]
        assert store.match("12", 2) == [8812, 5512]
        assert store.match("123") == [1234]
        assert store.match("8812") == [8812]
        assert store.match("77") == []

    @pytest.mark.parametrize("digits", ["", "%", "1%", "_", "x", "-1", "１"])
    def test_what_is_no_digits_finds_nothing(self, store: Store, digits: str) -> None:
        """A TID is digits; whatever else was typed finds no run."""
        store.submit([a_run(1), a_run(11)])
        assert store.match(digits) == []

    def test_a_journal_is_read_in_order_and_by_part(self, store: Store) -> None:
        """Rows come by `seq`; `after` and `limit` take a part."""
        with_held(store, 7)
        rows = [a_row(seq) for seq in range(5)]
        one_turn(store, a_turn(7, *rows))
        assert store.journal(7) == rows
        assert store.journal(7, after=2) == rows[3:]
        assert store.journal(7, limit=2) == rows[:2]
        assert store.journal(7, after=0, limit=2) == rows[1:3]
        assert store.journal(7, after=4) == []

    def test_children_are_listed_by_their_call(self, store: Store) -> None:
        """Children come as (ordinal, TID), in the order of the calls."""
        store.submit(
            [
                a_run(1),
                a_run(4, parent=1, parent_ordinal=2),
                a_run(3, parent=1, parent_ordinal=9),
                a_run(5, parent=2, parent_ordinal=0),
            ]
        )
        assert store.children(1) == [(2, 4), (9, 3)]
