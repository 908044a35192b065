"""`turn`: what a worker decides about a run, whole or not at all, and only while it holds it."""

from __future__ import annotations

import pytest

from perdure.core.decide import Finish, HandBack, Next, Park, Suspend, Verdict
from perdure.core.errors import KeyConflict, LostLease, StoreError, TidTaken
from perdure.core.events import EventKind
from perdure.core.inbox import Delivered
from perdure.core.run import Status
from perdure.store import RunFilter, Store
from perdure.testing.conformance.scenes import (
    NOW,
    WORKER,
    a_cancel,
    a_claim,
    a_letter,
    a_row,
    a_run,
    a_turn,
    everything,
    one_turn,
    run_of,
    tids_of,
    with_crashes,
    with_finished,
    with_held,
    with_suspended,
    with_worker,
)

ENDS: list[Next | None] = [
    None,
    Suspend(NOW),
    Finish(Status.COMPLETED, output="1"),
    Park("parted", "abc"),
    HandBack(),
]


class Turns:
    """Committing turns."""

    def test_rows_are_kept_exactly(self, store: Store) -> None:
        """Every kind of event, every field and none, comes back as it was written."""
        with_held(store, 7)
        rows = [
            a_row(
                seq,
                kind=kind,
                ordinal=seq if seq % 2 else None,
                value='{"é": "\\u0000"}' if seq % 3 else None,
                step_attempt=seq if seq % 5 else None,
                due=NOW + seq if seq % 4 else None,
                commands="[]" if seq % 2 else "",
            )
            for seq, kind in enumerate(EventKind)
        ]
        assert one_turn(store, a_turn(7, *rows)) is Verdict.COMMITTED
        assert store.journal(7) == rows

    @pytest.mark.parametrize("size", [16 * 1024, 16 * 1024 + 1, 500_000])
    def test_values_of_any_size_are_kept_exactly(self, store: Store, size: int) -> None:
        """A long value, long commands, a long output and a long error stay what they were."""
        text = '"' + "x" * (size - 2) + '"'
        with_held(store, 7, 8)
        row = a_row(0, value=text, commands=text)
        store.turn(
            [
                a_turn(7, row, then=Finish(Status.COMPLETED, output=text)),
                a_turn(8, then=Finish(Status.FAILED, error=text)),
            ],
            [],
            NOW,
        )
        assert store.journal(7) == [row]
        assert run_of(store, 7).output == text
        assert run_of(store, 8).error == text

    def test_a_turn_without_an_end_leaves_the_run_held(self, store: Store) -> None:
        """A step's turn changes nothing of the run itself."""
        with_held(store, 7)
        before = run_of(store, 7)
        assert one_turn(store, a_turn(7, a_row(0)), NOW + 5) is Verdict.COMMITTED
        assert run_of(store, 7) == before

    # --- the fence ---------------------------------------------------------------------------

    @pytest.mark.parametrize("then", ENDS)
    def test_who_does_not_hold_the_run_writes_nothing(
        self, store: Store, then: Next | None
    ) -> None:
        """A late turn of an earlier attempt is refused, whatever it wants, and whole."""
        with_held(store, 7)
        with_worker(store, 200)
        store.bury(WORKER, NOW, proven=True)
        store.claim(a_claim(worker=200), NOW)
        store.deliver(a_letter(7), NOW)
        before = everything(store, 7, 8)
        [letter] = store.inbox(7)

        late = a_turn(
            7,
            a_row(0),
            then=then,
            consumed=[letter.id],
            children=[a_run(8, parent=7, parent_ordinal=0)],
            progress=True,
        )
        assert one_turn(store, late) is Verdict.STALE
        assert everything(store, 7, 8) == before

    @pytest.mark.parametrize("then", [then for then in ENDS if then is not None])
    def test_who_let_go_of_a_run_writes_nothing_more(self, store: Store, then: Next) -> None:
        """After a turn that ended, parked, suspended or handed back, the same attempt is stale."""
        with_held(store, 7)
        assert one_turn(store, a_turn(7, a_row(0), then=then)) is Verdict.COMMITTED
        assert one_turn(store, a_turn(7, a_row(1))) is Verdict.STALE
        assert store.journal(7) == [a_row(0)]

    def test_an_unknown_run_is_stale(self, store: Store) -> None:
        """A turn of a run that is not there is refused like any other late one."""
        assert one_turn(store, a_turn(7, a_row(0), repeated=True)) is Verdict.STALE
        assert store.journal(7) == []

    def test_a_stale_turn_does_not_hinder_the_others(self, store: Store) -> None:
        """Each turn of a batch stands for itself."""
        with_held(store, 7, 8, 9)
        verdicts = store.turn(
            [a_turn(7, a_row(0)), a_turn(8, a_row(0), attempt=2), a_turn(9, a_row(0))], [], NOW
        )
        assert verdicts == [Verdict.COMMITTED, Verdict.STALE, Verdict.COMMITTED]
        assert [len(store.journal(tid)) for tid in (7, 8, 9)] == [1, 0, 1]

    def test_nothing_to_commit_is_nothing_to_answer(self, store: Store) -> None:
        """An empty call is answered emptily."""
        assert store.turn([], [], NOW) == []

    # --- suspending ----------------------------------------------------------------------------

    @pytest.mark.parametrize("wake_at", [NOW + 10, None])
    def test_a_suspended_run_is_let_go_of(self, store: Store, wake_at: int | None) -> None:
        """It waits for a time or for the outside world, and nobody holds it."""
        with_held(store, 7)
        turn = a_turn(7, a_row(0), then=Suspend(wake_at, reason="waits for nothing"))
        assert one_turn(store, turn) is Verdict.COMMITTED
        run = run_of(store, 7)
        assert (run.status, run.worker, run.wake_at) == (Status.WAITING, None, wake_at)
        assert run.reason == "waits for nothing"
        assert store.held(WORKER) == []

    def test_a_run_with_mail_is_not_let_go_of(self, store: Store) -> None:
        """What came in meanwhile keeps the run with its worker; its rows are durable all the
        same."""
        with_held(store, 7)
        store.deliver(a_letter(7), NOW)
        assert one_turn(store, a_turn(7, a_row(0), then=Suspend(None))) is Verdict.MAIL
        run = run_of(store, 7)
        assert (run.status, run.worker) == (Status.RUNNING, WORKER)
        assert store.journal(7) == [a_row(0)]

    def test_mail_that_the_turn_consumes_is_no_mail(self, store: Store) -> None:
        """A run that has read everything is let go of."""
        with_held(store, 7)
        store.deliver(a_letter(7), NOW)
        [letter] = store.inbox(7)
        turn = a_turn(7, a_row(0), then=Suspend(None), consumed=[letter.id])
        assert one_turn(store, turn) is Verdict.COMMITTED
        assert store.inbox(7) == []

    def test_a_run_consumes_only_its_own_mail(self, store: Store) -> None:
        """The id of another run's letter, or of none, changes nothing."""
        with_held(store, 7, 8)
        store.deliver(a_letter(8), NOW)
        [letter] = store.inbox(8)
        one_turn(store, a_turn(7, a_row(0), consumed=[letter.id, 10**6]))
        assert store.inbox(8) == [letter]

    # --- ending --------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("status", "output", "error"),
        [
            (Status.COMPLETED, '"done"', None),
            (Status.FAILED, None, '{"type": "ValueError"}'),
            (Status.CANCELLED, None, None),
        ],
    )
    def test_a_finished_run_keeps_its_result_and_loses_its_inbox(
        self, store: Store, status: Status, output: str | None, error: str | None
    ) -> None:
        """Status, output and error are those of the turn; unread and read letters go."""
        with_held(store, 7)
        store.deliver(a_letter(7), NOW)
        assert one_turn(store, a_turn(7, a_row(0), then=Finish(status, output, error)), NOW + 5)
        run = run_of(store, 7)
        assert (run.status, run.output, run.error) == (status, output, error)
        assert (run.finished_at, run.worker, run.wake_at) == (NOW + 5, None, None)
        assert store.inbox(7) == []

    def test_a_parent_is_told_of_a_completed_child(self, store: Store) -> None:
        """The end of a child and the letter to its parent are one; the parent is woken."""
        with_suspended(store, 7, NOW + 1000)
        with_held(store, 8, parent=7, parent_ordinal=3)
        one_turn(store, a_turn(8, then=Finish(Status.COMPLETED, output="42")), NOW + 5)
        [letter] = store.inbox(7)
        assert (letter.kind, letter.ordinal, letter.value) == (
            EventKind.CHILD_COMPLETED,
            3,
            "42",
        )
        run = run_of(store, 7)
        assert (run.status, run.wake_at) == (Status.WAITING, NOW + 5)
        assert store.deliver(a_letter(7, "child:3"), NOW) is Delivered.REPEATED

    @pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
    def test_a_parent_is_told_of_a_child_that_ended_otherwise(
        self, store: Store, status: Status
    ) -> None:
        """Whatever is not completed is failed to the parent, and has an error that it can read."""
        with_suspended(store, 7)
        with_held(store, 8, parent=7, parent_ordinal=3)
        error = '{"type": "ValueError"}' if status is Status.FAILED else None
        one_turn(store, a_turn(8, then=Finish(status, error=error)))
        [letter] = store.inbox(7)
        assert (letter.kind, letter.ordinal) == (EventKind.CHILD_FAILED, 3)
        assert letter.value
        assert error is None or letter.value == error

    def test_a_child_without_a_parent_to_tell_just_ends(self, store: Store) -> None:
        """An unknown or a finished parent is no hindrance, and gets no mail."""
        with_finished(store, 7)
        with_held(store, 8, parent=7, parent_ordinal=0)
        with_held(store, 9, parent=1, parent_ordinal=0)
        for child in (8, 9):
            end = a_turn(child, then=Finish(Status.COMPLETED))
            assert one_turn(store, end) is Verdict.COMMITTED
        assert store.inbox(7) == []

    def test_parent_and_child_in_one_batch(self, store: Store) -> None:
        """A batch is written in its order: the parent has mail as soon as its child has ended."""
        with_held(store, 7)
        with_held(store, 8, parent=7, parent_ordinal=0)
        verdicts = store.turn(
            [
                a_turn(8, then=Finish(Status.COMPLETED)),
                a_turn(7, a_row(0), then=Suspend(None)),
            ],
            [],
            NOW,
        )
        assert verdicts == [Verdict.COMMITTED, Verdict.MAIL]

    def test_a_parked_run_says_why(self, store: Store) -> None:
        """It is stuck, with the reason and the code that could not go on; nobody holds it."""
        with_held(store, 7)
        one_turn(store, a_turn(7, then=Park("step 7 is charge(), code calls refund()", "abc")))
        run = run_of(store, 7)
        assert (run.status, run.worker, run.wake_at) == (Status.STUCK, None, None)
        assert (run.reason, run.code) == ("step 7 is charge(), code calls refund()", "abc")

    def test_a_run_that_is_handed_back_can_be_claimed_at_once(self, store: Store) -> None:
        """A worker that stops loses nothing and counts no crash."""
        with_held(store, 7)
        one_turn(store, a_turn(7, a_row(0), then=HandBack()), NOW + 5)
        run = run_of(store, 7)
        assert (run.status, run.worker, run.wake_at) == (Status.QUEUED, None, NOW + 5)
        [claimed] = store.claim(a_claim(), NOW + 5)
        assert (claimed.attempt, claimed.crashes) == (2, 0)

    # --- crashes -------------------------------------------------------------------------------

    @pytest.mark.parametrize("then", [None, Suspend(None), HandBack()])
    def test_progress_resets_crashes(self, store: Store, then: Next | None) -> None:
        """A turn that says so has made progress: the deaths before it are forgotten."""
        with_crashes(store, 7, 1)
        with_worker(store)
        store.claim(a_claim(), NOW)
        one_turn(store, a_turn(7, a_row(0, attempt=2), attempt=2, then=then, progress=True))
        assert run_of(store, 7).crashes == 0

    def test_progress_counts_even_when_mail_came(self, store: Store) -> None:
        """The rows are durable, so the progress is."""
        with_crashes(store, 7, 1)
        with_worker(store)
        store.claim(a_claim(), NOW)
        store.deliver(a_letter(7), NOW)
        turn = a_turn(7, a_row(0, attempt=2), attempt=2, then=Suspend(None), progress=True)
        assert one_turn(store, turn) is Verdict.MAIL
        run = run_of(store, 7)
        assert (run.crashes, run.status, run.worker) == (0, Status.RUNNING, WORKER)

    def test_without_progress_crashes_stay(self, store: Store) -> None:
        """A turn that does not say so leaves the count."""
        with_crashes(store, 7, 1)
        with_worker(store)
        store.claim(a_claim(), NOW)
        one_turn(store, a_turn(7, a_row(0, attempt=2), attempt=2))
        assert run_of(store, 7).crashes == 1

    # --- many at once ------------------------------------------------------------------------------

    def test_a_big_batch_is_many_small_ones(self, store: Store) -> None:
        """Ends, rows and refusals stand side by side, whatever their number."""
        tids = range(1, 151)
        with_held(store, *tids)
        store.deliver(a_letter(2), NOW)
        turns = [
            a_turn(
                tid,
                a_row(0),
                attempt=2 if tid % 3 == 0 else 1,
                then=Finish(Status.COMPLETED, output="1") if tid % 2 == 0 else None,
            )
            for tid in (*tids, 999)
        ]
        verdicts = store.turn(turns, [], NOW)
        for tid, verdict in zip((*tids, 999), verdicts, strict=True):
            is_refused = tid % 3 == 0 or tid == 999
            assert verdict is (Verdict.STALE if is_refused else Verdict.COMMITTED)
            assert store.journal(tid) == ([] if is_refused else [a_row(0)])
        completed = store.runs(RunFilter(statuses=[Status.COMPLETED], limit=200))
        assert tids_of(completed) == [tid for tid in reversed(tids) if tid % 2 == 0 and tid % 3]
        assert store.inbox(2) == []

    @pytest.mark.parametrize("is_child_first", [True, False])
    @pytest.mark.parametrize("then", [Suspend(None), Finish(Status.FAILED, error='"no"')])
    def test_a_child_and_its_parent_end_in_one_call(
        self, store: Store, then: Next, is_child_first: bool
    ) -> None:
        """In either order: who waits is told and woken, who is finished is not."""
        with_held(store, 7)
        with_held(store, 8, parent=7, parent_ordinal=0)
        child = a_turn(8, a_row(0), then=Finish(Status.COMPLETED, output="1"))
        parent = a_turn(7, a_row(0), then=then)
        store.turn([child, parent] if is_child_first else [parent, child], [], NOW)
        assert run_of(store, 8).status is Status.COMPLETED
        told = [letter.kind for letter in store.inbox(7)]
        if isinstance(then, Finish):
            assert (run_of(store, 7).status, told) == (Status.FAILED, [])
        else:
            is_kept = run_of(store, 7).status is Status.RUNNING
            assert (is_kept, told) == (is_child_first, [EventKind.CHILD_COMPLETED])
            assert is_kept or run_of(store, 7).wake_at == NOW

    def test_births_of_which_one_was_stored_before(self, store: Store) -> None:
        """The others are born, and all of them take their first turn."""
        with_held(store, 8)
        births = [a_run(tid, worker=WORKER) for tid in (7, 8, 9)]
        verdicts = store.turn([a_turn(tid, a_row(0)) for tid in (7, 8, 9)], births, NOW)
        assert verdicts == [Verdict.COMMITTED] * 3
        assert tids_of(store.runs(RunFilter())) == [9, 8, 7]

    def test_a_birth_that_went_on_elsewhere_is_not_begun_again(self, store: Store) -> None:
        """It is there, and what it became meanwhile decides about the turn."""
        with_finished(store, 8)
        births = [a_run(tid, worker=WORKER) for tid in (7, 8)]
        verdicts = store.turn([a_turn(tid, a_row(0)) for tid in (7, 8)], births, NOW)
        assert verdicts == [Verdict.COMMITTED, Verdict.STALE]
        assert store.journal(8) == []

    # --- births and children ---------------------------------------------------------------------

    def test_a_birth_and_its_first_turn_are_one(self, store: Store) -> None:
        """A run may be born and begun in the same call."""
        with_worker(store)
        assert store.turn([a_turn(7, a_row(0))], [a_run(7, worker=WORKER)], NOW) == [
            Verdict.COMMITTED
        ]
        assert run_of(store, 7).status is Status.RUNNING
        assert store.journal(7) == [a_row(0)]

    def test_a_birth_is_repeated_without_harm(self, store: Store) -> None:
        """After an answer was lost, the same births and turns are sent again."""
        with_worker(store)
        for repeated in (False, True):
            [verdict] = store.turn(
                [a_turn(7, a_row(0), repeated=repeated)], [a_run(7, worker=WORKER)], NOW
            )
            assert verdict is Verdict.COMMITTED
        assert store.journal(7) == [a_row(0)]

    def test_a_birth_with_a_taken_tid_stops_the_call(self, store: Store) -> None:
        """Nothing of the call is written, neither births nor turns."""
        with_held(store, 7, 8)
        with pytest.raises(TidTaken) as caught:
            store.turn(
                [a_turn(7, a_row(0))],
                [a_run(6, worker=WORKER), a_run(8, worker=WORKER, input="[2]")],
                NOW,
            )
        assert caught.value.tid == 8
        assert store.get(6) is None
        assert store.journal(7) == []

    def test_a_birth_with_a_taken_key_stops_the_call(self, store: Store) -> None:
        """A turn has no way to say "it is another run": such runs go through submit."""
        with_held(store, 7)
        store.submit([a_run(5, key="k")])
        for input in ("[1]", "[2]"):
            with pytest.raises(KeyConflict) as caught:
                store.turn([a_turn(7, a_row(0))], [a_run(6, key="k", input=input)], NOW)
            assert caught.value.tid == 5
        assert store.get(6) is None
        assert store.journal(7) == []

    def test_a_birth_of_a_buried_worker_stops_the_call(self, store: Store) -> None:
        """The worker learns that its lease is lost; nothing is written."""
        with_held(store, 7)
        with pytest.raises(LostLease):
            store.turn([a_turn(7, a_row(0))], [a_run(8, worker=200)], NOW)
        assert store.get(8) is None
        assert store.journal(7) == []

    def test_children_are_born_with_the_turn(self, store: Store) -> None:
        """Children of a turn are queued, under their parent's call."""
        with_held(store, 7)
        children = [a_run(8 + n, parent=7, parent_ordinal=n) for n in range(3)]
        one_turn(store, a_turn(7, a_row(0), children=children))
        assert store.children(7) == [(0, 8), (1, 9), (2, 10)]
        assert run_of(store, 9).status is Status.QUEUED

    def test_a_child_with_a_taken_tid_stops_the_call(self, store: Store) -> None:
        """The caller chooses another TID and sends the call again."""
        with_held(store, 7, 9)
        with pytest.raises(TidTaken):
            child = a_run(9, parent=7, parent_ordinal=0, input="[2]")
            store.turn([a_turn(9, a_row(0)), a_turn(7, a_row(0), children=[child])], [], NOW)
        assert store.journal(7) == []
        assert store.journal(9) == []

    def test_a_call_starts_one_child(self, store: Store) -> None:
        """The same child under another TID is there already; another one is a fault."""
        with_held(store, 7)
        one_turn(store, a_turn(7, a_row(0), children=[a_run(8, parent=7, parent_ordinal=0)]))
        same = a_run(9, parent=7, parent_ordinal=0)
        assert one_turn(store, a_turn(7, a_row(1), children=[same])) is Verdict.COMMITTED
        assert store.children(7) == [(0, 8)]
        other = a_run(9, parent=7, parent_ordinal=0, input="[2]")
        with pytest.raises(StoreError):
            one_turn(store, a_turn(7, a_row(2), children=[other]))
        assert len(store.journal(7)) == 2

    def test_a_child_that_has_not_begun_is_cancelled_at_once(self, store: Store) -> None:
        """It ends, and its parent has that in its inbox: it is not let go of."""
        with_held(store, 7)
        children = [a_run(8, parent=7, parent_ordinal=0)]
        one_turn(store, a_turn(7, a_row(0), children=children))
        turn = a_turn(7, a_row(1), cancel_children=[0, 5], then=Suspend(None))
        assert one_turn(store, turn, NOW + 5) is Verdict.MAIL
        child = run_of(store, 8)
        assert (child.status, child.finished_at) == (Status.CANCELLED, NOW + 5)
        [letter] = store.inbox(7)
        assert (letter.kind, letter.ordinal) == (EventKind.CHILD_FAILED, 0)

    def test_a_child_that_has_begun_is_asked_to_end(self, store: Store) -> None:
        """It gets a letter and is woken; it ends when its body does."""
        with_suspended(store, 8, parent=7, parent_ordinal=0)
        with_held(store, 7)
        turn = a_turn(7, a_row(0), cancel_children=[0], then=Suspend(None))
        assert one_turn(store, turn, NOW + 5) is Verdict.COMMITTED
        [letter] = store.inbox(8)
        assert letter.kind is EventKind.CANCEL_REQUESTED
        assert run_of(store, 8).wake_at == NOW + 5

    # --- repeating -------------------------------------------------------------------------------

    @pytest.mark.parametrize("then", ENDS)
    def test_a_turn_that_was_not_committed_is_committed_when_repeated(
        self, store: Store, then: Next | None
    ) -> None:
        """Whoever repeats does not know; what is not there is written."""
        with_held(store, 7)
        turn = a_turn(7, a_row(0), then=then, repeated=True)
        assert one_turn(store, turn) is Verdict.COMMITTED
        assert store.journal(7) == [a_row(0)]

    @pytest.mark.parametrize("then", ENDS)
    def test_a_turn_that_was_committed_is_not_written_twice(
        self, store: Store, then: Next | None
    ) -> None:
        """The answer is that of the first try, and nothing changes."""
        with_held(store, 7)
        fields = {"then": then, "children": [a_run(8, parent=7, parent_ordinal=0)]}
        assert one_turn(store, a_turn(7, a_row(0), **fields)) is Verdict.COMMITTED
        before = everything(store)
        again = a_turn(7, a_row(0), **fields, repeated=True)
        assert one_turn(store, again, NOW + 5) is Verdict.COMMITTED
        assert everything(store) == before

    def test_a_repeated_turn_that_found_mail_finds_it_again(self, store: Store) -> None:
        """The run was not let go of then, and is held now."""
        with_held(store, 7)
        store.deliver(a_letter(7), NOW)
        assert one_turn(store, a_turn(7, a_row(0), then=Suspend(None))) is Verdict.MAIL
        again = a_turn(7, a_row(0), then=Suspend(None), repeated=True)
        assert one_turn(store, again) is Verdict.MAIL

    def test_a_repeated_turn_of_a_run_that_was_taken_over_is_stale(self, store: Store) -> None:
        """It was committed, but whoever repeats it does not hold the run any more."""
        with_held(store, 7)
        with_worker(store, 200)
        one_turn(store, a_turn(7, a_row(0)))
        store.bury(WORKER, NOW, proven=True)
        assert one_turn(store, a_turn(7, a_row(0), repeated=True)) is Verdict.STALE
        store.claim(a_claim(worker=200), NOW)
        assert one_turn(store, a_turn(7, a_row(0), repeated=True)) is Verdict.STALE

    def test_a_row_that_is_there_is_not_written_over(self, store: Store) -> None:
        """A turn that is not said to be repeated and meets its own row is a fault of the caller:
        nothing of the call is written."""
        with_held(store, 7, 8)
        one_turn(store, a_turn(7, a_row(0)))
        with pytest.raises(StoreError, match="row 0"):
            store.turn([a_turn(8, a_row(0)), a_turn(7, a_row(0, value="2"))], [], NOW)
        assert store.journal(7) == [a_row(0)]
        assert store.journal(8) == []
        assert tids_of(store.runs(RunFilter())) == [8, 7]

    def test_a_cancel_that_came_in_is_read_in_the_journal(self, store: Store) -> None:
        """The way of a letter: delivered, seen, moved into the journal, read."""
        with_held(store, 7)
        store.deliver(a_cancel(7), NOW)
        [letter] = store.inbox(7)
        row = a_row(0, kind=letter.kind, value=letter.value)
        one_turn(store, a_turn(7, row, consumed=[letter.id]))
        assert store.journal(7) == [row]
        assert store.inbox(7) == []
