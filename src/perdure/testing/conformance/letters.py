"""`deliver`, `inbox`, `mail`: what comes from outside."""

from __future__ import annotations

from perdure.core.decide import CANCELLED_BEFORE_IT_BEGAN, Finish, Park, Suspend
from perdure.core.events import EventKind
from perdure.core.inbox import Delivered
from perdure.core.run import Kind, Status
from perdure.store import Store, Unclaimed
from perdure.testing.conformance.scenes import (
    NOW,
    WORKER,
    a_cancel,
    a_claim,
    a_letter,
    a_row,
    a_run,
    a_turn,
    one_turn,
    run_of,
    with_held,
    with_stuck,
    with_suspended,
    with_worker,
)


class Letters:
    """The inbox."""

    def test_a_letter_lies_in_the_inbox(self, store: Store) -> None:
        """What was delivered is there, whole, in the order of arrival."""
        with_held(store, 7, 8)
        assert store.deliver(a_letter(7, "b", ordinal=3, value='"x"'), NOW) is Delivered.ACCEPTED
        store.deliver(a_letter(8, "b"), NOW)
        store.deliver(a_letter(7, "a", kind=EventKind.CHILD_FAILED), NOW)
        first, second = store.inbox(7)
        assert (first.tid, first.kind, first.ordinal, first.value) == (
            7,
            EventKind.CHILD_COMPLETED,
            3,
            '"x"',
        )
        assert (second.kind, second.ordinal, second.value) == (EventKind.CHILD_FAILED, None, None)
        assert first.id < second.id
        assert store.inbox(7, limit=1) == [first]

    def test_a_letter_wakes_a_waiting_run(self, store: Store) -> None:
        """It can be claimed at once, whether it waited for a time or for nothing in time."""
        with_suspended(store, 7, NOW + 1000)
        with_suspended(store, 8, None)
        for tid in (7, 8):
            assert store.deliver(a_letter(tid), NOW + 5) is Delivered.ACCEPTED
            run = run_of(store, tid)
            assert (run.status, run.wake_at) == (Status.WAITING, NOW + 5)

    def test_a_letter_makes_no_run_later(self, store: Store) -> None:
        """A run that is due already stays due since then."""
        with_suspended(store, 7, NOW + 1)
        store.submit([a_run(8)])
        for tid in (7, 8):
            store.deliver(a_letter(tid), NOW + 5)
        assert run_of(store, 7).wake_at == NOW + 1
        assert run_of(store, 8).wake_at == NOW

    def test_a_letter_to_a_held_run_waits_for_its_worker(self, store: Store) -> None:
        """The run stays as it is; the worker finds it among those that have mail."""
        with_held(store, 7, 8)
        with_worker(store, 200)
        store.submit([a_run(9, worker=200)])
        before = run_of(store, 7)
        assert store.mail(WORKER) == []
        store.deliver(a_letter(7, "a"), NOW)
        store.deliver(a_letter(7, "b"), NOW)
        store.deliver(a_letter(9), NOW)
        assert run_of(store, 7) == before
        assert store.mail(WORKER) == [7]
        letters = [letter.id for letter in store.inbox(7)]
        one_turn(store, a_turn(7, a_row(0), consumed=letters))
        assert store.mail(WORKER) == []

    def test_only_letters_to_held_runs_are_mail_of_the_worker(self, store: Store) -> None:
        """Who holds nothing has no mail."""
        with_suspended(store, 7)
        store.deliver(a_letter(7), NOW)
        assert store.mail(WORKER) == []

    def test_the_same_delivery_is_accepted_once(self, store: Store) -> None:
        """A repeated key is REPEATED and changes nothing, for this run only."""
        with_held(store, 7, 8)
        store.deliver(a_letter(7, value='"first"'), NOW)
        assert store.deliver(a_letter(7, value='"second"'), NOW) is Delivered.REPEATED
        assert [letter.value for letter in store.inbox(7)] == ['"first"']
        assert store.deliver(a_letter(8), NOW) is Delivered.ACCEPTED

    def test_a_delivery_that_was_read_is_still_known(self, store: Store) -> None:
        """Reading a letter does not make room for the same one again."""
        with_held(store, 7)
        store.deliver(a_letter(7), NOW)
        [letter] = store.inbox(7)
        one_turn(store, a_turn(7, a_row(0), consumed=[letter.id], then=Suspend(None)))
        assert store.inbox(7) == []
        assert store.deliver(a_letter(7), NOW + 5) is Delivered.REPEATED
        assert run_of(store, 7).wake_at is None

    def test_the_id_of_a_letter_is_never_used_again(self, store: Store) -> None:
        """Ids grow for ever: a late turn that names one consumes nothing newer."""
        with_held(store, 7, 8)
        store.deliver(a_letter(7), NOW)
        [first] = store.inbox(7)
        one_turn(store, a_turn(7, then=Finish(Status.COMPLETED)))
        store.deliver(a_letter(8), NOW)
        [second] = store.inbox(8)
        assert second.id > first.id

    def test_a_finished_run_takes_no_letters(self, store: Store) -> None:
        """It is too late, also for what was delivered before."""
        with_held(store, 7)
        store.deliver(a_letter(7), NOW)
        one_turn(store, a_turn(7, then=Finish(Status.COMPLETED)))
        assert store.deliver(a_letter(7), NOW) is Delivered.TOO_LATE
        assert store.deliver(a_cancel(7), NOW) is Delivered.TOO_LATE
        assert store.inbox(7) == []

    def test_an_unknown_run_takes_no_letters(self, store: Store) -> None:
        """There is nobody to read them."""
        assert store.deliver(a_letter(7), NOW) is Delivered.UNKNOWN
        assert store.inbox(7) == []

    def test_a_stuck_run_keeps_its_letters(self, store: Store) -> None:
        """They wait until it goes on."""
        with_stuck(store, 7)
        assert store.deliver(a_letter(7), NOW) is Delivered.ACCEPTED
        assert run_of(store, 7).status is Status.STUCK
        assert len(store.inbox(7)) == 1

    # --- cancelling ----------------------------------------------------------------------------

    def test_a_run_that_has_not_begun_is_cancelled_at_once(self, store: Store) -> None:
        """Nothing of it ran: it ends, its inbox is emptied and its parent is told."""
        with_suspended(store, 1)
        store.submit([a_run(7, parent=1, parent_ordinal=2)])
        store.deliver(a_letter(7), NOW)
        assert store.deliver(a_cancel(7), NOW + 5) is Delivered.ENDED
        run = run_of(store, 7)
        assert (run.status, run.finished_at, run.wake_at) == (Status.CANCELLED, NOW + 5, None)
        assert run.error == CANCELLED_BEFORE_IT_BEGAN
        assert store.inbox(7) == []
        [letter] = store.inbox(1)
        assert (letter.kind, letter.ordinal, letter.value) == (
            EventKind.CHILD_FAILED,
            2,
            CANCELLED_BEFORE_IT_BEGAN,
        )
        assert run_of(store, 1).wake_at == NOW + 5

    def test_a_blocked_run_that_has_not_begun_is_cancelled_at_once(self, store: Store) -> None:
        """Nobody has its code, so nobody could let its body end."""
        store.submit([a_run(7, name="shop:other")])
        other = Unclaimed(tid=7, kind=Kind.WORKFLOW, name="shop:other", version="", source="")
        store.block(other, "default", "no module", NOW)
        assert store.deliver(a_cancel(7), NOW) is Delivered.ENDED

    def test_a_run_that_has_begun_is_asked(self, store: Store) -> None:
        """Its body sees the request, and may clean up."""
        with_held(store, 6)
        with_suspended(store, 7)
        for tid in (6, 7):
            assert store.deliver(a_cancel(tid), NOW) is Delivered.ACCEPTED
            assert [letter.kind for letter in store.inbox(tid)] == [EventKind.CANCEL_REQUESTED]
        assert run_of(store, 7).wake_at == NOW

    def test_a_run_that_was_handed_back_is_asked(self, store: Store) -> None:
        """It is queued, but it has begun."""
        with_held(store, 7)
        store.retire(WORKER)
        assert run_of(store, 7).status is Status.QUEUED
        assert store.deliver(a_cancel(7), NOW) is Delivered.ACCEPTED

    def test_a_stuck_run_ends_with_its_children(self, store: Store) -> None:
        """It cannot clean up. Its children that have begun are asked to end, the others end; and
        so do theirs."""
        with_suspended(store, 2, parent=1, parent_ordinal=0)
        with_stuck(store, 3, parent=1, parent_ordinal=1)
        store.submit([a_run(4, parent=1, parent_ordinal=2)])
        store.submit([a_run(5, parent=3, parent_ordinal=0)])
        with_suspended(store, 6, parent=2, parent_ordinal=0)
        with_stuck(store, 1)

        assert store.deliver(a_cancel(1), NOW) is Delivered.ENDED

        statuses = {tid: run_of(store, tid).status for tid in range(1, 7)}
        assert statuses == {
            1: Status.CANCELLED,
            2: Status.WAITING,
            3: Status.CANCELLED,
            4: Status.CANCELLED,
            5: Status.CANCELLED,
            6: Status.WAITING,
        }
        assert [letter.kind for letter in store.inbox(2)] == [EventKind.CANCEL_REQUESTED]
        assert store.inbox(6) == []
        assert store.inbox(1) == []

    def test_a_stuck_run_that_was_asked_before_ends_when_it_is_asked_again(
        self, store: Store
    ) -> None:
        """Nobody read the first request, and nobody will: the second one is no repetition."""
        with_held(store, 7)
        assert store.deliver(a_cancel(7), NOW) is Delivered.ACCEPTED
        one_turn(store, a_turn(7, then=Park("why", "code")))
        assert store.deliver(a_cancel(7), NOW + 5) is Delivered.ENDED
        run = run_of(store, 7)
        assert (run.status, run.finished_at) == (Status.CANCELLED, NOW + 5)
        assert store.inbox(7) == []

    def test_a_claimed_run_finds_its_letters(self, store: Store) -> None:
        """What came while nobody held the run is there for who takes it."""
        with_suspended(store, 7)
        store.deliver(a_letter(7), NOW)
        assert [run.tid for run in store.claim(a_claim(), NOW)] == [7]
        assert store.mail(WORKER) == [7]
