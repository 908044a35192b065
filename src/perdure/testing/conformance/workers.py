"""`register`, `renew`, `workers`, `bury`, `retire`, `progress`: who lives, who inherits."""

from __future__ import annotations

from perdure.core.decide import Finish, HandBack, Next, Park, Suspend, Verdict
from perdure.core.run import Status
from perdure.store import Store, WorkerRow
from perdure.testing.conformance.scenes import (
    ALONE,
    NOW,
    STUCK,
    WORKER,
    a_claim,
    a_death,
    a_row,
    a_run,
    a_turn,
    a_worker,
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


class Workers:
    """Workers and their leases."""

    def test_a_registered_worker_is_known_whole(self, store: Store) -> None:
        """All that it says of itself is kept, and workers are listed oldest first."""
        first = WorkerRow(
            id=9,
            name="ada",
            host="h",
            boot_id="b",
            pid_namespace="pid:[4]",
            pid=5,
            started=6,
            lease_until=NOW + 7,
            registered_at=NOW,
            namespace="eu",
            serves=("shop:fulfil", 'odd "name"'),
            is_background=True,
            python="3.13.0",
        )
        store.register(a_worker(10))
        store.register(first)
        assert store.workers() == [first, a_worker(10)]

    def test_a_worker_may_register_again(self, store: Store) -> None:
        """The last word counts; what it holds stays."""
        with_held(store, 7)
        store.register(a_worker(name="other", lease_until=NOW + 9))
        assert store.workers() == [a_worker(name="other", lease_until=NOW + 9)]
        assert store.held(WORKER) == [(7, 1)]

    def test_a_lease_is_renewed(self, store: Store) -> None:
        """It lasts until the new time; a worker that is not known is told so."""
        with_worker(store)
        assert store.renew(WORKER, NOW + 5000) is True
        assert store.workers() == [a_worker(lease_until=NOW + 5000)]
        assert store.renew(77, NOW + 5000) is False
        assert len(store.workers()) == 1

    def test_a_worker_whose_lease_holds_is_not_buried(self, store: Store) -> None:
        """Up to its last microsecond a lease holds."""
        with_held(store, 7)
        assert store.bury(WORKER, NOW + 1000, proven=False) is None
        assert store.held(WORKER) == [(7, 1)]

    def test_a_worker_whose_lease_ended_is_buried(self, store: Store) -> None:
        """Its runs can be claimed at once, a crash is counted, and it is forgotten."""
        with_held(store, 7, 8)
        assert store.bury(WORKER, NOW + 1001, proven=False) == 2
        assert store.workers() == []
        assert store.held(WORKER) == []
        run = run_of(store, 7)
        assert (run.status, run.worker, run.crashes) == (Status.QUEUED, None, 1)
        assert (run.wake_at, run.attempt) == (NOW + 1001, 1)
        with_worker(store, 200)
        assert tids_of(store.claim(a_claim(worker=200), NOW + 1001)) == [7, 8]

    def test_a_proven_death_needs_no_waiting(self, store: Store) -> None:
        """Who is known to be dead is buried within its lease."""
        with_held(store, 7)
        assert store.bury(WORKER, NOW, proven=True) == 1

    def test_a_worker_is_buried_once(self, store: Store) -> None:
        """The second who wants to is told that somebody did, or that there never was one."""
        with_held(store, 7)
        assert store.bury(WORKER, NOW, proven=True) == 1
        assert store.bury(WORKER, NOW, proven=True) is None
        assert store.renew(WORKER, NOW + 5000) is False
        assert run_of(store, 7).crashes == 1

    def test_a_worker_that_holds_nothing_is_buried_with_nothing(self, store: Store) -> None:
        """What it let go of is not touched."""
        with_suspended(store, 7)
        before = run_of(store, 7)
        assert store.bury(WORKER, NOW, proven=True) == 0
        assert run_of(store, 7) == before

    def test_the_late_word_of_a_buried_worker_is_refused(self, store: Store) -> None:
        """Fenced: also before somebody else has claimed the run."""
        with_held(store, 7)
        store.bury(WORKER, NOW, proven=True)
        assert one_turn(store, a_turn(7, a_row(0))) is Verdict.STALE

    def test_a_run_whose_workers_died_again_and_again_is_parked(self, store: Store) -> None:
        """Its status and reason say why nobody takes it any more."""
        with_crashes(store, 7, STUCK - 1)
        assert run_of(store, 7).status is Status.QUEUED
        assert run_of(store, 7).crashes >= ALONE
        a_death(store, 7)
        run = run_of(store, 7)
        assert (run.status, run.wake_at, run.crashes) == (Status.STUCK, None, STUCK)
        assert run.reason is not None
        assert str(STUCK) in run.reason

    # --- retiring ------------------------------------------------------------------------------

    def test_a_worker_that_retires_leaves_its_runs_to_others(self, store: Store) -> None:
        """They are queued and due, no crash is counted, and the worker is forgotten."""
        with_held(store, 7, 8)
        one_turn(store, a_turn(8, a_row(0), then=Suspend(None)))
        assert store.retire(WORKER) == 1
        assert store.workers() == []
        run = run_of(store, 7)
        assert (run.status, run.worker, run.crashes) == (Status.QUEUED, None, 0)
        assert run.wake_at is not None
        assert run.wake_at <= NOW
        assert run_of(store, 8).status is Status.WAITING
        assert one_turn(store, a_turn(7, a_row(0))) is Verdict.STALE

    def test_a_worker_that_is_not_known_retires_from_nothing(self, store: Store) -> None:
        """Twice is fine."""
        with_worker(store)
        assert store.retire(WORKER) == 0
        assert store.retire(WORKER) == 0
        assert store.retire(WORKER, if_idle=True) == 0

    def test_a_worker_is_idle_when_nothing_is_left_to_go_on_with(self, store: Store) -> None:
        """Finished and stuck runs, and those of other namespaces, keep nobody awake."""
        with_stuck(store, 1)
        with_finished(store, 2)
        store.submit([a_run(3, namespace="eu")])
        assert store.retire(WORKER, if_idle=True) == 0
        assert store.workers() == []

    def test_a_worker_stays_while_anything_is_left(self, store: Store) -> None:
        """A queued run, one that waits for whatever, and one that is held keep it."""
        with_worker(store)
        store.submit([a_run(1)])
        assert store.retire(WORKER, if_idle=True) is None
        store.claim(a_claim(), NOW)
        assert store.retire(WORKER, if_idle=True) is None
        one_turn(store, a_turn(1, a_row(0), then=Suspend(None)))
        assert store.retire(WORKER, if_idle=True) is None
        assert store.workers() == [a_worker()]

    # --- progress ------------------------------------------------------------------------------

    def test_progress_is_noted_of_what_the_worker_holds(self, store: Store) -> None:
        """The latest word stands on the run; runs of others are left alone."""
        with_held(store, 7, 8)
        with_worker(store, 200)
        store.submit([a_run(9, worker=200), a_run(10)])
        store.progress(WORKER, {7: "0.1", 9: "0.2", 10: "0.3", 11: "0.4"})
        store.progress(WORKER, {7: "0.5"})
        store.progress(WORKER, {})
        assert [run_of(store, tid).progress for tid in (7, 8, 9, 10)] == ["0.5", None, None, None]

    def test_progress_lasts_while_the_run_is_held(self, store: Store) -> None:
        """A turn that keeps the run keeps it."""
        with_held(store, 7)
        store.progress(WORKER, {7: "0.1"})
        one_turn(store, a_turn(7, a_row(0), progress=True))
        assert run_of(store, 7).progress == "0.1"

    def test_progress_ends_when_the_run_is_let_go_of(self, store: Store) -> None:
        """Whatever becomes of the run: nobody works at it."""
        ends: list[Next] = [Suspend(None), Finish(Status.FAILED), Park("x", "y"), HandBack()]
        for tid, then in enumerate(ends, start=7):
            with_held(store, tid)
            store.progress(WORKER, {tid: "0.1"})
            one_turn(store, a_turn(tid, then=then))
            assert run_of(store, tid).progress is None
        with_held(store, 20, 21)
        store.progress(WORKER, {20: "0.1", 21: "0.2"})
        store.bury(WORKER, NOW, proven=True)
        assert [run_of(store, tid).progress for tid in (20, 21)] == [None, None]
