"""`submit`: how runs come into the store, once each."""

from __future__ import annotations

import pytest

from perdure.core.errors import KeyConflict, LostLease, StoreError, TidTaken
from perdure.core.run import JOURNAL_FORMAT, Kind, NewRun, Run, Status
from perdure.store import RunFilter, Store, Submitted
from perdure.testing.conformance.scenes import (
    NAME,
    NOW,
    WORKER,
    a_claim,
    a_run,
    run_of,
    tids_of,
    with_worker,
)


class Births:
    """Storing new runs."""

    def test_a_new_run_is_queued_and_kept_whole(self, store: Store) -> None:
        """A submitted run has all that was said of it, and waits to be claimed from `at` on."""
        new = NewRun(
            tid=7,
            kind=Kind.FUNCTION,
            name="shop:charge",
            input='{"order": "é"}',
            at=NOW,
            version="2",
            source="shop",
            namespace="eu",
            queue="slow",
            key="order-1",
            parent=3,
            parent_ordinal=4,
            chain=5,
            python="3.11.7",
        )

        assert store.submit([new]) == [Submitted(tid=7, is_new=True)]

        assert store.get(7) == Run(
            tid=7,
            namespace="eu",
            kind=Kind.FUNCTION,
            name="shop:charge",
            version="2",
            source="shop",
            queue="slow",
            key="order-1",
            parent=3,
            parent_ordinal=4,
            chain=5,
            status=Status.QUEUED,
            attempt=0,
            crashes=0,
            worker=None,
            created_at=NOW,
            started_at=None,
            finished_at=None,
            wake_at=NOW,
            python="3.11.7",
            journal_format=JOURNAL_FORMAT,
            code="",
            input='{"order": "é"}',
            output=None,
            error=None,
            reason=None,
            progress=None,
        )

    def test_a_run_begins_a_chain_of_its_own(self, store: Store) -> None:
        """A run that continues no other is the first of its chain."""
        store.submit([a_run(7)])
        assert run_of(store, 7).chain == 7

    def test_a_run_can_be_held_from_birth(self, store: Store) -> None:
        """A run with a worker is running, at attempt 1, and nobody can claim it."""
        with_worker(store)
        store.submit([a_run(7, worker=WORKER)])

        run = run_of(store, 7)
        assert (run.status, run.attempt, run.worker) == (Status.RUNNING, 1, WORKER)
        assert (run.started_at, run.wake_at) == (NOW, None)
        assert store.claim(a_claim(), NOW) == []

    def test_only_a_registered_worker_can_hold_runs_from_birth(self, store: Store) -> None:
        """A run would be held by nobody who can be buried: LostLease, and nothing is stored."""
        with pytest.raises(LostLease):
            store.submit([a_run(6), a_run(7, worker=WORKER)])
        assert store.runs(RunFilter()) == []

    def test_a_run_that_is_submitted_again_is_the_same_run(self, store: Store) -> None:
        """A retried submit keeps its TID: it stores nothing and changes nothing."""
        with_worker(store)
        store.submit([a_run(7)])
        store.claim(a_claim(), NOW)
        before = run_of(store, 7)

        assert store.submit([a_run(7)]) == [Submitted(tid=7, is_new=False)]
        assert run_of(store, 7) == before

    @pytest.mark.parametrize("other", [{"input": "[2]"}, {"name": "shop:other"}])
    def test_a_tid_of_another_run_is_taken(self, store: Store, other: dict[str, str]) -> None:
        """A TID that names another run is refused, and with it the whole call."""
        store.submit([a_run(7)])
        with pytest.raises(TidTaken) as caught:
            store.submit([a_run(6, key="k"), a_run(7, **other)])
        assert caught.value.tid == 7
        assert tids_of(store.runs(RunFilter())) == [7]
        assert store.submit([a_run(8, key="k")]) == [Submitted(tid=8, is_new=True)]

    def test_a_key_names_one_run(self, store: Store) -> None:
        """The same key with the same input returns the same run; the second one is not stored."""
        store.submit([a_run(7, key="k")])
        assert store.submit([a_run(8, key="k")]) == [Submitted(tid=7, is_new=False)]
        assert store.get(8) is None

    def test_a_key_names_one_run_within_one_call(self, store: Store) -> None:
        """Two runs with one key in one call: the second is answered with the first."""
        answers = store.submit([a_run(7, key="k"), a_run(8, key="k")])
        assert answers == [Submitted(tid=7, is_new=True), Submitted(tid=7, is_new=False)]

    def test_a_key_with_another_input_is_a_conflict(self, store: Store) -> None:
        """The same key with another input names the holder, and nothing of the call is stored."""
        store.submit([a_run(7, key="k")])
        with pytest.raises(KeyConflict, match="'k'") as caught:
            store.submit([a_run(8), a_run(9, key="k", input="[2]")])
        assert caught.value.tid == 7
        assert tids_of(store.runs(RunFilter())) == [7]

    def test_a_key_belongs_to_a_namespace_and_a_name(self, store: Store) -> None:
        """The same key elsewhere, or of another workflow, is another key."""
        answers = store.submit(
            [
                a_run(7, key="k"),
                a_run(8, key="k", name="shop:other"),
                a_run(9, key="k", namespace="eu", input="[2]"),
            ]
        )
        assert [answer.is_new for answer in answers] == [True, True, True]

    def test_a_call_has_one_child(self, store: Store) -> None:
        """A child that is submitted again under another TID is the child that is there."""
        store.submit([a_run(7), a_run(8, parent=7, parent_ordinal=3)])
        again = store.submit([a_run(9, parent=7, parent_ordinal=3)])
        assert again == [Submitted(tid=8, is_new=False)]
        with pytest.raises(StoreError, match="call 3 of run 7"):
            store.submit([a_run(9, parent=7, parent_ordinal=3, input="[2]")])
        assert tids_of(store.runs(RunFilter())) == [8, 7]

    @pytest.mark.parametrize("size", [100, 16 * 1024, 16 * 1024 + 1, 1_000_000])
    def test_an_input_of_any_size_is_kept_exactly(self, store: Store, size: int) -> None:
        """However long an input is, `get` and `claim` have it, and it identifies the run."""
        text = '"' + "ß" * (size - 2) + '"'
        with_worker(store)
        store.submit([a_run(7, input=text, key="k")])
        assert run_of(store, 7).input == text
        assert store.submit([a_run(7, input=text)]) == [Submitted(tid=7, is_new=False)]
        assert store.submit([a_run(8, input=text, key="k")]) == [Submitted(tid=7, is_new=False)]
        with pytest.raises(TidTaken):
            store.submit([a_run(7, input=text + " ")])
        [claimed] = store.claim(a_claim(), NOW)
        assert claimed.input == text

    def test_no_runs_are_no_answers(self, store: Store) -> None:
        """An empty call is answered emptily."""
        assert store.submit([]) == []

    def test_what_is_returned_belongs_to_the_caller(self, store: Store) -> None:
        """Changing a record that was returned changes nothing in the store."""
        store.submit([a_run(7)])
        run_of(store, 7).status = Status.COMPLETED
        assert run_of(store, 7).status is Status.QUEUED
        assert run_of(store, 7).name == NAME
