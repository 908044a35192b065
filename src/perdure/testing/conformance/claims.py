"""`claim`, `held`, `due`, `unclaimed`, `block`, `unpark`, `retry`: who executes what."""

from __future__ import annotations

import threading

import pytest

from perdure.core.decide import HandBack, Park, Retried, Suspend, Verdict
from perdure.core.errors import LostLease
from perdure.core.run import Kind, Status
from perdure.store import Store, Unclaimed
from perdure.testing.conformance.scenes import (
    ALONE,
    NAME,
    NOW,
    STUCK,
    WORKER,
    a_cancel,
    a_claim,
    a_letter,
    a_row,
    a_run,
    a_turn,
    a_worker,
    everything,
    one_turn,
    run_of,
    tids_of,
    with_crashes,
    with_finished,
    with_held,
    with_stuck,
    with_suspended,
    with_worker,
)

OTHERS = Unclaimed(tid=0, kind=Kind.WORKFLOW, name="shop:other", version="", source="shop")


class Claims:
    """Taking runs."""

    def test_a_claimed_run_is_held(self, store: Store) -> None:
        """A claim makes the run running under the next attempt, and returns it as it now is."""
        with_worker(store)
        store.submit([a_run(7)])

        [run] = store.claim(a_claim(), NOW + 5)

        assert run == run_of(store, 7)
        assert (run.status, run.worker, run.attempt) == (Status.RUNNING, WORKER, 1)
        assert (run.wake_at, run.started_at) == (None, NOW + 5)
        assert store.held(WORKER) == [(7, 1)]
        assert store.claim(a_claim(), NOW + 5) == []

    def test_a_run_starts_once(self, store: Store) -> None:
        """A later claim counts another attempt, and leaves the time of the start."""
        with_suspended(store, 7, NOW + 10)
        [run] = store.claim(a_claim(), NOW + 10)
        assert (run.attempt, run.started_at) == (2, NOW)

    def test_only_due_runs_are_claimed_longest_due_first(self, store: Store) -> None:
        """What is due at `now` exactly is due; order is by `wake_at`, then by TID."""
        with_worker(store)
        store.submit(
            [
                a_run(1, at=NOW + 3),
                a_run(2, at=NOW + 1),
                a_run(4, at=NOW + 2),
                a_run(3, at=NOW + 2),
                a_run(5, at=NOW + 4),
            ]
        )
        assert tids_of(store.claim(a_claim(limit=2), NOW + 3)) == [2, 3]
        assert tids_of(store.claim(a_claim(), NOW + 3)) == [4, 1]

    def test_a_claim_takes_what_it_can_run(self, store: Store) -> None:
        """Name, version, namespace and queue must fit."""
        with_worker(store)
        store.submit(
            [
                a_run(1, name="shop:other"),
                a_run(2, version="2"),
                a_run(3, namespace="eu"),
                a_run(4, queue="slow"),
                a_run(5),
                a_run(6, name="shop:other", version="2"),
            ]
        )
        assert store.claim(a_claim(names=[]), NOW) == []
        assert store.claim(a_claim(queues=[]), NOW) == []
        assert tids_of(store.claim(a_claim(), NOW)) == [5]
        two = a_claim(names=[(NAME, "2"), ("shop:other", "")], queues=["slow", "default"])
        assert tids_of(store.claim(two, NOW)) == [1, 2]
        assert tids_of(store.claim(a_claim(namespace="eu"), NOW)) == [3]
        assert tids_of(store.claim(a_claim(queues=["slow"]), NOW)) == [4]

    def test_a_run_of_many_crashes_is_claimed_alone(self, store: Store) -> None:
        """Who claims runs to go beside others gets no run whose workers died so often; who claims
        one alone gets only such a run, and one of them."""
        with_crashes(store, 1, ALONE)
        with_crashes(store, 2, ALONE)
        with_crashes(store, 3, ALONE - 1)
        with_worker(store)
        assert store.due(a_claim(alone=True)) == NOW
        assert tids_of(store.claim(a_claim(alone=True), NOW)) == [1]
        assert tids_of(store.claim(a_claim(), NOW)) == [3]

    def test_a_buried_worker_claims_nothing(self, store: Store) -> None:
        """A worker that is not registered is told that its lease is lost; nothing is taken."""
        store.submit([a_run(7)])
        with pytest.raises(LostLease, match=str(WORKER)):
            store.claim(a_claim(), NOW)
        assert run_of(store, 7).status is Status.QUEUED

    def test_what_waits_for_nothing_in_time_is_not_claimed(self, store: Store) -> None:
        """Held, waiting without a time, stuck and finished runs are not claimed, however late."""
        with_suspended(store, 1)
        with_stuck(store, 2)
        with_held(store, 3)
        assert store.claim(a_claim(), NOW * 2) == []
        assert store.due(a_claim()) is None

    def test_none_is_claimed_twice(self, store: Store) -> None:
        """Eight threads that claim at once share the runs among them."""
        store.submit([a_run(tid) for tid in range(1, 81)])
        taken: list[list[int]] = []

        def work(worker: int) -> None:
            mine: list[int] = []
            while claimed := store.claim(a_claim(worker=worker, limit=3), NOW):
                mine += tids_of(claimed)
            taken.append(mine)

        threads = [threading.Thread(target=work, args=(id,)) for id in range(1, 9)]
        for thread, id in zip(threads, range(1, 9), strict=True):
            store.register(a_worker(id))
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(tid for mine in taken for tid in mine) == list(range(1, 81))

    def test_held_tells_what_a_worker_holds(self, store: Store) -> None:
        """(TID, attempt) by TID, of this worker only, and only while it holds them."""
        with_held(store, 9, 3, 5)
        with_worker(store, 200)
        store.submit([a_run(1, worker=200)])
        assert store.held(WORKER) == [(3, 1), (5, 1), (9, 1)]
        one_turn(store, a_turn(5, then=HandBack()))
        store.claim(a_claim(worker=200), NOW)
        assert store.held(WORKER) == [(3, 1), (9, 1)]
        assert store.held(200) == [(1, 1), (5, 2)]
        assert store.held(77) == []

    def test_due_is_when_a_claim_would_take_something(self, store: Store) -> None:
        """The earliest time of exactly the runs that the same claim takes."""
        with_worker(store)
        assert store.due(a_claim()) is None
        store.submit(
            [
                a_run(1, at=NOW + 9),
                a_run(2, at=NOW + 7),
                a_run(3, at=NOW + 1, name="shop:other"),
                a_run(4, at=NOW + 2, queue="slow"),
                a_run(5, at=NOW + 3, namespace="eu"),
                a_run(6, at=NOW + 4, version="2"),
            ]
        )
        assert store.due(a_claim()) == NOW + 7
        assert store.due(a_claim(queues=["slow", "default"])) == NOW + 2
        assert store.due(a_claim(names=[])) is None
        assert store.due(a_claim(queues=[])) is None
        assert store.due(a_claim(alone=True)) is None

    def test_unclaimed_are_due_runs_of_other_names(self, store: Store) -> None:
        """One for each kind, name, version and source; of this namespace and these queues."""
        store.submit(
            [
                a_run(1),
                a_run(2, name="a", source="s"),
                a_run(3, name="a", source="s"),
                a_run(4, name="a", source="t"),
                a_run(5, name="a", source="s", version="2"),
                a_run(6, name="a", source="s", kind=Kind.FUNCTION),
                a_run(7, name="b", at=NOW + 1),
                a_run(8, name="b", queue="slow"),
                a_run(9, name="b", namespace="eu"),
                a_run(10, version="2"),
            ]
        )
        found = store.unclaimed(a_claim(), NOW)
        assert {(each.kind, each.name, each.version, each.source) for each in found} == {
            (Kind.WORKFLOW, "a", "", "s"),
            (Kind.WORKFLOW, "a", "", "t"),
            (Kind.WORKFLOW, "a", "2", "s"),
            (Kind.FUNCTION, "a", "", "s"),
            (Kind.WORKFLOW, NAME, "2", ""),
        }
        assert len(found) == 5
        assert {each.tid for each in found} <= {2, 3, 4, 5, 6, 10}
        assert len(store.unclaimed(a_claim(names=[]), NOW)) == 6
        assert store.unclaimed(a_claim(queues=[]), NOW) == []

    def test_unclaimed_are_at_most_a_hundred(self, store: Store) -> None:
        """A flood of unknown names does not flood the worker."""
        store.submit([a_run(tid, name=f"n{tid}") for tid in range(1, 121)])
        assert len(store.unclaimed(a_claim(), NOW)) == 100

    def test_code_that_nobody_can_import_hides_nothing(self, store: Store) -> None:
        """Who asks for what others can import finds it behind a flood of what they cannot."""
        store.submit([a_run(tid, name=f"n{tid}") for tid in range(1, 121)])
        store.submit([a_run(121, name="last", source="shop")])
        found = store.unclaimed(a_claim(), NOW, importable=True)
        assert [each.tid for each in found] == [121]

    def test_blocked_runs_are_unclaimed_only_if_asked_for(self, store: Store) -> None:
        """Who has seen that a name is unknown is not told again, unless it asks."""
        store.submit([a_run(1, name="shop:other", source="shop"), a_run(2, name="new")])
        store.block(OTHERS, "default", "no module shop", NOW)
        assert [each.tid for each in store.unclaimed(a_claim(), NOW)] == [2]
        everybody = store.unclaimed(a_claim(), NOW, blocked=True)
        assert sorted(each.tid for each in everybody) == [1, 2]

    def test_block_marks_due_runs_of_one_name(self, store: Store) -> None:
        """Queued and waiting runs that are due are blocked with the reason, and no others."""
        other = {"name": "shop:other", "source": "shop"}
        with_suspended(store, 1, NOW, **other)
        with_suspended(store, 2, None, **other)
        with_stuck(store, 8, **other)
        store.submit(
            [
                a_run(3, **other),
                a_run(4, **other, at=NOW + 1),
                a_run(5, **other, namespace="eu"),
                a_run(6, **other, version="2"),
                a_run(7, name="shop:other", source="elsewhere"),
            ]
        )
        assert store.block(OTHERS, "default", "no module named shop", NOW) == 2
        blocked = [tid for tid in range(1, 9) if run_of(store, tid).status is Status.BLOCKED]
        assert blocked == [1, 3]
        assert run_of(store, 3).reason == "no module named shop"
        assert store.block(OTHERS, "default", "again", NOW) == 0

    def test_a_blocked_run_is_claimed_by_who_has_its_code(self, store: Store) -> None:
        """Blocked is not failed: a worker that knows the name takes it, and the reason goes."""
        with_worker(store)
        store.submit([a_run(1, name="shop:other", source="shop")])
        store.block(OTHERS, "default", "no module", NOW)
        [run] = store.claim(a_claim(names=[("shop:other", "")]), NOW)
        assert (run.tid, run.status, run.reason) == (1, Status.RUNNING, None)

    def test_mended_code_may_try_a_stuck_run(self, store: Store) -> None:
        """Code that differs from the code that parked a run gets it; the same code does not."""
        with_stuck(store, 1, code="abc")
        with_stuck(store, 2, code="abc", name="shop:other")
        with_stuck(store, 3, code="abc", namespace="eu")
        with_stuck(store, 4, code="abc", version="2")
        names = [(NAME, "")]
        assert store.unpark(names, "default", "abc", NOW + 5) == 0
        assert store.unpark([], "default", "def", NOW + 5) == 0
        assert store.unpark(names, "default", "def", NOW + 5) == 1
        run = run_of(store, 1)
        assert (run.status, run.wake_at, run.reason) == (Status.QUEUED, NOW + 5, None)
        assert [run_of(store, tid).status for tid in (2, 3, 4)] == [Status.STUCK] * 3

    def test_a_run_that_is_tried_again_remembers_who_parked_it(self, store: Store) -> None:
        """The fingerprint stays on the run while it is queued and claimed again."""
        with_stuck(store, 1, code="abc")
        store.unpark([(NAME, "")], "default", "def", NOW)
        assert run_of(store, 1).code == "abc"
        [run] = store.claim(a_claim(), NOW)
        assert run.code == "abc"

    def test_a_run_whose_workers_died_waits_for_a_person(self, store: Store) -> None:
        """No code is mended by being another one: such a run is not tried again by itself."""
        with_crashes(store, 1, STUCK)
        assert run_of(store, 1).status is Status.STUCK
        assert store.unpark([(NAME, "")], "default", "def", NOW) == 0

    def test_parked_and_suspended_again_the_run_forgets_the_code(self, store: Store) -> None:
        """Once it has gone on, a run may be parked and tried again by any code."""
        with_stuck(store, 1, code="abc")
        store.unpark([(NAME, "")], "default", "def", NOW)
        store.claim(a_claim(), NOW)
        one_turn(store, a_turn(1, a_row(1, attempt=2), attempt=2, then=Suspend(NOW)))
        store.claim(a_claim(), NOW)
        one_turn(store, a_turn(1, attempt=3, then=Park("again", "def")))
        assert store.unpark([(NAME, "")], "default", "abc", NOW) == 1

    # --- retrying --------------------------------------------------------------------------------

    def test_a_run_whose_workers_died_is_retried_by_a_person(self, store: Store) -> None:
        """It is queued and due, its deaths are forgiven, and it is claimed beside others again."""
        with_crashes(store, 1, STUCK)
        assert store.retry(1, NOW + 5) is Retried.QUEUED
        run = run_of(store, 1)
        assert (run.status, run.wake_at, run.crashes) == (Status.QUEUED, NOW + 5, 0)
        assert (run.reason, run.code, run.worker) == (None, "", None)
        with_worker(store)
        [run] = store.claim(a_claim(), NOW + 5)
        assert (run.tid, run.attempt) == (1, STUCK + 1)

    def test_a_run_that_the_journal_did_not_fit_is_retried(self, store: Store) -> None:
        """Also by the code that parked it; whatever parks it next is remembered anew."""
        with_stuck(store, 1, code="abc")
        assert store.retry(1, NOW) is Retried.QUEUED
        assert (run_of(store, 1).reason, run_of(store, 1).code) == (None, "")
        store.claim(a_claim(), NOW)
        one_turn(store, a_turn(1, attempt=2, then=Park("again", "abc")))
        assert store.unpark([(NAME, "")], "default", "abc", NOW) == 0
        assert store.unpark([(NAME, "")], "default", "def", NOW) == 1

    def test_a_retry_loses_nothing(self, store: Store) -> None:
        """Journal, inbox and children stay, and nobody is told that the run ended."""
        with_suspended(store, 1)
        with_stuck(store, 2, parent=1, parent_ordinal=0)
        with_suspended(store, 3, parent=2, parent_ordinal=4)
        store.deliver(a_letter(2), NOW)
        before = (store.journal(2), store.inbox(2), store.children(2), run_of(store, 2).input)
        assert len(before[0]) == len(before[1]) == 1
        assert store.retry(2, NOW) is Retried.QUEUED
        assert (store.journal(2), store.inbox(2), store.children(2), run_of(store, 2).input) == (
            before
        )
        assert store.inbox(1) == store.inbox(3) == []

    def test_only_a_stuck_run_is_retried(self, store: Store) -> None:
        """Any other is left as it is, and so is one that does not exist."""
        with_held(store, 1)
        with_suspended(store, 2, NOW + 9)
        with_finished(store, 3)
        store.submit([a_run(4), a_run(5, name="shop:other", source="shop")])
        store.block(OTHERS, "default", "no module shop", NOW)
        with_stuck(store, 6)
        store.deliver(a_cancel(6), NOW)
        before = everything(store)
        assert [store.retry(tid, NOW + 5) for tid in range(1, 7)] == [Retried.NOT_STUCK] * 6
        assert store.retry(7, NOW + 5) is Retried.UNKNOWN
        assert everything(store) == before

    def test_a_run_is_retried_once(self, store: Store) -> None:
        """The second who wants to finds it queued, and then held: it is not taken from anybody."""
        with_stuck(store, 1)
        assert store.retry(1, NOW) is Retried.QUEUED
        assert store.retry(1, NOW + 5) is Retried.NOT_STUCK
        assert run_of(store, 1).wake_at == NOW
        store.claim(a_claim(), NOW)
        assert store.retry(1, NOW + 5) is Retried.NOT_STUCK
        assert one_turn(store, a_turn(1, a_row(1, attempt=2), attempt=2)) is Verdict.COMMITTED
